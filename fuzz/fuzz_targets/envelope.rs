//! Whatever the text: an event that is read is written as one line of JSON, and read again as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardwright::codec::{Envelope, parse_envelopes, parse_event_line, render_event};

fuzz_target!(|text: &str| {
    let Ok(envelopes) = parse_envelopes(text, 1000) else { return };
    for envelope in envelopes {
        let Envelope::Data { events, .. } = envelope else { continue };
        for event in events {
            let mut line = Vec::new();
            render_event(&event, &mut line);
            let line = String::from_utf8(line).expect("text");
            assert!(!line.contains('\n'));
            let again = parse_event_line(&line, &event).expect("a line that we wrote");
            assert_eq!((&again.id, &again.message), (&event.id, &event.message));
            assert_eq!(again.timestamp, event.timestamp);
        }
    }
});
