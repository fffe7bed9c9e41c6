//! Rows of the lease table as DynamoDB items, with the KCL's attribute names and types
//! (KCL `DynamoDBLeaseSerializer`, `DynamoDBMultiStreamLeaseSerializer`).

use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use bytes::Bytes;

use crate::model::{
    Checkpoint, EpochMillis, HashKeyRange, Lease, LeaseKey, PendingCheckpoint, Position, ShardId,
    WorkerId,
};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const LEASE_KEY: &str = "leaseKey";
const COUNTER: &str = "leaseCounter";
const OWNER: &str = "leaseOwner";
const CHECKPOINT_OWNER: &str = "checkpointOwner";
const CHECKPOINT: &str = "checkpoint";
const SUB_SEQUENCE: &str = "checkpointSubSequenceNumber";
const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
const PARENTS: &str = "parentShardId";
const CHILDREN: &str = "childShardIds";
const START_HASH_KEY: &str = "startingHashKey";
const END_HASH_KEY: &str = "endingHashKey";
const STREAM: &str = "streamName";
const SHARD: &str = "shardId";
const PENDING: &str = "pendingCheckpoint";
const PENDING_SUB_SEQUENCE: &str = "pendingCheckpointSubSequenceNumber";
const PENDING_STATE: &str = "pendingCheckpointState";
/// Ours: a KCL leaves attributes alone that it does not know.
const ARRIVAL: &str = "checkpointArrival";
/// Ours, as above.
const WATERMARKS: &str = "checkpointWatermarks";
/// Ours, as above.
const LATEST_SINCE: &str = "latestSince";
const ENTITY_TYPE: &str = "entityType";

/// The attributes that [`Lease`] holds.
pub(super) const MODELLED: [&str; 19] = [
    LEASE_KEY,
    COUNTER,
    OWNER,
    CHECKPOINT_OWNER,
    CHECKPOINT,
    SUB_SEQUENCE,
    OWNER_SWITCHES,
    PARENTS,
    CHILDREN,
    START_HASH_KEY,
    END_HASH_KEY,
    STREAM,
    SHARD,
    PENDING,
    PENDING_SUB_SEQUENCE,
    PENDING_STATE,
    ARRIVAL,
    WATERMARKS,
    LATEST_SINCE,
];

/// What an item of the lease table turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// A lease.
    Lease(Box<Lease>),
    /// Something else that newer KCLs keep in the same table: a lock, a worker's metrics.
    Foreign {
        /// Its key.
        key: String,
    },
    /// A lease that no KCL would have written.
    Malformed(Malformed),
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {key:?}, attribute `{attribute}`: {problem}")]
pub(super) struct Malformed {
    pub(super) key: String,
    pub(super) attribute: &'static str,
    pub(super) problem: String,
}

/// Reads an item. Attributes that are not the model's are left alone.
pub(super) fn read_row(item: &Item) -> Row {
    let key = match item.get(LEASE_KEY) {
        Some(AttributeValue::S(key)) => key.clone(),
        _ => String::new(),
    };
    let entity = item.get(ENTITY_TYPE).map(|value| value.as_s().map(String::as_str));
    let foreign_entity = entity.is_some_and(|entity| entity != Ok("LEASE"));
    if foreign_entity || !item.contains_key(COUNTER) {
        return Row::Foreign { key };
    }
    match read_lease(&key, item) {
        Ok(lease) => Row::Lease(Box::new(lease)),
        Err((attribute, problem)) => Row::Malformed(Malformed { key, attribute, problem }),
    }
}

