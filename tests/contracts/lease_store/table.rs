//! What only a DynamoDB table has: a schema, attributes and rows of others, a KCL 3.x fleet.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    primitives::Blob,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
        ScalarAttributeType,
    },
};
use shardwright::{
    aws::{DynamoLeases, FleetMode, TableReady},
    model::{Checkpoint, LeaseKey, LeaseWrite, ShardId, WorkerId},
    ports::{LeaseStore, StoreError, Swap},
};

use super::{Fixture, contract::fresh};

impl Fixture {
    /// A plain client, as a Java worker or a human would use it.
    fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::config::Builder::from(self.connection.sdk_config())
            .endpoint_url(&self.endpoint)
            .build();
        Client::from_conf(config)
    }

    async fn put(&self, table: &str, item: &[(&str, AttributeValue)]) {
        let item = item.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.client().put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    }

    async fn item(&self, key: &str) -> HashMap<String, AttributeValue> {
        let answer =
            self.client().get_item().table_name(&self.table).key("leaseKey", s(key)).send().await;
        answer.unwrap().item.unwrap()
    }

    async fn create_table(&self, table: &str, key: &str, kind: ScalarAttributeType) {
        let attribute =
            AttributeDefinition::builder().attribute_name(key).attribute_type(kind).build();
        let element =
            KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build();
        let call = self.client().create_table().table_name(table);
        call.attribute_definitions(attribute.unwrap())
            .key_schema(element.unwrap())
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
    }
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: &str) -> AttributeValue {
    AttributeValue::N(number.to_owned())
}

/// A row of KCL 3.5 with everything that it may hold, at counter 5.
fn java_row(key: &str) -> Vec<(&'static str, AttributeValue)> {
    vec![
        ("leaseKey", s(key)),
        ("leaseCounter", n("5")),
        ("leaseOwner", s("a")),
        ("checkpoint", s("11")),
        ("checkpointSubSequenceNumber", n("0")),
        ("ownerSwitchesSinceCheckpoint", n("4")),
        ("throughputKBps", n("12.345678")),
        ("entityType", s("LEASE")),
        ("pendingCheckpoint", s("12")),
        ("pendingCheckpointSubSequenceNumber", n("1")),
        ("pendingCheckpointState", AttributeValue::B(Blob::new([1, 2, 3]))),
        ("somethingNew", AttributeValue::L(vec![n("1")])),
    ]
}

pub(crate) async fn attributes_of_others_survive_and_a_checkpoint_clears_what_was_prepared(
    fixture: &Fixture,
) {
    fixture.put(&fixture.table, &java_row("shardId-1")).await;
    let key = LeaseKey::new("shardId-1");
    let renew = |counter, checkpoint: Option<Checkpoint>| LeaseWrite::Renew {
        by: WorkerId::new("a"),
        counter,
        checkpoint: checkpoint.map(Into::into),
    };

    fixture.leases.write(&key, &renew(5, None)).await.unwrap();
    let mut expect: HashMap<String, AttributeValue> =
        java_row("shardId-1").into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    expect.insert("leaseCounter".into(), n("6"));
    assert_eq!(fixture.item("shardId-1").await, expect);

    let due = Checkpoint::parse("12", 1).unwrap();
    fixture.leases.write(&key, &renew(6, Some(due))).await.unwrap();
    expect.insert("leaseCounter".into(), n("7"));
    expect.insert("checkpoint".into(), s("12"));
    expect.insert("checkpointSubSequenceNumber".into(), n("1"));
    expect.insert("ownerSwitchesSinceCheckpoint".into(), n("0"));
    expect.retain(|name, _| !name.starts_with("pending"));
    assert_eq!(fixture.item("shardId-1").await, expect);
}

