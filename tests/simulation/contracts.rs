//! The fakes hold the contracts that the real servers hold (`tests/contracts`): what the simulation
//! shows on them is then worth something.

#[path = "../contracts/lease_store/contract.rs"]
mod lease_store;
#[path = "../contracts/stream/contract/mod.rs"]
mod stream;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use shardwright::{
    model::{EpochMillis, HashKey, HashKeyRange, Lease, LeaseKey, LeaseWrite, RawRecord, ShardId},
    ports::{LeaseStore, StoreError, StreamReader, Swap},
};
use tokio::time::sleep;

use crate::{
    faults::Faults,
    lease_table::SimTable,
    reader::SimStream,
    stream::{Place, SimShard},
    world::World,
};

/// A world where nothing goes wrong.
fn calm_world() -> World {
    World::new(0, Faults::none())
}

const ALL_KEYS: HashKeyRange = HashKeyRange { start: HashKey(0), end: HashKey(u128::MAX) };

/// The table, where each lease has a shard: the auditor looks for it.
struct Table(SimTable);

impl Table {
    fn empty() -> Arc<dyn LeaseStore> {
        Arc::new(Self(SimTable { world: calm_world(), worker: 0 }))
    }
}

#[async_trait]
impl LeaseStore for Table {
    async fn create(&self, lease: &Lease) -> Result<bool, StoreError> {
        let shard = SimShard::new(vec![], ALL_KEYS, EpochMillis(0));
        self.0.world.lock().stream.shards.insert(Place::of(lease), shard);
        self.0.create(lease).await
    }

    async fn scan(&self) -> Result<Vec<Lease>, StoreError> {
        self.0.scan().await
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Lease>, StoreError> {
        self.0.read(key).await
    }

    async fn write(&self, key: &LeaseKey, write: &LeaseWrite) -> Result<Swap, StoreError> {
        self.0.write(key, write).await
    }

    async fn delete(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.0.delete(lease).await
    }
}

/// The stream.
struct Kinesis;

impl stream::Counterpart for Kinesis {
    type Stream = Stream;

    async fn create(&self, shards: u32) -> Stream {
        let world = calm_world();
        world.lock().stream.add_stream(shards.into());
        Stream(SimStream { world, worker: 0, stream: 0 })
    }
}

struct Stream(SimStream);

fn place(shard: &ShardId) -> Place {
    Place { stream: 0, shard: shard.clone() }
}

impl stream::OwnedStream for Stream {
    fn counterpart(&self) -> stream::deviations::Name {
        stream::deviations::Name::Simulation
    }

    fn reader(&self) -> &dyn StreamReader {
        &self.0
    }

    async fn put(&self, key: HashKey, data: Bytes) {
        sleep(Duration::from_millis(1)).await;
        let mut state = self.0.world.lock();
        let arrival = state.now();
        let shards = &mut state.stream.shards;
        let records = shards.values().map(|shard| shard.records.len()).sum::<usize>();
        let sequence = (1_000 + records).to_string().parse().unwrap();
        let takes = |shard: &&mut SimShard| shard.open && shard.range.contains(key);
        let shard = shards.values_mut().find(takes).unwrap();
        shard.records.push(RawRecord { sequence, partition_key: "key".to_owned(), data, arrival });
    }

    async fn split(&self, shard: &ShardId) {
        let mut state = self.0.world.lock();
        let now = state.now();
        state.stream.split(&place(shard), now);
    }

    async fn merge(&self, low: &ShardId, high: &ShardId) {
        let mut state = self.0.world.lock();
        let now = state.now();
        state.stream.merge(&place(low), &place(high), now);
    }

    async fn pass_five_minutes(&self) {
        sleep(Duration::from_secs(301)).await;
    }
}

macro_rules! held {
    ($contract:ident, $counterpart:expr, [$($part:ident)*]) => {$(
        #[tokio::test(start_paused = true)]
        async fn $part() {
            $contract::$part($counterpart).await;
        }
    )*};
}

held!(
    lease_store,
    Table::empty(),
    [
        writes_follow_the_model
        missing_rows_refuse_writes
        a_lease_is_created_once
        only_an_unchanged_lease_is_deleted
        a_race_has_one_winner
        a_scan_follows_its_pages
    ]
);

held!(
    stream,
    &Kinesis,
    [
        every_place_to_start_at_is_understood
        a_page_holds_what_was_asked_for_and_says_how_far_behind_it_is
        a_page_holds_at_most_10_mib
        a_place_can_be_read_again
        unknown_places_are_refused
        an_iterator_expires
        a_fresh_stream_lists_all_its_shards
        a_split_shard_ends_and_names_its_children
        a_merged_pair_ends_in_one_child
        a_closed_shard_can_be_read_from_anywhere
        generations_are_read_in_order
    ]
);