type Problem = (&'static str, String);

fn read_lease(key: &str, item: &Item) -> Result<Lease, Problem> {
    if key.is_empty() {
        return Err((LEASE_KEY, "expected a text".to_owned()));
    }
    let checkpoint = text(item, CHECKPOINT)?.ok_or((CHECKPOINT, "it is missing".to_owned()))?;
    let sub_sequence = number(item, SUB_SEQUENCE)?.unwrap_or(0);
    let stream = text(item, STREAM)?;
    let shard = match text(item, SHARD)? {
        Some(shard) => shard,
        None => bare_shard(key, stream),
    };
    Ok(Lease {
        key: LeaseKey::new(key),
        stream: stream.map(Arc::from),
        shard: ShardId::new(shard),
        counter: number(item, COUNTER)?.ok_or((COUNTER, "it is missing".to_owned()))?,
        owner: text(item, OWNER)?.map(WorkerId::new),
        checkpoint_owner: text(item, CHECKPOINT_OWNER)?.map(WorkerId::new),
        checkpoint: Checkpoint::parse(checkpoint, sub_sequence)
            .map_err(|error| (CHECKPOINT, error.to_string()))?,
        arrival: time(item, ARRIVAL),
        watermarks: item
            .get(WATERMARKS)
            .and_then(|text| text.as_s().ok())
            .map(|text| Arc::from(&**text)),
        pending: pending(item),
        latest_since: time(item, LATEST_SINCE),
        owner_switches: number(item, OWNER_SWITCHES)?.unwrap_or(0),
        parents: shards(item, PARENTS)?,
        children: shards(item, CHILDREN)?,
        hash_range: hash_range(item),
    })
}

/// The shard of a key `account:stream:epoch:shardId`, or the key itself.
fn bare_shard<'a>(key: &'a str, stream: Option<&str>) -> &'a str {
    stream
        .and_then(|stream| key.strip_prefix(stream))
        .and_then(|rest| rest.strip_prefix(':'))
        .unwrap_or(key)
}

fn text<'a>(item: &'a Item, attribute: &'static str) -> Result<Option<&'a str>, Problem> {
    match item.get(attribute) {
        None | Some(AttributeValue::Null(_)) => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text)),
        Some(_) => Err((attribute, "expected a text".to_owned())),
    }
}

fn number(item: &Item, attribute: &'static str) -> Result<Option<u64>, Problem> {
    match item.get(attribute) {
        None | Some(AttributeValue::Null(_)) => Ok(None),
        Some(AttributeValue::N(digits)) => digits.parse().map(Some).map_err(|_| {
            let shown: String = digits.chars().take(40).collect();
            (attribute, format!("{shown:?} is not a whole number from 0 on"))
        }),
        Some(_) => Err((attribute, "expected a number".to_owned())),
    }
}

/// Sets have no order in DynamoDB; ours is sorted, so that equal rows compare equal.
fn shards(item: &Item, attribute: &'static str) -> Result<Vec<ShardId>, Problem> {
    match item.get(attribute) {
        None | Some(AttributeValue::Null(_)) => Ok(Vec::new()),
        Some(AttributeValue::Ss(ids)) => {
            let mut ids: Vec<_> = ids.iter().map(ShardId::new).collect();
            ids.sort();
            Ok(ids)
        }
        Some(_) => Err((attribute, "expected a set of texts".to_owned())),
    }
}

/// A time of ours; whatever else stands there is not.
fn time(item: &Item, attribute: &'static str) -> Option<EpochMillis> {
    item.get(attribute)?.as_n().ok()?.parse().ok().map(EpochMillis)
}

/// What was prepared, if it is a position: a Java application may prepare a sentinel too, and keeps
/// its own state there. KCL 3.x creates rows whose state is a number by mistake; that is no state.
fn pending(item: &Item) -> Option<PendingCheckpoint> {
    let sequence = item.get(PENDING)?.as_s().ok()?.parse().ok()?;
    let sub_sequence = number(item, PENDING_SUB_SEQUENCE).ok()?.unwrap_or(0);
    let state = item.get(PENDING_STATE).and_then(|state| state.as_b().ok());
    let state = state.map(|state| Bytes::copy_from_slice(state.as_ref()));
    Some(PendingCheckpoint { position: Position { sequence, sub_sequence }, state })
}

/// Never required: leases of DynamoDB Streams have none, and shard sync fills in a missing one.
fn hash_range(item: &Item) -> Option<HashKeyRange> {
    let end = |attribute| item.get(attribute)?.as_s().ok();
    HashKeyRange::parse(end(START_HASH_KEY)?, end(END_HASH_KEY)?)
}

