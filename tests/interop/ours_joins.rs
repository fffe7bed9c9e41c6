//! Ours joins a Java fleet, leaves it, and takes its place.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{
    fleet::{Fleet, has_a_tail, of_java, of_ours, tail},
    harness::{Books, Producer, Stream, World},
    java::{Java, Kcl},
    part::{Part, Twice},
};

const SHARDS: i32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_joins_and_leaves_and_outlives_a_java_fleet() {
    let Some(kcl) = Kcl::find() else { return };
    let world = World::embedded().await;
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, SHARDS).await;
    let mut producer = Producer::new(&stream);

    // Java creates the table and the leases.
    let part = Part::begin("Java alone", &world);
    producer.put(&mut books, 60).await;
    let java = kcl.start(&world);
    part.end(&books, &[], Twice::Nothing).await;
    assert!(Fleet::Java.holds(&world.leases().await));
    let table = Table::of(&world);
    table.mark().await;

    let part = Part::begin("ours joins", &world);
    let ours = world.daemon();
    Fleet::Both.forms(&world, &mut producer, &mut books).await;
    producer.put(&mut books, 60).await;
    part.end(&books, &[], Twice::Nothing).await;

    let part = Part::begin("ours drains", &world);
    has_a_tail(&world, &mut producer, &mut books, of_ours).await;
    ours.terminate();
    Fleet::Java.forms(&world, &mut producer, &mut books).await;
    assert!(ours.exit().await.success(), "ours did not drain");
    producer.put(&mut books, 60).await;
    part.end(&books, &[], Twice::Nothing).await;

    let part = Part::begin("ours joins again", &world);
    let ours = world.daemon();
    Fleet::Both.forms(&world, &mut producer, &mut books).await;
    part.end(&books, &[], Twice::Nothing).await;

    let part = Part::begin("Java is killed", &world);
    Java::hold_checkpoints(&world);
    has_a_tail(&world, &mut producer, &mut books, of_java).await;
    java.kill(&world).await;
    let twice = tail(&world, &books, of_java).await;
    Fleet::Ours.forms(&world, &mut producer, &mut books).await;
    part.end(&books, &[], Twice::Just(twice)).await;

    ours.drain().await;
    books.check_leases(&world.leases().await, &[]);
    table.check().await;
}

/// The lease table as it is, with what is not ours in it.
struct Table {
    client: aws_sdk_dynamodb::Client,
    name: &'static str,
}

type Row = HashMap<String, AttributeValue>;

impl Table {
    /// Nobody's attribute.
    const MARK: &str = "mark";

    fn of(world: &World) -> Self {
        let config = aws_sdk_dynamodb::Config::from(world.aws.sdk_config()).to_builder();
        let config = config.endpoint_url(&world.dynamodb_endpoint).build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        Self { client, name: world.application }
    }

    async fn rows(&self) -> Vec<Row> {
        self.client.scan().table_name(self.name).send().await.unwrap().items.unwrap()
    }

    /// Gives each row an attribute that nobody knows.
    async fn mark(&self) {
        for row in self.rows().await {
            self.client
                .update_item()
                .table_name(self.name)
                .key("leaseKey", row["leaseKey"].clone())
                .update_expression(format!("SET {} = :key", Self::MARK))
                .expression_attribute_values(":key", row["leaseKey"].clone())
                .send()
                .await
                .unwrap();
        }
    }

    /// Asserts that the rows hold what others have written into them.
    async fn check(&self) {
        let rows = self.rows().await;
        assert_eq!(rows.len(), SHARDS.unsigned_abs() as usize);
        for row in rows {
            assert_eq!(row.get(Self::MARK), row.get("leaseKey"), "{row:?}");
            for attribute in ["throughputKBps", "startingHashKey", "endingHashKey"] {
                assert!(row.contains_key(attribute), "{attribute} is gone: {row:?}");
            }
        }
    }
}
