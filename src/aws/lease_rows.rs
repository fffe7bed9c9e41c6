//! The lease table's items whole, for people who look into it.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Number, Value};

use super::{
    DynamoLeases, Fault,
    lease_item::{Item, LEASE_KEY, MODELLED, Row, read_row},
};
use crate::{
    model::{Lease, LeaseKey},
    ports::StoreError,
};

/// One item of the lease table, with the attributes that the model does not know.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRow {
    /// `leaseKey`.
    pub key: LeaseKey,
    /// What the item is.
    pub content: RowContent,
    /// Every attribute: numbers as numbers, sets sorted, bytes in base64.
    pub attributes: Map<String, Value>,
}

/// What an item of the lease table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowContent {
    /// A lease.
    Lease(Box<Lease>),
    /// Something else that newer KCLs keep in the same table: a lock, a worker's metrics.
    Foreign,
    /// A lease that no KCL would have written, and what is wrong with it. No worker takes it.
    Malformed(String),
}

impl TableRow {
    /// The attributes that a [`Lease`] does not hold: a KCL's throughput figure, or what a
    /// later version may add.
    pub fn other_attributes(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.attributes.iter().filter(|(name, _)| !MODELLED.contains(&name.as_str()))
    }
}

impl DynamoLeases {
    /// All items, by one scan. May be stale, and is no snapshot.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn rows(&self) -> Result<Vec<TableRow>, StoreError> {
        let mut rows = Vec::new();
        self.each_item(|item| rows.push(table_row(&item))).await?;
        Ok(rows)
    }

    /// One item by a consistent read; `None` when there is none.
    ///
    /// # Errors
    /// When the table does not answer.
    pub async fn row(&self, key: &LeaseKey) -> Result<Option<TableRow>, StoreError> {
        let item = self.get_item(&self.table, LEASE_KEY, key.as_str()).await;
        Ok(item.map_err(Fault::into_store_read)?.map(|item| table_row(&item)))
    }
}

fn table_row(item: &Item) -> TableRow {
    let attributes: Map<String, Value> =
        item.iter().map(|(name, value)| (name.clone(), json(value))).collect();
    let key = attributes.get(LEASE_KEY).and_then(Value::as_str).unwrap_or_default();
    let content = match read_row(item) {
        Row::Lease(lease) => RowContent::Lease(lease),
        Row::Foreign { .. } => RowContent::Foreign,
        Row::Malformed(problem) => RowContent::Malformed(problem.to_string()),
    };
    TableRow { key: LeaseKey::new(key), content, attributes }
}

fn json(value: &AttributeValue) -> Value {
    let bytes = |bytes: &[u8]| Value::from(BASE64_STANDARD.encode(bytes));
    match value {
        AttributeValue::S(text) => Value::from(text.as_str()),
        AttributeValue::N(digits) => number(digits),
        AttributeValue::Bool(truth) => Value::from(*truth),
        AttributeValue::B(blob) => bytes(blob.as_ref()),
        AttributeValue::Ss(set) => sorted(set.iter().map(|text| Value::from(text.as_str()))),
        AttributeValue::Ns(set) => sorted(set.iter().map(|digits| number(digits))),
        AttributeValue::Bs(set) => sorted(set.iter().map(|blob| bytes(blob.as_ref()))),
        AttributeValue::L(list) => list.iter().map(json).collect(),
        AttributeValue::M(map) => {
            map.iter().map(|(name, value)| (name.clone(), json(value))).collect()
        }
        _ => Value::Null,
    }
}

/// DynamoDB's numbers have 38 digits; one that JSON would not keep stays a text.
fn number(digits: &str) -> Value {
    let number: Option<Number> = digits.parse().ok();
    number
        .filter(|number| number.to_string() == digits)
        .map_or_else(|| digits.into(), Value::Number)
}

/// Sets have no order in DynamoDB.
fn sorted(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    values.sort_by_key(ToString::to_string);
    Value::Array(values)
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_of_attribute_has_a_readable_form() {
        let n = |digits: &str| AttributeValue::N(digits.to_owned());
        let s = |text: &str| AttributeValue::S(text.to_owned());
        let cases = [
            (s("a"), json!("a")),
            (n("812"), json!(812)),
            (n("12.345678"), json!(12.345_678)),
            (
                n("12345678901234567890123456789012345678"),
                json!("12345678901234567890123456789012345678"),
            ),
            (AttributeValue::B(Blob::new([1, 2, 3])), json!("AQID")),
            (AttributeValue::Ss(vec!["b".into(), "a".into()]), json!(["a", "b"])),
            (AttributeValue::Bool(true), json!(true)),
            (AttributeValue::Null(true), json!(null)),
            (AttributeValue::L(vec![n("1"), s("x")]), json!([1, "x"])),
            (AttributeValue::M([("k".to_owned(), n("-2"))].into()), json!({"k": -2})),
        ];
        for (value, expect) in cases {
            assert_eq!(json(&value), expect, "{value:?}");
        }
    }

    #[test]
    fn a_row_says_what_it_is_and_keeps_every_attribute() {
        let row = |pairs: &[(&str, AttributeValue)]| {
            table_row(
                &pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            )
        };
        let s = |text: &str| AttributeValue::S(text.to_owned());
        let counter = ("leaseCounter", AttributeValue::N("5".into()));
        let lease = row(&[
            ("leaseKey", s("shardId-1")),
            counter.clone(),
            ("checkpoint", s("LATEST")),
            ("throughputKBps", AttributeValue::N("1.5".into())),
        ]);
        assert!(matches!(lease.content, RowContent::Lease(_)));
        let others: Vec<_> = lease.other_attributes().collect();
        assert_eq!(others, [(&"throughputKBps".to_owned(), &json!(1.5))]);
        assert_eq!(row(&[("leaseKey", s("Leader"))]).content, RowContent::Foreign);
        let bad = row(&[("leaseKey", s("shardId-2")), counter, ("checkpoint", s("yesterday"))]);
        assert!(matches!(&bad.content, RowContent::Malformed(why) if why.contains("yesterday")));
        assert_eq!(bad.key.as_str(), "shardId-2");
    }
}