/// The item of a new lease. Attributes without a value are left out, never empty. There is no
/// `entityType`: a missing one means a lease, and KCL 1.x and 2.x do not know it.
pub(super) fn new_item(lease: &Lease) -> Item {
    let mut item = Item::from([
        (LEASE_KEY.to_owned(), s(lease.key.as_str())),
        (COUNTER.to_owned(), n(lease.counter)),
        (CHECKPOINT.to_owned(), s(lease.checkpoint.text())),
        (SUB_SEQUENCE.to_owned(), n(lease.checkpoint.sub_sequence())),
        (OWNER_SWITCHES.to_owned(), n(lease.owner_switches)),
    ]);
    let mut put = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    if let Some(owner) = &lease.owner {
        put(OWNER, s(owner.as_str()));
    }
    if let Some(owner) = &lease.checkpoint_owner {
        put(CHECKPOINT_OWNER, s(owner.as_str()));
    }
    if let Some(stream) = &lease.stream {
        put(STREAM, s(stream));
        put(SHARD, s(lease.shard.as_str()));
    }
    if let Some(PendingCheckpoint { position, state }) = &lease.pending {
        put(PENDING, s(position.sequence.as_str()));
        put(PENDING_SUB_SEQUENCE, n(position.sub_sequence));
        if let Some(state) = state {
            put(PENDING_STATE, b(state));
        }
    }
    for (attribute, time) in [(ARRIVAL, lease.arrival), (LATEST_SINCE, lease.latest_since)] {
        if let Some(time) = time {
            put(attribute, millis(time));
        }
    }
    if let Some(watermarks) = &lease.watermarks {
        put(WATERMARKS, s(watermarks));
    }
    if let Some([start, end]) = lease.hash_range.as_ref().map(hash_keys) {
        put(START_HASH_KEY, start);
        put(END_HASH_KEY, end);
    }
    for (attribute, ids) in [(PARENTS, &lease.parents), (CHILDREN, &lease.children)] {
        if let Some(set) = ss(ids) {
            put(attribute, set);
        }
    }
    item
}

/// A text attribute.
pub(super) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// A number attribute.
pub(super) fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A time attribute: milliseconds since 1970.
pub(super) fn millis(time: EpochMillis) -> AttributeValue {
    AttributeValue::N(time.0.to_string())
}

