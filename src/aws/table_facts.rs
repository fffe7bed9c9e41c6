//! What DynamoDB says of the lease table as a whole, and what it lets this process do there.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{BillingMode, PointInTimeRecoveryStatus, TableDescription};

use super::{
    DynamoLeases, Fault, FaultKind,
    lease_item::{LEASE_KEY, s},
};
use crate::ports::StoreError;

/// A table as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    /// `ACTIVE`, `CREATING` and so on, when the server says so.
    pub status: Option<String>,
    /// What is wrong with its key.
    pub schema: Result<(), String>,
    /// Read and write units a second, unless it is billed per request.
    pub provisioned: Option<(u64, u64)>,
    /// Global secondary indexes: each write that touches one costs twice.
    pub indexes: Vec<String>,
    /// Whether it must be unprotected before it can be deleted.
    pub deletion_protection: bool,
}

/// A row that is never there, since the writes that name it never apply.
const NO_ROW: &str = "shardwright-check";
/// Refuses every write: the key of a row is the one by which it was found.
const NEVER: &str = "leaseKey = :other";

impl DynamoLeases {
    /// The table; `None` when it is not there.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn facts(&self) -> Result<Option<TableFacts>, StoreError> {
        Ok(self.describe_table().await?.map(|table| TableFacts {
            status: table.table_status().map(|status| status.as_str().to_owned()),
            schema: self.check_schema(&table).map_err(|problem| match problem {
                StoreError::Corrupt(text) => text,
                other => other.to_string(),
            }),
            provisioned: provisioned(&table),
            indexes: table
                .global_secondary_indexes()
                .iter()
                .filter_map(|index| index.index_name().map(str::to_owned))
                .collect(),
            deletion_protection: table.deletion_protection_enabled().unwrap_or(false),
        }))
    }

    /// Whether the table can be restored as it was at a moment of the last days.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or does not let this process ask.
    pub async fn can_be_restored(&self) -> Result<bool, StoreError> {
        let answer = self.reads.describe_continuous_backups().table_name(&self.table).send().await;
        let answer = answer.map_err(|error| {
            Fault::of("dynamodb:DescribeContinuousBackups", &error).into_store_read()
        })?;
        let status = answer
            .continuous_backups_description()
            .and_then(|backups| backups.point_in_time_recovery_description())
            .and_then(|recovery| recovery.point_in_time_recovery_status());
        Ok(status == Some(&PointInTimeRecoveryStatus::Enabled))
    }

    /// Tries the writes that workers make, under a condition that no row fulfils: whether they are
    /// allowed shows, and nothing is written. Each costs a write unit. The answers have the order of
    /// [`Self::WRITES`].
    pub async fn try_writes(&self) -> [Result<(), StoreError>; 3] {
        let other = || HashMap::from([(":other".to_owned(), s("another row"))]);
        let put = self
            .writes
            .put_item()
            .table_name(&self.table)
            .item(LEASE_KEY, s(NO_ROW))
            .condition_expression(NEVER)
            .set_expression_attribute_values(Some(other()));
        let update = self
            .writes
            .update_item()
            .table_name(&self.table)
            .key(LEASE_KEY, s(NO_ROW))
            .update_expression("REMOVE leaseOwner")
            .condition_expression(NEVER)
            .set_expression_attribute_values(Some(other()));
        let delete = self
            .writes
            .delete_item()
            .table_name(&self.table)
            .key(LEASE_KEY, s(NO_ROW))
            .condition_expression(NEVER)
            .set_expression_attribute_values(Some(other()));
        let [put_name, update_name, delete_name] = Self::WRITES;
        let of = |action: &'static str| {
            move |fault: Option<Fault>| match fault {
                Some(fault) => allowed(fault),
                None => Err(StoreError::Corrupt(format!(
                    "{action}: the server wrote in spite of a condition that cannot hold: no fleet is \
                     safe on it"
                ))),
            }
        };
        let (put, update, delete) = tokio::join!(put.send(), update.send(), delete.send());
        [
            of(put_name)(put.err().map(|error| Fault::of("dynamodb:PutItem", &error))),
            of(update_name)(update.err().map(|error| Fault::of("dynamodb:UpdateItem", &error))),
            of(delete_name)(delete.err().map(|error| Fault::of("dynamodb:DeleteItem", &error))),
        ]
    }

    /// What [`Self::try_writes`] tries.
    pub const WRITES: [&'static str; 3] = ["PutItem", "UpdateItem", "DeleteItem"];
}

/// A refused condition is an allowed write.
fn allowed(fault: Fault) -> Result<(), StoreError> {
    match fault.code.as_deref() {
        Some("ConditionalCheckFailedException") => Ok(()),
        _ if fault.kind == FaultKind::Unanswered => Err(StoreError::Unavailable(fault.message)),
        _ => Err(fault.into_store_write()),
    }
}

fn provisioned(table: &TableDescription) -> Option<(u64, u64)> {
    let mode = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    if mode == Some(&BillingMode::PayPerRequest) {
        return None;
    }
    let units = table.provisioned_throughput()?;
    let count = |units: Option<i64>| units.and_then(|units| u64::try_from(units).ok());
    let units = (count(units.read_capacity_units())?, count(units.write_capacity_units())?);
    // A table that is billed per request has none, and older servers do not say how it is billed.
    (units != (0, 0)).then_some(units)
}
