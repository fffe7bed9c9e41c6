//! What every lease store must do, as functions over `Arc<dyn LeaseStore>` with an empty table.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use shardwright::{
    model::{
        Checkpoint, EpochMillis, HashKeyRange, Lease, LeaseKey, LeaseWrite, PendingCheckpoint,
        Position, Progress, ShardId, WorkerId,
    },
    ports::{LeaseStore, Swap},
};
use tokio::task::JoinSet;

type Store = Arc<dyn LeaseStore>;

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name)
}

fn checkpoint(text: &str, sub_sequence: u64) -> Checkpoint {
    Checkpoint::parse(text, sub_sequence).unwrap()
}

/// A lease as shard sync creates it.
pub(crate) fn fresh(key: &str) -> Lease {
    Lease::new(LeaseKey::new(key), None, ShardId::new(key), Checkpoint::TrimHorizon)
}

fn pending(sequence: &str, state: Option<&'static [u8]>) -> PendingCheckpoint {
    let position = Position { sequence: sequence.parse().unwrap(), sub_sequence: 1 };
    PendingCheckpoint { position, state: state.map(Bytes::from_static) }
}

/// Rows at counter 5 of every combination of owner and hand-over, in several stages of life.
fn states() -> Vec<Lease> {
    let workers = [None, Some(worker("a")), Some(worker("b"))];
    let mut states = Vec::new();
    for owner in &workers {
        for checkpoint_owner in &workers {
            for stage in 0..3 {
                let mut row = fresh("");
                row.counter = 5;
                row.owner.clone_from(owner);
                row.checkpoint_owner.clone_from(checkpoint_owner);
                if stage > 0 {
                    row.checkpoint = checkpoint("49671086172344534535231321321321321321", 7);
                    row.owner_switches = 2;
                    row.arrival = Some(EpochMillis(1_700_000_000_000));
                    row.watermarks = Some(Arc::from("of the last checkpoint"));
                    row.latest_since = Some(EpochMillis(1_600_000_000_000));
                    row.pending =
                        Some(pending("49671086172344534535231321321321321322", Some(b"state")));
                    row.parents = vec![ShardId::new("shardId-1"), ShardId::new("shardId-2")];
                    row.hash_range = HashKeyRange::parse("0", "17014118346046923173168730371");
                }
                if stage > 1 {
                    row.checkpoint = Checkpoint::ShardEnd;
                    row.children = vec![ShardId::new("shardId-7")];
                }
                states.push(row);
            }
        }
    }
    states
}

/// Every kind of write by the workers of [`states`], with the right and a stale counter.
fn writes() -> Vec<LeaseWrite> {
    let (a, b) = (worker("a"), worker("b"));
    let mut writes = Vec::new();
    for counter in [5, 6] {
        let done = Progress::from(checkpoint("12", 3));
        let watermarks = Some(Arc::from("of this one"));
        let arrived = Progress { arrival: Some(EpochMillis(7)), watermarks, ..done.clone() };
        let prepared = Progress { pending: Some(pending("13", Some(b"state"))), ..done.clone() };
        let nameless = Progress { pending: Some(pending("14", None)), ..arrived.clone() };
        let latest = Progress::from(Checkpoint::Latest);
        let news = [done, arrived, prepared, nameless, latest].map(Some);
        for checkpoint in std::iter::once(None).chain(news) {
            let by = a.clone();
            writes.extend([
                LeaseWrite::Renew { by: by.clone(), counter, checkpoint: checkpoint.clone() },
                LeaseWrite::Release { by: by.clone(), counter, checkpoint: checkpoint.clone() },
                LeaseWrite::FinishHandOver { by, to: b.clone(), counter, checkpoint },
            ]);
        }
        for from in [None, Some(a.clone()), Some(b.clone())] {
            for latest_since in [None, Some(EpochMillis(5))] {
                let (by, from) = (a.clone(), from.clone());
                writes.push(LeaseWrite::Take { by, counter, from, latest_since });
            }
        }
        for children in [vec![], vec![ShardId::new("shardId-8"), ShardId::new("shardId-9")]] {
            writes.push(LeaseWrite::End { by: a.clone(), counter, children });
        }
        writes.extend(evictions(counter));
    }
    writes.push(LeaseWrite::Renew { by: b.clone(), counter: 0, checkpoint: None });
    writes.push(LeaseWrite::RequestHandOver { from: a.clone(), to: b.clone() });
    writes.push(LeaseWrite::WithdrawRequest { from: a.clone(), by: b.clone() });
    writes.push(LeaseWrite::RequestHandOver { from: b, to: a });
    let range = HashKeyRange::parse("5", "340282366920938463463374607431768211455").unwrap();
    writes.push(LeaseWrite::FillHashRange { range });
    writes
}

