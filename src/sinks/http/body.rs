//! A batch as the body of a request.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::{BodyFormat, HttpCompression, client::Body};
use crate::{model::OutputEvent, sinks::lines::json_lines};

/// The body for an endpoint without a preset.
pub(super) fn plain(events: &[OutputEvent], format: BodyFormat) -> (Vec<u8>, &'static str) {
    match format {
        BodyFormat::Lines => (json_lines(events), "application/x-ndjson"),
        BodyFormat::Array => {
            let mut array = vec![b'['];
            for (index, event) in events.iter().enumerate() {
                if index > 0 {
                    array.push(b',');
                }
                array.extend_from_slice(&event.json);
            }
            array.push(b']');
            (array, "application/json")
        }
    }
}

/// Compressed, if it is to be.
pub(super) fn encode(
    (plain, content_type): (Vec<u8>, &'static str),
    compression: HttpCompression,
) -> std::io::Result<Body> {
    let gzip = compression == HttpCompression::Gzip;
    let bytes = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&plain)?;
        Bytes::from(encoder.finish()?)
    } else {
        Bytes::from(plain)
    };
    Ok(Body { bytes, content_type, gzip })
}