/// A binary attribute.
pub(super) fn b(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// The two ends of a hash range.
pub(super) fn hash_keys(range: &HashKeyRange) -> [AttributeValue; 2] {
    [range.start, range.end].map(|key| s(&key.0.to_string()))
}

/// A set of shard ids; `None` for an empty one, which DynamoDB does not take, nor duplicates.
pub(super) fn ss(ids: &[ShardId]) -> Option<AttributeValue> {
    let mut ids: Vec<_> = ids.iter().map(|id| id.as_str().to_owned()).collect();
    ids.sort();
    ids.dedup();
    (!ids.is_empty()).then_some(AttributeValue::Ss(ids))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HashKey;

    fn item(pairs: &[(&str, AttributeValue)]) -> Item {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    /// A row as KCL 3.1 writes it, with attributes that are not ours.
    fn java_row() -> Item {
        item(&[
            ("leaseKey", s("shardId-000000000004")),
            ("leaseCounter", n(812)),
            ("leaseOwner", s("w-7")),
            ("checkpoint", s("49671086172344534535231321321321321321321321321321321326")),
            ("checkpointSubSequenceNumber", n(3)),
            ("ownerSwitchesSinceCheckpoint", n(1)),
            ("parentShardId", AttributeValue::Ss(vec!["shardId-b".into(), "shardId-a".into()])),
            ("startingHashKey", s("0")),
            ("endingHashKey", s("170141183460469231731687303715884105727")),
            ("throughputKBps", AttributeValue::N("12.345678".into())),
            ("entityType", s("LEASE")),
            ("pendingCheckpoint", s("5")),
            ("pendingCheckpointState", AttributeValue::B(Blob::new([1, 2]))),
        ])
    }

    fn lease(item: &Item) -> Lease {
        match read_row(item) {
            Row::Lease(lease) => *lease,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_row_of_the_java_kcl() {
        let lease = lease(&java_row());
        assert_eq!(lease.shard.as_str(), "shardId-000000000004");
        assert_eq!((lease.counter, lease.owner_switches), (812, 1));
        assert_eq!(lease.owner, Some(WorkerId::new("w-7")));
        assert_eq!(lease.checkpoint.sub_sequence(), 3);
        assert_eq!(lease.parents, [ShardId::new("shardId-a"), ShardId::new("shardId-b")]);
        assert_eq!(lease.hash_range.unwrap().start, HashKey(0));
        let pending = lease.pending.unwrap();
        assert_eq!(pending.position.sequence.as_str(), "5");
        assert_eq!(pending.state.as_deref(), Some(&[1, 2][..]));
    }

    #[test]
    fn a_row_of_several_streams_names_its_bare_shard() {
        let stream = "123456789012:orders:1700000000";
        let mut row = java_row();
        row.insert("leaseKey".into(), s(&format!("{stream}:shardId-1")));
        row.insert("streamName".into(), s(stream));
        assert_eq!(lease(&row).shard.as_str(), "shardId-1", "from the key");
        row.insert("shardId".into(), s("shardId-2"));
        assert_eq!(lease(&row).shard.as_str(), "shardId-2", "from the attribute");
        assert_eq!(lease(&row).stream.as_deref(), Some(stream));
    }

    #[test]
    fn what_is_no_lease_is_foreign() {
        let lock = item(&[("leaseKey", s("Leader")), ("leaseDuration", s("120000"))]);
        assert_eq!(read_row(&lock), Row::Foreign { key: "Leader".into() });
        let mut typed = java_row();
        typed.insert("entityType".into(), s("STREAM"));
        assert!(matches!(read_row(&typed), Row::Foreign { .. }));
        assert!(matches!(read_row(&Item::new()), Row::Foreign { .. }));
    }

    #[test]
    fn a_malformed_row_names_its_attribute() {
        let cases = [
            ("leaseKey", n(1)),
            ("leaseCounter", s("812")),
            ("leaseCounter", AttributeValue::N("-1".into())),
            ("leaseCounter", AttributeValue::N("1.5".into())),
            ("checkpoint", s("yesterday")),
            ("checkpoint", AttributeValue::Null(true)),
            ("checkpointSubSequenceNumber", s("0")),
            ("leaseOwner", n(7)),
            ("parentShardId", s("shardId-0")),
        ];
        for (attribute, value) in cases {
            let mut row = java_row();
            row.insert(attribute.into(), value);
            match read_row(&row) {
                Row::Malformed(found) => assert_eq!(found.attribute, attribute),
                other => panic!("{attribute}: {other:?}"),
            }
        }
    }

    #[test]
    fn odd_hash_keys_and_a_numeric_pending_state_do_no_harm() {
        let mut row = java_row();
        row.insert("endingHashKey".into(), s("-5"));
        row.insert("pendingCheckpointState".into(), n(0));
        assert_eq!(lease(&row).hash_range, None);
        assert_eq!(lease(&row).pending.unwrap().state, None);
        row.insert("pendingCheckpoint".into(), s("TRIM_HORIZON"));
        row.insert("latestSince".into(), s("yesterday"));
        assert_eq!((lease(&row).pending, lease(&row).latest_since), (None, None));
    }

    #[test]
    fn a_new_item_reads_back_and_has_no_empty_attributes() {
        let shard = ShardId::new("shardId-1");
        let key = LeaseKey::new("shardId-1");
        let mut fresh = Lease::new(key, None, shard, Checkpoint::TrimHorizon);
        let mut names: Vec<_> = new_item(&fresh).into_keys().collect();
        names.sort();
        let kcl = ["checkpoint", SUB_SEQUENCE, "leaseCounter", "leaseKey", OWNER_SWITCHES];
        assert_eq!(names, kcl);
        assert_eq!(lease(&new_item(&fresh)), fresh);

        fresh.owner = Some(WorkerId::new("a"));
        fresh.checkpoint_owner = Some(WorkerId::new("b"));
        fresh.stream = Some(Arc::from("1:s:2"));
        fresh.key = LeaseKey::new("1:s:2:shardId-1");
        fresh.checkpoint =
            Checkpoint::After(Position { sequence: "77".parse().unwrap(), sub_sequence: 9 });
        fresh.arrival = Some(EpochMillis(1_700_000_000_123));
        fresh.watermarks = Some(Arc::from("{}"));
        fresh.latest_since = Some(EpochMillis(1_700_000_000_000));
        let position = Position { sequence: "78".parse().unwrap(), sub_sequence: 2 };
        fresh.pending =
            Some(PendingCheckpoint { position, state: Some(Bytes::from_static(b"state")) });
        fresh.parents = vec![ShardId::new("shardId-0")];
        fresh.children = vec![ShardId::new("shardId-2"), ShardId::new("shardId-3")];
        fresh.hash_range = HashKeyRange::parse("0", "340282366920938463463374607431768211455");
        assert_eq!(lease(&new_item(&fresh)), fresh);
    }
}