pub(crate) async fn a_new_row_has_the_attributes_of_kcl_2(fixture: &Fixture) {
    let mut lease = fresh("shardId-1");
    lease.parents = vec![ShardId::new("shardId-0")];
    fixture.leases.create(&lease).await.unwrap();
    let expect: HashMap<String, AttributeValue> = [
        ("leaseKey", s("shardId-1")),
        ("leaseCounter", n("0")),
        ("checkpoint", s("TRIM_HORIZON")),
        ("checkpointSubSequenceNumber", n("0")),
        ("ownerSwitchesSinceCheckpoint", n("0")),
        ("parentShardId", AttributeValue::Ss(vec!["shardId-0".to_owned()])),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    assert_eq!(fixture.item("shardId-1").await, expect);
}

pub(crate) async fn rows_that_are_no_leases_are_left_out_and_one_bad_row_spoils_nothing(
    fixture: &Fixture,
) {
    let (leases, client) = (&fixture.leases, fixture.client());
    fixture.put(&fixture.table, &java_row("shardId-1")).await;
    fixture.put(&fixture.table, &[("leaseKey", s("Leader")), ("leaseDuration", s("120000"))]).await;
    let metrics = s("WORKER_METRIC_STATS");
    fixture
        .put(&fixture.table, &[("leaseKey", s("w-7")), ("lut", n("1")), ("entityType", metrics)])
        .await;
    let mut bad = java_row("shardId-2");
    bad.push(("checkpoint", s("yesterday")));
    fixture.put(&fixture.table, &bad).await;
    let mut odd = java_row("shardId-3");
    odd.push(("pendingCheckpointState", n("0")));
    fixture.put(&fixture.table, &odd).await;

    let mut found: Vec<_> = leases.scan().await.unwrap().into_iter().map(|row| row.key).collect();
    found.sort();
    assert_eq!(found, [LeaseKey::new("shardId-1"), LeaseKey::new("shardId-3")]);
    assert_eq!(leases.read(&LeaseKey::new("Leader")).await.unwrap(), None);
    let error = leases.read(&LeaseKey::new("shardId-2")).await.unwrap_err().to_string();
    assert!(error.contains("shardId-2") && error.contains("`checkpoint`"), "{error}");

    let take =
        LeaseWrite::Take { by: WorkerId::new("a"), counter: 0, from: None, latest_since: None };
    let swap = leases.write(&LeaseKey::new("Leader"), &take).await.unwrap();
    assert_eq!(swap, Swap::Refused(None), "a lock is not a lease that could be taken");
    let leader =
        client.get_item().table_name(&fixture.table).key("leaseKey", s("Leader")).send().await;
    assert_eq!(leader.unwrap().item.unwrap().len(), 2);
}

pub(crate) async fn the_table_is_created_once_and_only_when_allowed(fixture: &Fixture) {
    let name = fixture.beside("invoices");
    let other = DynamoLeases::new(&fixture.connection, &name);
    let error = other.ensure_table(false).await.unwrap_err().to_string();
    assert!(error.contains(&format!("there is no table {name}")), "{error}");
    let (one, two) = tokio::join!(other.ensure_table(true), other.ensure_table(true));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!(other.ensure_table(false).await.unwrap(), TableReady::Existing);
    assert_eq!(other.scan().await.unwrap(), []);
    let table = fixture.client().describe_table().table_name(name).send().await.unwrap();
    let billing = table.table.unwrap().billing_mode_summary.unwrap().billing_mode;
    assert_eq!(billing, Some(BillingMode::PayPerRequest));
}

pub(crate) async fn a_table_of_something_else_is_refused(fixture: &Fixture) {
    for (table, key, kind, found) in [
        ("users", "id", ScalarAttributeType::S, "id (S, HASH)"),
        ("numbers", "leaseKey", ScalarAttributeType::N, "leaseKey (N, HASH)"),
    ] {
        let table = fixture.beside(table);
        fixture.create_table(&table, key, kind).await;
        let error = DynamoLeases::new(&fixture.connection, &table).ensure_table(true).await;
        let Err(StoreError::Corrupt(message)) = error else { panic!("{error:?}") };
        for part in [&table, found, "leaseKey (S, HASH)", "lease.table"] {
            assert!(message.contains(part), "{message}");
        }
    }
}

pub(crate) async fn a_missing_table_is_named(fixture: &Fixture) {
    let error =
        DynamoLeases::new(&fixture.connection, fixture.beside("nowhere")).scan().await.unwrap_err();
    assert!(error.to_string().contains("dynamodb:Scan"), "{error}");
}

pub(crate) async fn the_fleets_mode_is_found_wherever_its_kcl_keeps_it(fixture: &Fixture) {
    let (leases, side) = (&fixture.leases, &fixture.beside("CoordinatorState"));
    let led = |cv: &str| FleetMode::LeaderAssigned { client_version: cv.to_owned() };
    let cv = |version: &str| s(&format!("CLIENT_VERSION_{version}"));
    let tm = |status: &str| s(&format!("TABLE_MIGRATION_STATUS_{status}"));
    assert_eq!(leases.fleet_mode(side).await.unwrap(), FleetMode::Taker, "no rows at all");

    let own = async |version| {
        fixture.put(&fixture.table, &[("leaseKey", s("Migration3.0")), ("cv", cv(version))]).await;
        leases.fleet_mode(side).await.unwrap()
    };
    assert_eq!(own("3X").await, led("CLIENT_VERSION_3X"), "KCL 3.5 keeps it in the lease table");
    assert_eq!(own("UPGRADE_FROM_2X").await, FleetMode::Taker);

    fixture.create_table(side, "key", ScalarAttributeType::S).await;
    assert_eq!(leases.fleet_mode(side).await.unwrap(), FleetMode::Taker);
    let legacy = async |version, status| {
        fixture.put(side, &[("key", s("Migration3.0")), ("cv", cv(version))]).await;
        fixture.put(side, &[("key", s("TableMigration3.5")), ("tm", tm(status))]).await;
        leases.fleet_mode(side).await.unwrap()
    };
    assert_eq!(legacy("3X_WITH_ROLLBACK", "PENDING").await, led("CLIENT_VERSION_3X_WITH_ROLLBACK"));
    assert_eq!(legacy("2X", "INIT").await, FleetMode::Taker);
    assert_eq!(legacy("3X", "COMPLETE").await, FleetMode::Taker, "the lease table counts");
}