/// What an operator may do to a lease of any owner.
fn evictions(counter: u64) -> Vec<LeaseWrite> {
    let (a, b) = (worker("a"), worker("b"));
    let to = |progress: Progress| Some(Box::new(progress));
    let ended = (to(Checkpoint::ShardEnd.into()), vec![ShardId::new("shardId-8")]);
    let oldest = (to(Checkpoint::TrimHorizon.into()), vec![]);
    let done = Progress::from(checkpoint("12", 3));
    let back = (to(Progress { arrival: Some(EpochMillis(7)), ..done }), vec![]);
    let mut evictions = Vec::new();
    for owner in [None, Some(a.clone())] {
        for checkpoint_owner in [None, Some(b.clone())] {
            for (checkpoint, children) in
                [(None, vec![]), oldest.clone(), back.clone(), ended.clone()]
            {
                let (owner, checkpoint_owner) = (owner.clone(), checkpoint_owner.clone());
                let evict =
                    LeaseWrite::Evict { counter, owner, checkpoint_owner, checkpoint, children };
                evictions.push(evict);
            }
        }
    }
    evictions
}

/// A write is applied or refused as [`LeaseWrite::apply`] says, and answers with the row as it is.
pub(crate) async fn writes_follow_the_model(store: Store) {
    let (mut applied, mut refused) = (0, 0);
    for (i, state) in states().into_iter().enumerate() {
        for (j, write) in writes().into_iter().enumerate() {
            let key = LeaseKey::new(format!("shardId-{i}-{j}"));
            let row =
                Lease { key: key.clone(), shard: ShardId::new(key.as_str()), ..state.clone() };
            assert!(store.create(&row).await.unwrap());
            let expect = match write.apply(&row) {
                Some(next) => Swap::Applied(next),
                None => Swap::Refused(Some(row.clone())),
            };
            let found = store.write(&key, &write).await.unwrap();
            assert_eq!(found, expect, "\n{write:?}\non {row:?}");

            match found {
                Swap::Applied(row) => {
                    assert_eq!(store.read(&key).await.unwrap().as_ref(), Some(&row));
                    // A row that was taken looks like one that was handed over.
                    let take = matches!(&write, LeaseWrite::Take { .. });
                    assert_eq!(write.shows_in(&row), !take, "\n{write:?}\non {row:?}");
                    applied += 1;
                }
                Swap::Refused(_) => refused += 1,
            }
        }
    }
    assert!(applied > 50 && refused > 50, "{applied} applied, {refused} refused");
}

/// A lease that somebody deleted cannot be written back to life.
pub(crate) async fn missing_rows_refuse_writes(store: Store) {
    for write in writes() {
        let found = store.write(&LeaseKey::new("nowhere"), &write).await.unwrap();
        assert_eq!(found, Swap::Refused(None), "{write:?}");
    }
    assert_eq!(store.read(&LeaseKey::new("nowhere")).await.unwrap(), None);
    assert_eq!(store.scan().await.unwrap(), []);
}

