//! Whatever the bytes: no more comes out than allowed, and what comes out is what flate2's own reader
//! of several members finds.
#![no_main]

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;
use libfuzzer_sys::fuzz_target;
use shardwright::codec::gunzip;

const CAP: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Ok(ours) = gunzip(data, CAP) else { return };
    assert!(ours.len() <= CAP);
    let mut theirs = Vec::new();
    // It takes the zero bytes that may follow the last member for damage, after all is read.
    let _ = MultiGzDecoder::new(data).read_to_end(&mut theirs);
    assert!(ours == theirs);
});
