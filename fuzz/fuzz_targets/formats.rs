//! Whatever the bytes, in whatever format: decoded within the caps, or refused whole; and each event is
//! written as one line of JSON. The first byte chooses the format.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use shardwright::{
    codec::{DecodeLimits, decode_unread, decode_user_record, render_event},
    model::{EpochMillis, Format, Position, UserRecord},
};

const LIMITS: DecodeLimits = DecodeLimits { max_decompressed: 1 << 20, max_events: 100 };
const FORMATS: [Format; 4] = [Format::CloudwatchLogs, Format::Json, Format::Text, Format::Bytes];

fuzz_target!(|data: &[u8]| {
    let Some((first, payload)) = data.split_first() else { return };
    let format = FORMATS[usize::from(*first) % FORMATS.len()];
    let record = UserRecord {
        position: Position { sequence: "1".parse().expect("digits"), sub_sequence: 0 },
        partition_key: "key".into(),
        explicit_hash_key: None,
        aggregated: false,
        data: Bytes::copy_from_slice(payload),
        arrival: EpochMillis(0),
    };
    let decoded = decode_user_record(format, &record, &LIMITS);
    assert_eq!(decode_unread(format, &record, &LIMITS), decoded);
    let Ok(decoded) = decoded else { return };
    assert!(decoded.events.len() <= LIMITS.max_events);
    let held: usize = decoded.events.iter().map(|event| event.message.as_str().len()).sum();
    assert!(held <= LIMITS.max_decompressed.max(2 * payload.len() + 4));
    for event in &decoded.events {
        let mut line = Vec::new();
        render_event(event, &mut line);
        assert!(!line.contains(&b'\n'));
        serde_json::from_slice::<serde_json::Value>(&line).expect("JSON");
    }
});
