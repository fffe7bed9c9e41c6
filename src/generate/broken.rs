//! Records that must end as one dead letter each.

use bytes::Bytes;
use rand::{RngExt, rngs::StdRng};

use crate::codec::gzip;

/// In which way a record is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breakage {
    /// A gzip member that was cut.
    TruncatedGzip,
    /// A gzip member with a wrong CRC.
    BadChecksum,
    /// Text under gzip.
    NotJson,
    /// An envelope that does not say what it is.
    MissingMessageType,
    /// Bytes that are no format at all.
    RandomBytes,
}

impl Breakage {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TruncatedGzip,
        Self::BadChecksum,
        Self::NotJson,
        Self::MissingMessageType,
        Self::RandomBytes,
    ];
}

/// Writes a broken record, out of a good envelope where that is needed.
pub fn break_record(breakage: Breakage, envelope: &Bytes, rng: &mut StdRng) -> Bytes {
    match breakage {
        Breakage::TruncatedGzip => envelope.slice(..envelope.len() / 2),
        Breakage::BadChecksum => {
            let mut data = envelope.to_vec();
            // The last eight bytes are the CRC and the length.
            if let Some(byte) = data.iter_mut().rev().nth(7) {
                *byte ^= 0xff;
            }
            data.into()
        }
        Breakage::NotJson => gzip(b"2026-01-02 03:04:05 ERROR not an envelope\n").into(),
        Breakage::MissingMessageType => {
            gzip(br#"{"owner":"123456789012","logGroup":"/g","logEvents":[]}"#).into()
        }
        Breakage::RandomBytes => {
            let mut data = vec![0; rng.random_range(16..256)];
            rng.fill(&mut data[..]);
            // No format and no UTF-8 text starts so.
            data.insert(0, 0xff);
            data.into()
        }
    }
}
