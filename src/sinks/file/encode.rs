//! A batch as the bytes of a file: plain, or one whole gzip member or zstd frame.

use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::Compression;

/// Readers take gzip members and zstd frames one after the other as one file (RFC 1952, section
/// 2.2; RFC 8878, section 3.1).
pub(super) fn encode(lines: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(lines),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&lines)?;
            encoder.finish()
        }
        Compression::Zstd => {
            zstd::stream::encode_all(lines.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL)
        }
    }
}
