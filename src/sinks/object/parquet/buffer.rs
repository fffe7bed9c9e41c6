//! The values of one column, until their row group is written.

use parquet::{
    column::writer::ColumnWriter,
    data_type::{ByteArray, FixedLenByteArray},
    errors::ParquetError,
};

use super::cell::{Cell, Cells};
use crate::sinks::object::column::{Column, ColumnType};

/// Values in the order of their rows, with their levels (Parquet format, nested encoding).
pub(super) struct Buffer {
    values: Vec<Cell>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    /// The level at which the column itself is there; one below it is `null`.
    there: i16,
    is_list: bool,
}

impl Buffer {
    pub(super) fn new(column: &Column) -> Self {
        Self {
            values: Vec::new(),
            definitions: Vec::new(),
            repetitions: Vec::new(),
            there: column.nullable.into(),
            is_list: matches!(column.kind, ColumnType::Array(_)),
        }
    }

    /// Adds what the next row has.
    pub(super) fn push(&mut self, cells: Cells) {
        match cells {
            // Of a column that is never null there is none.
            Cells::Null => self.level(0, 0),
            Cells::One(cell) => {
                self.level(self.there, 0);
                self.values.push(cell);
            }
            Cells::Many(items) if items.is_empty() => self.level(self.there, 0),
            Cells::Many(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    // The item's place is there, and perhaps the item.
                    let level = self.there + 1 + i16::from(item.is_some());
                    self.level(level, i16::from(index > 0));
                    self.values.extend(item);
                }
            }
        }
    }

    fn level(&mut self, definition: i16, repetition: i16) {
        self.definitions.push(definition);
        self.repetitions.push(repetition);
    }

    /// Writes the column, and is empty.
    pub(super) fn write(&mut self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let values = std::mem::take(&mut self.values);
        let (definitions, repetitions) =
            (std::mem::take(&mut self.definitions), std::mem::take(&mut self.repetitions));
        // Levels that are all the same are not written.
        let definitions = (self.is_list || self.there > 0).then_some(&definitions[..]);
        let repetitions = self.is_list.then_some(&repetitions[..]);
        macro_rules! write {
            ($writer:expr, $cell:pat => $value:expr) => {{
                // A column's cells are all of its type.
                let values = values.into_iter().filter_map(|cell| match cell {
                    $cell => Some($value),
                    _ => None,
                });
                let values: Vec<_> = values.collect();
                $writer.write_batch(&values, definitions, repetitions).map(drop)
            }};
        }
        match writer {
            ColumnWriter::BoolColumnWriter(writer) => write!(writer, Cell::Flag(it) => it),
            ColumnWriter::Int32ColumnWriter(writer) => write!(writer, Cell::Int(it) => it),
            ColumnWriter::Int64ColumnWriter(writer) => write!(writer, Cell::Long(it) => it),
            ColumnWriter::FloatColumnWriter(writer) => write!(writer, Cell::Float(it) => it),
            ColumnWriter::DoubleColumnWriter(writer) => write!(writer, Cell::Double(it) => it),
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                write!(writer, Cell::Bytes(it) => ByteArray::from(it))
            }
            ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
                write!(writer, Cell::Bytes(it) => FixedLenByteArray::from(ByteArray::from(it)))
            }
            ColumnWriter::Int96ColumnWriter(_) => {
                Err(ParquetError::General("no column is of this type".to_owned()))
            }
        }
    }
}
