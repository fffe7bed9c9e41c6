//! Events as a Parquet file.
//!
//! The same events give the same bytes, as long as this program is of the same version: the file holds no
//! time and no chance.
//!
//! `number` reads exact numbers, `cell` a value of an event, `buffer` holds a column until its row group
//! is written, `schema` is the file's.

mod buffer;
mod cell;
mod number;
mod schema;

use std::{collections::BTreeMap, sync::Arc};

use parquet::{
    basic::{Compression, GzipLevel, ZstdLevel},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
};

use self::{buffer::Buffer, cell::cells};
use super::{Column, ObjectCompression, encoded::Encoded};
use crate::model::OutputEvent;

/// A row group is closed when its events had so many bytes: readers take row groups as a whole, and so
/// much is held of one.
const GROUP_BYTES: usize = 64 << 20;

/// The file with these events. Those that do not fit are refused.
///
/// # Errors
/// The crate's; none that an event could cause.
pub(super) fn encode(
    events: &[OutputEvent],
    columns: &BTreeMap<String, Column>,
    compression: ObjectCompression,
) -> Result<Encoded, ParquetError> {
    let properties = WriterProperties::builder().set_compression(codec(compression)?).build();
    let schema = schema::schema(columns)?;
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut buffers: Vec<Buffer> = columns.values().map(Buffer::new).collect();
    let mut refused = Vec::new();
    let (mut rows, mut bytes) = (0_usize, 0);
    for (index, event) in events.iter().enumerate() {
        let row = columns.iter().map(|(name, column)| cells(name, column, event));
        match row.collect::<Result<Vec<_>, _>>() {
            Err(why) => refused.push((index, why)),
            Ok(row) => {
                rows += 1;
                bytes += event.json.len();
                for (buffer, cells) in buffers.iter_mut().zip(row) {
                    buffer.push(cells);
                }
            }
        }
        if bytes >= GROUP_BYTES {
            write_group(&mut file, &mut buffers)?;
            (rows, bytes) = (0, 0);
        }
    }
    if rows > 0 {
        write_group(&mut file, &mut buffers)?;
    }
    let bytes = file.into_inner()?;
    Ok(Encoded { bytes, refused })
}

fn write_group(
    file: &mut SerializedFileWriter<Vec<u8>>,
    buffers: &mut [Buffer],
) -> Result<(), ParquetError> {
    let mut group = file.next_row_group()?;
    for buffer in buffers {
        let Some(mut column) = group.next_column()? else { break };
        buffer.write(column.untyped())?;
        column.close()?;
    }
    group.close().map(drop)
}

fn codec(compression: ObjectCompression) -> Result<Compression, ParquetError> {
    Ok(match compression {
        ObjectCompression::None => Compression::UNCOMPRESSED,
        ObjectCompression::Snappy => Compression::SNAPPY,
        ObjectCompression::Gzip => Compression::GZIP(GzipLevel::default()),
        ObjectCompression::Zstd => {
            Compression::ZSTD(ZstdLevel::try_new(zstd::DEFAULT_COMPRESSION_LEVEL)?)
        }
    })
}

#[cfg(test)]
mod tests;
