//! The lease store's contract, held by the DynamoDB adapter against a real server on loopback.
//!
//! `contract` is about any [`shardwright::ports::LeaseStore`]: other stores and fakes may be held
//! against it too. `table` is about what only DynamoDB has: the table, foreign rows, attributes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod contract;
mod table;

use std::sync::Arc;

use shardwright::{
    aws::{AwsConnection, AwsSettings, DynamoLeases},
    embedded::dynamodb::DynamoServer,
    ports::LeaseStore,
};

/// A server of its own for each test, with an empty lease table.
struct Fixture {
    server: DynamoServer,
    connection: AwsConnection,
    leases: Arc<DynamoLeases>,
}

impl Fixture {
    async fn start() -> Self {
        let server = DynamoServer::start().await.unwrap();
        let settings = AwsSettings {
            dynamodb_endpoint_url: Some(server.endpoint()),
            ..AwsSettings::default()
        };
        let connection = AwsConnection::emulator(&settings).await.unwrap();
        let leases = DynamoLeases::new(&connection, "orders");
        leases.ensure_table(true).await.unwrap();
        Self { server, connection, leases: Arc::new(leases) }
    }

    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.leases) as Arc<dyn LeaseStore>
    }
}

#[tokio::test]
async fn every_write_in_every_state_is_what_the_model_says() {
    let fixture = Fixture::start().await;
    contract::writes_follow_the_model(fixture.store()).await;
}

#[tokio::test]
async fn a_row_that_is_gone_refuses_every_write() {
    let fixture = Fixture::start().await;
    contract::missing_rows_refuse_writes(fixture.store()).await;
}

#[tokio::test]
async fn a_lease_is_created_once() {
    let fixture = Fixture::start().await;
    contract::a_lease_is_created_once(fixture.store()).await;
}

#[tokio::test]
async fn only_an_unchanged_lease_is_deleted() {
    let fixture = Fixture::start().await;
    contract::only_an_unchanged_lease_is_deleted(fixture.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_has_one_winner() {
    let fixture = Fixture::start().await;
    contract::a_race_has_one_winner(fixture.store()).await;
}

#[tokio::test]
async fn a_scan_follows_its_pages() {
    let fixture = Fixture::start().await;
    contract::a_scan_follows_its_pages(fixture.store()).await;
}
