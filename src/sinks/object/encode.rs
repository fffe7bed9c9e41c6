//! Events as the bytes of an object.

use std::io::{self, Write};

use flate2::write::GzEncoder;

use super::{ObjectCompression, ObjectConfig, ObjectFormat, encoded::Encoded};
use crate::{model::OutputEvent, sinks::lines::json_lines};

/// The object with these events. The same events give the same bytes.
///
/// # Errors
/// None that an event could cause.
pub(super) fn encode(events: &[OutputEvent], config: &ObjectConfig) -> io::Result<Encoded> {
    match config.format {
        ObjectFormat::JsonLines => {
            let bytes = compressed(json_lines(events), config.compression)?;
            Ok(Encoded { bytes, refused: Vec::new() })
        }
        #[cfg(feature = "parquet")]
        ObjectFormat::Parquet => {
            super::parquet::encode(events, &config.columns, config.compression)
                .map_err(io::Error::other)
        }
        #[cfg(not(feature = "parquet"))]
        ObjectFormat::Parquet => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn compressed(lines: Vec<u8>, compression: ObjectCompression) -> io::Result<Vec<u8>> {
    match compression {
        // Snappy is for parquet alone: the configuration is refused.
        ObjectCompression::None | ObjectCompression::Snappy => Ok(lines),
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
