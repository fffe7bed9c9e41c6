//! The lease store's contract, held by the DynamoDB adapter on two independent servers.

pub(crate) mod contract;
mod table;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use shardwright::{
    aws::{AwsConnection, AwsSettings, DynamoLeases},
    embedded::DynamoServer,
    ports::LeaseStore,
};

use crate::{
    harness::Server,
    shared::{Running, Shared},
};

/// A server with an empty lease table.
struct Fixture {
    endpoint: String,
    connection: AwsConnection,
    /// The table's name.
    table: String,
    leases: Arc<DynamoLeases>,
    _server: Process,
}

/// Kept for as long as the fixture.
#[expect(dead_code, reason = "kept, not asked")]
enum Process {
    Embedded(DynamoServer),
    Child(Arc<Running>),
}

impl Fixture {
    async fn dynoxide() -> Option<Self> {
        let server = DynamoServer::start().await.unwrap();
        Some(Self::on(server.endpoint(), Process::Embedded(server)).await)
    }

    async fn moto() -> Option<Self> {
        static MOTO: Shared = Shared::new();
        let moto = MOTO.get(Server::moto).await?;
        Some(Self::on(moto.server.endpoint(), Process::Child(moto)).await)
    }

    async fn on(endpoint: String, server: Process) -> Self {
        static TABLES: AtomicU32 = AtomicU32::new(0);
        let settings =
            AwsSettings { dynamodb_endpoint_url: Some(endpoint.clone()), ..AwsSettings::default() };
        let connection = AwsConnection::emulator(&settings).await.unwrap();
        let table = format!("orders-{}", TABLES.fetch_add(1, Ordering::Relaxed));
        let leases = Arc::new(DynamoLeases::new(&connection, &table));
        leases.ensure_table(true).await.unwrap();
        Self { endpoint, connection, table, leases, _server: server }
    }

    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.leases) as Arc<dyn LeaseStore>
    }

    fn whole(&self) -> &Self {
        self
    }

    /// The name of one more table, this test's own.
    fn beside(&self, name: &str) -> String {
        format!("{}-{name}", self.table)
    }
}

/// One test for each part of the contract.
macro_rules! suite {
    ($server:ident) => {
        suite! { $server:
            contract(store) [
                writes_follow_the_model
                missing_rows_refuse_writes
                a_lease_is_created_once
                only_an_unchanged_lease_is_deleted
                a_race_has_one_winner
                a_scan_follows_its_pages
            ]
            table(whole) [
                attributes_of_others_survive_and_a_checkpoint_clears_what_was_prepared
                a_new_row_has_the_attributes_of_kcl_2
                rows_that_are_no_leases_are_left_out_and_one_bad_row_spoils_nothing
                the_table_is_created_once_and_only_when_allowed
                a_table_of_something_else_is_refused
                a_missing_table_is_named
                the_fleets_mode_is_found_wherever_its_kcl_keeps_it
            ]
        }
    };
    ($server:ident: $($part:ident($how:ident) [$($contract:ident)*])*) => {
        mod $server {
            use super::{Fixture, $($part),*};
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $contract() {
                    let Some(fixture) = Fixture::$server().await else { return };
                    $part::$contract(fixture.$how()).await;
                }
            )*)*
        }
    };
}

suite!(dynoxide);
suite!(moto);
