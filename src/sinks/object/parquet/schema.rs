//! The schema of a file.

use std::{collections::BTreeMap, sync::Arc};

use parquet::{
    basic::{LogicalType, Repetition, TimeUnit, Type as Physical},
    errors::ParquetError,
    schema::types::{Type, TypePtr},
};

use super::cell::{DIGITS_OF_INT, DIGITS_OF_LONG};
use crate::sinks::object::column::{Column, ColumnType, ScalarType};

/// Bytes of a decimal that is too long for an integer.
const DECIMAL_BYTES: i32 = 16;

/// The schema with these columns, in their order.
pub(super) fn schema(columns: &BTreeMap<String, Column>) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(|(name, column)| field(name, column));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Type::group_type_builder("event").with_fields(fields).build()?))
}

fn field(name: &str, column: &Column) -> Result<TypePtr, ParquetError> {
    let repetition = if column.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    match column.kind {
        ColumnType::One(kind) => scalar(name, kind, repetition),
        // Three levels, with these names (Parquet format, nested types).
        ColumnType::Array(kind) => {
            let element = scalar("element", kind, Repetition::OPTIONAL)?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![element])
                .build()?;
            let list = Type::group_type_builder(name)
                .with_repetition(repetition)
                .with_logical_type(Some(LogicalType::List))
                .with_fields(vec![Arc::new(list)])
                .build()?;
            Ok(Arc::new(list))
        }
    }
}

fn scalar(name: &str, kind: ScalarType, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let timestamp = |unit| Some(LogicalType::timestamp(true, unit));
    let (physical, logical) = match kind {
        ScalarType::String | ScalarType::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        ScalarType::Boolean => (Physical::BOOLEAN, None),
        ScalarType::Int => (Physical::INT32, None),
        ScalarType::Bigint => (Physical::INT64, None),
        ScalarType::Float => (Physical::FLOAT, None),
        ScalarType::Double => (Physical::DOUBLE, None),
        ScalarType::Decimal { precision, scale } => {
            let physical = match precision {
                ..=DIGITS_OF_INT => Physical::INT32,
                _ if precision <= DIGITS_OF_LONG => Physical::INT64,
                _ => Physical::FIXED_LEN_BYTE_ARRAY,
            };
            (physical, Some(LogicalType::decimal(scale.into(), precision.into())))
        }
        ScalarType::Date => (Physical::INT32, Some(LogicalType::Date)),
        ScalarType::Timestamp => (Physical::INT64, timestamp(TimeUnit::MILLIS)),
        ScalarType::TimestampMicros => (Physical::INT64, timestamp(TimeUnit::MICROS)),
    };
    let mut builder = Type::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical);
    if let ScalarType::Decimal { precision, scale } = kind {
        builder = builder.with_precision(precision.into()).with_scale(scale.into());
    }
    if physical == Physical::FIXED_LEN_BYTE_ARRAY {
        builder = builder.with_length(DECIMAL_BYTES);
    }
    Ok(Arc::new(builder.build()?))
}