/// A second creation loses, and changes nothing.
pub(crate) async fn a_lease_is_created_once(store: Store) {
    let stream = "123456789012:orders:1700000000";
    let lease = Lease {
        key: LeaseKey::new(format!("{stream}:shardId-1")),
        stream: Some(Arc::from(stream)),
        shard: ShardId::new("shardId-1"),
        parents: vec![ShardId::new("shardId-0")],
        hash_range: HashKeyRange::parse("0", "340282366920938463463374607431768211455"),
        ..fresh("")
    };
    assert!(store.create(&lease).await.unwrap());
    let other = Lease { checkpoint: Checkpoint::Latest, ..lease.clone() };
    assert!(!store.create(&other).await.unwrap());
    assert_eq!(store.read(&lease.key).await.unwrap(), Some(lease.clone()));
    assert_eq!(store.scan().await.unwrap(), [lease]);
}

/// Deleting needs the counter and the checkpoint that were seen; deleting again is as good as having
/// deleted.
pub(crate) async fn only_an_unchanged_lease_is_deleted(store: Store) {
    let seen = fresh("shardId-1");
    store.create(&seen).await.unwrap();
    let take = LeaseWrite::Take { by: worker("a"), counter: 0, from: None, latest_since: None };
    let Swap::Applied(taken) = store.write(&seen.key, &take).await.unwrap() else { panic!() };
    assert!(!store.delete(&seen).await.unwrap());
    assert_eq!(store.read(&seen.key).await.unwrap().as_ref(), Some(&taken));
    assert!(store.delete(&taken).await.unwrap());
    assert_eq!(store.read(&seen.key).await.unwrap(), None);
    assert!(store.delete(&taken).await.unwrap());
    let created_again = Lease { checkpoint: Checkpoint::Latest, ..seen.clone() };
    store.create(&created_again).await.unwrap();
    assert!(!store.delete(&seen).await.unwrap());
    assert_eq!(store.read(&seen.key).await.unwrap(), Some(created_again));
}

/// Of workers that create or take the same lease at the same time, one wins, and the others learn
/// who it was.
pub(crate) async fn a_race_has_one_winner(store: Store) {
    for round in 0..20 {
        let lease = fresh(&format!("shardId-{round}"));
        let mut creations = JoinSet::new();
        for _ in 0..12 {
            let (store, lease) = (Arc::clone(&store), lease.clone());
            creations.spawn(async move { store.create(&lease).await.unwrap() });
        }
        let created = creations.join_all().await;
        assert_eq!(created.iter().filter(|created| **created).count(), 1, "round {round}");

        let mut takes = JoinSet::new();
        for racer in 0..12 {
            let (store, key) = (Arc::clone(&store), lease.key.clone());
            let by = worker(&format!("w-{racer}"));
            takes.spawn(async move {
                let take = LeaseWrite::Take { by, counter: 0, from: None, latest_since: None };
                store.write(&key, &take).await.unwrap()
            });
        }
        let (mut winners, mut seen) = (Vec::new(), BTreeSet::new());
        for swap in takes.join_all().await {
            match swap {
                Swap::Applied(row) => winners.push(row.owner),
                Swap::Refused(row) => drop(seen.insert(row.unwrap().owner)),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), winners);
    }
}

/// DynamoDB ends a page of a scan at 1 MB; the table here is larger.
pub(crate) async fn a_scan_follows_its_pages(store: Store) {
    let owner = "w".repeat(9_000);
    let mut keys = BTreeSet::new();
    for number in 0..260 {
        let lease = Lease { owner: Some(worker(&owner)), ..fresh(&format!("shardId-{number:03}")) };
        assert!(store.create(&lease).await.unwrap());
        keys.insert(lease.key);
    }
    let found = store.scan().await.unwrap();
    assert_eq!(found.len(), keys.len());
    assert_eq!(found.into_iter().map(|lease| lease.key).collect::<BTreeSet<_>>(), keys);
}
