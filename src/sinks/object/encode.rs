//! Events as the bytes of an object.

use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::{ObjectCompression, ObjectConfig, ObjectFormat};
use crate::{model::OutputEvent, sinks::lines::json_lines};

/// The object with these events. The same events give the same bytes.
pub(super) fn encode(events: &[OutputEvent], config: &ObjectConfig) -> io::Result<Vec<u8>> {
    let lines = match config.format {
        ObjectFormat::JsonLines => json_lines(events),
    };
    match config.compression {
        ObjectCompression::None => Ok(lines),
        ObjectCompression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&lines)?;
            encoder.finish()
        }
        ObjectCompression::Zstd => {
            zstd::stream::encode_all(lines.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL)
        }
    }
}
