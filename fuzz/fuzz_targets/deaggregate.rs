//! Whatever a producer calls an aggregate: its members are in order, and none is larger than it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use shardwright::{
    codec::deaggregate,
    model::{EpochMillis, RawRecord},
};

fuzz_target!(|data: &[u8]| {
    let raw = RawRecord {
        sequence: "49590338271490256608559692538361571095921575989136588898".parse().expect("digits"),
        partition_key: "key".into(),
        data: Bytes::copy_from_slice(data),
        arrival: EpochMillis(0),
    };
    let members = deaggregate(&raw);
    let places: Vec<_> = members.records.iter().map(|member| &member.position).collect();
    assert!(places.is_sorted_by(|one, next| one < next));
    let bytes: usize = members.records.iter().map(|member| member.data.len()).sum();
    assert!(bytes <= data.len());
});
