//! The lease table as a whole: its schema, its creation, and who else uses it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::create_table::CreateTableError,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        TableDescription, TableStatus,
    },
};
use tokio::time::{Instant, sleep};

use super::{DynamoLeases, Fault, FaultKind, lease_item::LEASE_KEY};
use crate::ports::StoreError;

/// How the lease table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableReady {
    /// It was there.
    Existing,
    /// This call created it, or another worker at the same time.
    Created,
}

/// How the fleet that uses the table distributes its leases (KCL `MigrationClientVersionState`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetMode {
    /// Every worker takes leases for itself: KCL 1.x, 2.x, 3.x in a compatible mode, or nobody yet.
    Taker,
    /// A leader assigns leases from the workers' metrics: KCL 3.x.
    LeaderAssigned {
        /// The `cv` attribute that says so.
        client_version: String,
    },
}

/// How long a table may take to become active.
const ACTIVE_WITHIN: Duration = Duration::from_mins(2);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Row of the KCL's migration from 2.x to 3.x; `cv` says which algorithms the fleet runs.
const CLIENT_VERSION_ROW: &str = "Migration3.0";
/// Row of the KCL's migration to a single table; `tm` says how far it has come.
const TABLE_MIGRATION_ROW: &str = "TableMigration3.5";

impl DynamoLeases {
    /// Makes sure that the table is there, is active and is a lease table. Creates it when it is
    /// missing and `create` says so: key `leaseKey`, billed per request.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the table is missing and must not be created, or has another
    /// key; [`StoreError::Unavailable`] when it does not become active within two minutes.
    ///
    /// # Cancel safety
    /// The table may have been created when this future is dropped.
    pub async fn ensure_table(&self, create: bool) -> Result<TableReady, StoreError> {
        let deadline = Instant::now() + ACTIVE_WITHIN;
        let mut ready = TableReady::Existing;
        loop {
            match self.describe_table().await? {
                None if !create => return Err(self.missing()),
                None if ready == TableReady::Existing => {
                    self.create_table().await?;
                    ready = TableReady::Created;
                    continue;
                }
                None => {}
                Some(table) => {
                    self.check_schema(&table)?;
                    if matches!(
                        table.table_status(),
                        None | Some(TableStatus::Active | TableStatus::Updating)
                    ) {
                        return Ok(ready);
                    }
                }
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Unavailable(format!(
                    "table {} has not become active within {} s",
                    self.table,
                    ACTIVE_WITHIN.as_secs()
                )));
            }
            sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// Finds out how the fleet distributes its leases: `coordinator_table` is where KCL 3.0 to 3.4
    /// say it (by default `<application>-CoordinatorState`), newer ones say it in the lease table.
    ///
    /// # Errors
    /// When a table does not answer.
    pub async fn fleet_mode(&self, coordinator_table: &str) -> Result<FleetMode, StoreError> {
        let migration = self.attribute(coordinator_table, TABLE_MIGRATION_ROW, "tm").await?;
        let mut version = None;
        if migration.as_deref() != Some("TABLE_MIGRATION_STATUS_COMPLETE") {
            version = self.attribute(coordinator_table, CLIENT_VERSION_ROW, "cv").await?;
        }
        if version.is_none() {
            version = self.attribute(&self.table, CLIENT_VERSION_ROW, "cv").await?;
        }
        Ok(match version.as_deref() {
            None | Some("CLIENT_VERSION_UPGRADE_FROM_2X" | "CLIENT_VERSION_2X") => FleetMode::Taker,
            Some(client_version) => {
                FleetMode::LeaderAssigned { client_version: client_version.to_owned() }
            }
        })
    }

    /// A text attribute of a coordinator row; `None` when attribute, row or table is not there. The
    /// key attribute is `leaseKey` in the lease table.
    async fn attribute(
        &self,
        table: &str,
        row: &str,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        let key_name = if table == self.table { LEASE_KEY } else { "key" };
        match self.get_item(table, key_name, row).await {
            Ok(item) => Ok(item.and_then(|item| item.get(name)?.as_s().ok().cloned())),
            Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
            Err(fault) => Err(fault.into_store_read()),
        }
    }

    pub(super) async fn describe_table(&self) -> Result<Option<TableDescription>, StoreError> {
        let answer = self.reads.describe_table().table_name(&self.table).send().await;
        let fault = match answer {
            Ok(answer) => return Ok(Some(answer.table.unwrap_or_else(unknown_table))),
            Err(error) => Fault::of("dynamodb:DescribeTable", &error),
        };
        if fault.kind == FaultKind::NotFound {
            return Ok(None);
        }
        Err(fault.into_store_read())
    }

    /// Another worker may be creating the table at this moment; that is as good.
    async fn create_table(&self) -> Result<(), StoreError> {
        let build_error = |error: aws_sdk_dynamodb::error::BuildError| {
            StoreError::Corrupt(format!("dynamodb:CreateTable: {error}"))
        };
        let key = KeySchemaElement::builder()
            .attribute_name(LEASE_KEY)
            .key_type(KeyType::Hash)
            .build()
            .map_err(build_error)?;
        let attribute = AttributeDefinition::builder()
            .attribute_name(LEASE_KEY)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(build_error)?;
        tracing::info!(table = self.table, "creating the lease table");
        let answer = self
            .reads
            .create_table()
            .table_name(&self.table)
            .key_schema(key)
            .attribute_definitions(attribute)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateTableError::is_resource_in_use_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(Fault::of("dynamodb:CreateTable", &error).into_store_read()),
        }
    }

    fn missing(&self) -> StoreError {
        StoreError::Corrupt(format!(
            "there is no table {}: create it with the key `{LEASE_KEY}` (String), or allow its creation",
            self.table
        ))
    }

    /// A table of another application would be filled with rows that it cannot read.
    pub(super) fn check_schema(&self, table: &TableDescription) -> Result<(), StoreError> {
        let found: Vec<String> = table
            .key_schema()
            .iter()
            .map(|key| {
                let kind = table
                    .attribute_definitions()
                    .iter()
                    .find(|attribute| attribute.attribute_name() == key.attribute_name())
                    .map_or("?", |attribute| attribute.attribute_type().as_str());
                format!("{} ({kind}, {})", key.attribute_name(), key.key_type().as_str())
            })
            .collect();
        let expected = format!("{LEASE_KEY} (S, HASH)");
        if found == [expected.as_str()] {
            return Ok(());
        }
        Err(StoreError::Corrupt(format!(
            "table {} has the key {}, a lease table has {expected}: set `lease.table` to the name of \
             a lease table, or to a name that is not taken",
            self.table,
            if found.is_empty() { "(none)".to_owned() } else { found.join(" + ") },
        )))
    }
}

/// A server that says nothing of an existing table; its schema then fails the check.
fn unknown_table() -> TableDescription {
    TableDescription::builder().build()
}
