//! The lease store over a DynamoDB table with the KCL's schema.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    operation::update_item::{UpdateItemError, UpdateItemOutput},
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use tokio::sync::Semaphore;

use super::{
    AwsConnection, Fault,
    lease_expressions::expressions,
    lease_item::{Item, LEASE_KEY, Row, n, new_item, read_row, s},
};
use crate::{
    model::{Lease, LeaseKey, LeaseWrite},
    ports::{LeaseStore, StoreError, Swap},
};

/// The lease table of one application in DynamoDB.
///
/// Writes are sent once, with a time-out of three seconds; reads are repeated by the SDK.
#[derive(Debug)]
pub struct DynamoLeases {
    pub(super) reads: Client,
    pub(super) writes: Client,
    pub(super) table: String,
    noted: Notes,
    /// The turns of writers.
    turns: Semaphore,
}

/// Writes that are under way at a time. Each takes a connection; the renewals of a thousand leases are
/// due at the same time.
const WRITES_AT_A_TIME: usize = 64;

impl DynamoLeases {
    /// The leases in a table of this name. Calls nothing; see [`Self::ensure_table`].
    pub fn new(connection: &AwsConnection, table: impl Into<String>) -> Self {
        Self {
            reads: connection.dynamodb_reads(),
            writes: connection.dynamodb_writes(),
            table: table.into(),
            noted: Notes::default(),
            turns: Semaphore::new(WRITES_AT_A_TIME),
        }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The row as it is, or an error when it is no lease.
    async fn read_consistently(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        let item = self.get_item(&self.table, LEASE_KEY, key.as_str()).await;
        item.map_err(Fault::into_store_read)?.map_or(Ok(None), |item| lease_of(&item))
    }

    /// Shows every item of the table, page by page.
    pub(super) async fn each_item(
        &self,
        mut see: impl FnMut(Item) + Send,
    ) -> Result<(), StoreError> {
        let mut from: Option<Item> = None;
        loop {
            let page = self
                .reads
                .scan()
                .table_name(&self.table)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| Fault::of("dynamodb:Scan", &error).into_store_read())?;
            page.items.unwrap_or_default().into_iter().for_each(&mut see);
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// One item by a consistent read.
    pub(super) async fn get_item(
        &self,
        table: &str,
        key_name: &str,
        key: &str,
    ) -> Result<Option<Item>, Fault> {
        let answer = self
            .reads
            .get_item()
            .table_name(table)
            .key(key_name, s(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("dynamodb:GetItem", &error))?;
        Ok(answer.item)
    }

    /// The row after an applied write. Servers that do not return it are asked again.
    async fn applied(&self, key: &LeaseKey, answer: UpdateItemOutput) -> Result<Swap, StoreError> {
        if let Some(lease) = answer.attributes.as_ref().and_then(|item| lease_of(item).ok()?) {
            return Ok(Swap::Applied(lease));
        }
        match self.read_consistently(key).await {
            Ok(Some(lease)) => Ok(Swap::Applied(lease)),
            Ok(None) => Err(StoreError::Unknown(format!("the row {key} is gone after a write"))),
            Err(error) => Err(StoreError::Unknown(error.to_string())),
        }
    }

    /// The row that did not fulfil a condition. Servers that do not return it are asked again.
    async fn refused(&self, key: &LeaseKey, item: Option<&Item>) -> Result<Swap, StoreError> {
        match item {
            Some(item) if !item.is_empty() => Ok(Swap::Refused(lease_of(item)?)),
            _ => Ok(Swap::Refused(self.read_consistently(key).await?)),
        }
    }
}

/// The lease in an item; `None` when it is a row of another kind.
fn lease_of(item: &Item) -> Result<Option<Lease>, StoreError> {
    match read_row(item) {
        Row::Lease(lease) => Ok(Some(*lease)),
        Row::Foreign { .. } => Ok(None),
        Row::Malformed(problem) => Err(StoreError::Corrupt(problem.to_string())),
    }
}

/// `false` when a write without further questions was refused.
fn refused_or_failed(fault: Fault) -> Result<bool, StoreError> {
    if fault.code.as_deref() == Some("ConditionalCheckFailedException") {
        return Ok(false);
    }
    Err(fault.into_store_write())
}

#[async_trait]
impl LeaseStore for DynamoLeases {
    async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
        let mut leases = Vec::new();
        self.each_item(|item| match read_row(&item) {
            Row::Lease(lease) => leases.push(*lease),
            Row::Foreign { key } => self.noted.foreign(&key),
            Row::Malformed(problem) => self.noted.malformed(&problem.to_string()),
        })
        .await?;
        Ok(leases)
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        self.read_consistently(key).await
    }

    async fn create(&self, lease: &Lease) -> Result<bool, StoreError> {
        let answer = self
            .writes
            .put_item()
            .table_name(&self.table)
            .set_item(Some(new_item(lease)))
            .condition_expression("attribute_not_exists(leaseKey)")
            .send()
            .await;
        answer.map_or_else(
            |error| refused_or_failed(Fault::of("dynamodb:PutItem", &error)),
            |_| Ok(true),
        )
    }

    async fn write(&self, key: &LeaseKey, write: &LeaseWrite) -> Result<Swap, StoreError> {
        let expressions = expressions(write);
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        let answer = self
            .writes
            .update_item()
            .table_name(&self.table)
            .key(LEASE_KEY, s(key.as_str()))
            .condition_expression(expressions.condition)
            .update_expression(expressions.update)
            .set_expression_attribute_values(Some(expressions.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let error = match answer {
            Ok(answer) => return self.applied(key, answer).await,
            Err(error) => error,
        };
        if let Some(UpdateItemError::ConditionalCheckFailedException(refusal)) =
            error.as_service_error()
        {
            return self.refused(key, refusal.item()).await;
        }
        Err(Fault::of("dynamodb:UpdateItem", &error).into_store_write())
    }

    async fn delete(&self, lease: &Lease) -> Result<bool, StoreError> {
        let answer = self
            .writes
            .delete_item()
            .table_name(&self.table)
            .key(LEASE_KEY, s(lease.key.as_str()))
            .condition_expression(
                "attribute_not_exists(leaseKey) OR (leaseCounter = :seen AND checkpoint = :checkpoint)",
            )
            .expression_attribute_values(":seen", n(lease.counter))
            .expression_attribute_values(":checkpoint", s(lease.checkpoint.text()))
            .send()
            .await;
        answer.map_or_else(
            |error| refused_or_failed(Fault::of("dynamodb:DeleteItem", &error)),
            |_| Ok(true),
        )
    }
}

/// What scans have already said: each odd row is worth one log line, not one a scan.
#[derive(Debug, Default)]
struct Notes(Mutex<HashSet<String>>);

impl Notes {
    /// Enough for any table worth repairing by hand; beyond it, lines repeat.
    const MOST: usize = 1024;

    fn foreign(&self, key: &str) {
        if self.is_new(key) {
            tracing::debug!(key, "row of the lease table is not a lease");
        }
    }

    fn malformed(&self, problem: &str) {
        if self.is_new(problem) {
            tracing::warn!(problem, "malformed lease left out");
        }
    }

    fn is_new(&self, note: &str) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= Self::MOST {
            noted.clear();
        }
        noted.insert(note.to_owned())
    }
}
