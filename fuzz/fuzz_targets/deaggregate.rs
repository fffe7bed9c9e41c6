//! Whatever a producer calls an aggregate: its members are in order, and none is larger than it. Half of the
//! inputs are bodies that get their magic number and checksum, which no mutation would find.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use md5::{Digest, Md5};
use shardwright::{
    codec::deaggregate,
    model::{EpochMillis, RawRecord},
};

/// KPL, aggregation-format.md.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

fn wrapped(body: &[u8]) -> Vec<u8> {
    [&MAGIC, body, &Md5::digest(body)].concat()
}

fuzz_target!(|input: &[u8]| {
    let data = match input.split_first() {
        Some((kind, body)) if kind % 2 == 0 => wrapped(body),
        _ => input.to_vec(),
    };
    let raw = RawRecord {
        sequence: "49590338271490256608559692538361571095921575989136588898"
            .parse()
            .expect("digits"),
        partition_key: "key".into(),
        data: Bytes::copy_from_slice(&data),
        arrival: EpochMillis(0),
    };
    let members = deaggregate(&raw);
    let places: Vec<_> = members.records.iter().map(|member| &member.position).collect();
    assert!(places.is_sorted_by(|one, next| one < next));
    let bytes: usize = members.records.iter().map(|member| member.data.len()).sum();
    assert!(bytes <= data.len());
});
