//! KPL aggregates: several user records in one Kinesis record, and back.
//!
//! Layout: magic, protobuf `AggregatedRecord`, MD5 of the protobuf (awslabs/kinesis-aggregation,
//! `aggregation-format.md`). What is not exactly that is one plain record, never an error, as in the
//! KCL's `AggregatorUtil`.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

use crate::model::{HashKey, Position, RawRecord, UserRecord};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const DIGEST_LEN: usize = 16;

/// The user records of one Kinesis record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deaggregated {
    /// The readable user records, in order. Empty for an aggregate of none.
    pub records: Vec<UserRecord>,
    /// How many members of the aggregate name a key outside its tables. They keep their
    /// sub-sequence number, so the numbers of `records` have gaps there.
    ///
    /// The KCL drops these and all that follow; the readable ones are kept here.
    pub unreadable: u64,
}

/// One user record to be aggregated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KplRecord {
    /// Its partition key.
    pub partition_key: String,
    /// The hash key that it forces, if any.
    pub explicit_hash_key: Option<String>,
    /// Its payload.
    pub data: Bytes,
}

// The messages of the KPL's `messages.proto` (proto2). Required fields are optional here, because
// prost would put a default where the KCL's parser refuses; `is_complete` asks for them. Strings are
// bytes, because the KCL's parser replaces invalid UTF-8 where prost would refuse.
#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    partition_key_table: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    explicit_hash_key_table: Vec<Bytes>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Member>,
}

#[derive(Clone, PartialEq, Message)]
struct Member {
    #[prost(uint64, optional, tag = "1")]
    partition_key_index: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<Tag>,
}

#[derive(Clone, PartialEq, Message)]
struct Tag {
    #[prost(bytes = "bytes", optional, tag = "1")]
    key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
}

impl Member {
    /// Whether all fields are there that `messages.proto` requires.
    fn is_complete(&self) -> bool {
        self.partition_key_index.is_some()
            && self.data.is_some()
            && self.tags.iter().all(|tag| tag.key.is_some())
    }
}

/// Whether these bytes start as a KPL aggregate does.
pub fn has_magic(data: &[u8]) -> bool {
    data.starts_with(&MAGIC)
}

/// Unpacks a KPL aggregate; any other record becomes one user record as it is.
///
/// The payloads are slices of the record's own bytes. Tags are dropped, as by the KCL. The KCL also
/// drops a whole aggregate of which one member's [`effective_hash_key`] is outside the shard's
/// range; that is left to [`ShardKeys`](super::ShardKeys), which knows the range.
pub fn deaggregate(record: &RawRecord) -> Deaggregated {
    let Some(aggregate) = parse(&record.data) else {
        let whole = UserRecord {
            position: Position { sequence: record.sequence.clone(), sub_sequence: 0 },
            partition_key: Arc::from(record.partition_key.as_str()),
            explicit_hash_key: None,
            aggregated: false,
            data: record.data.clone(),
            arrival: record.arrival,
        };
        return Deaggregated { records: vec![whole], unreadable: 0 };
    };
    let partition_keys = table(&aggregate.partition_key_table);
    let hash_keys = table(&aggregate.explicit_hash_key_table);
    let mut found = Deaggregated { records: Vec::new(), unreadable: 0 };
    for (sub_sequence, member) in (0..).zip(aggregate.records) {
        let partition_key = lookup(&partition_keys, member.partition_key_index);
        let hash_key = lookup(&hash_keys, member.explicit_hash_key_index);
        let hash_key_lost = member.explicit_hash_key_index.is_some() && hash_key.is_none();
        match partition_key {
            Some(partition_key) if !hash_key_lost => found.records.push(UserRecord {
                position: Position { sequence: record.sequence.clone(), sub_sequence },
                partition_key,
                explicit_hash_key: hash_key,
                aggregated: true,
                data: member.data.unwrap_or_default(),
                arrival: record.arrival,
            }),
            _ => found.unreadable += 1,
        }
    }
    found
}

/// Whether these bytes are a KPL aggregate of which [`deaggregate`] cannot read all members.
pub fn has_unreadable_members(data: &Bytes) -> bool {
    let Some(aggregate) = parse(data) else { return false };
    let beyond = |index: Option<u64>, table: &[Bytes]| {
        let place = index.and_then(|index| usize::try_from(index).ok());
        index.is_some() && place.is_none_or(|place| place >= table.len())
    };
    aggregate.records.iter().any(|member| {
        beyond(member.partition_key_index, &aggregate.partition_key_table)
            || beyond(member.explicit_hash_key_index, &aggregate.explicit_hash_key_table)
    })
}

/// Packs user records into one Kinesis payload. Keys that repeat are stored once.
///
/// The caller keeps it under the stream's record size, and gives only records of one shard: the KCL
/// drops an aggregate with a record of another shard.
pub fn aggregate(records: &[KplRecord]) -> Bytes {
    let mut partition_keys = Interner::default();
    let mut hash_keys = Interner::default();
    let members = records
        .iter()
        .map(|record| Member {
            partition_key_index: Some(partition_keys.index(&record.partition_key)),
            explicit_hash_key_index: record
                .explicit_hash_key
                .as_ref()
                .map(|key| hash_keys.index(key)),
            data: Some(record.data.clone()),
            tags: Vec::new(),
        })
        .collect();
    let body = AggregatedRecord {
        partition_key_table: partition_keys.table,
        explicit_hash_key_table: hash_keys.table,
        records: members,
    }
    .encode_to_vec();
    [&MAGIC[..], &body, &Md5::digest(&body)].concat().into()
}

/// The point of the key space that Kinesis gives a partition key: its MD5 as a big-endian number.
pub fn partition_hash(partition_key: &str) -> HashKey {
    HashKey(u128::from_be_bytes(Md5::digest(partition_key).into()))
}

/// The point of the key space that a user record belongs to: its explicit hash key, or else the
/// hash of its partition key. `None` when the explicit hash key is not a decimal below 2^128.
pub fn effective_hash_key(record: &UserRecord) -> Option<HashKey> {
    match &record.explicit_hash_key {
        Some(key) => key.parse().ok().map(HashKey),
        None => Some(partition_hash(&record.partition_key)),
    }
}

/// Reads an aggregate; `None` when the record is not one.
fn parse(data: &Bytes) -> Option<AggregatedRecord> {
    let framed = data.strip_prefix(&MAGIC)?;
    if framed.len() <= DIGEST_LEN {
        return None;
    }
    let (body, digest) = framed.split_last_chunk::<DIGEST_LEN>()?;
    if Md5::digest(body).as_slice() != digest {
        return None;
    }
    // `slice_ref` shares the record's bytes, so that the payloads are slices of them too.
    let aggregate = AggregatedRecord::decode(data.slice_ref(body)).ok()?;
    aggregate.records.iter().all(Member::is_complete).then_some(aggregate)
}

fn table(keys: &[Bytes]) -> Vec<Arc<str>> {
    keys.iter().map(|key| Arc::from(String::from_utf8_lossy(key))).collect()
}

fn lookup(table: &[Arc<str>], index: Option<u64>) -> Option<Arc<str>> {
    table.get(usize::try_from(index?).ok()?).map(Arc::clone)
}

/// A table of keys in the order of their first use.
#[derive(Default)]
struct Interner<'k> {
    known: HashMap<&'k str, u64>,
    table: Vec<Bytes>,
}

impl<'k> Interner<'k> {
    fn index(&mut self, key: &'k str) -> u64 {
        let next = self.known.len() as u64;
        *self.known.entry(key).or_insert_with(|| {
            self.table.push(Bytes::copy_from_slice(key.as_bytes()));
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;
    use crate::model::EpochMillis;

    fn raw(data: impl Into<Bytes>) -> RawRecord {
        RawRecord {
            sequence: "77".parse().unwrap(),
            partition_key: "outer".into(),
            data: data.into(),
            arrival: EpochMillis(5),
        }
    }

    fn member(partition_key: &str, explicit_hash_key: Option<&str>, data: &str) -> KplRecord {
        KplRecord {
            partition_key: partition_key.into(),
            explicit_hash_key: explicit_hash_key.map(Into::into),
            data: Bytes::copy_from_slice(data.as_bytes()),
        }
    }

    /// A right frame around any protobuf.
    fn frame(body: &[u8]) -> Vec<u8> {
        [&MAGIC[..], body, &Md5::digest(body)].concat()
    }

    fn assert_passes_through(data: &[u8]) {
        let found = deaggregate(&raw(data.to_vec()));
        assert_eq!(found.unreadable, 0);
        let [only] = &found.records[..] else { panic!("{data:x?} gave {found:?}") };
        assert!(!only.aggregated, "{data:x?}");
        assert_eq!(&only.data[..], data);
        assert_eq!(&*only.partition_key, "outer");
        assert_eq!(only.position.sub_sequence, 0);
    }

    #[test]
    fn writes_the_bytes_the_kpl_writes() {
        // Key "a", data "x".
        let known = "84mawgoBYRoFCAAaAXgnT6SiIWCSQZZrAsevv0KD";
        assert_eq!(STANDARD.encode(aggregate(&[member("a", None, "x")])), known);
        assert_eq!(partition_hash("a").0, 16_955_237_001_963_240_173_058_271_559_858_726_497);
    }

    #[test]
    fn unpacks_keys_numbers_and_shared_bytes() {
        let packed = aggregate(&[
            member("a", None, "one"),
            member("b", Some("12"), ""),
            member("a", Some("12"), "three"),
        ]);
        let found = deaggregate(&raw(packed.clone()));
        assert_eq!(found.unreadable, 0);
        let short: Vec<_> = found
            .records
            .iter()
            .map(|r| (r.position.sub_sequence, &*r.partition_key, r.explicit_hash_key.as_deref()))
            .collect();
        assert_eq!(short, [(0, "a", None), (1, "b", Some("12")), (2, "a", Some("12"))]);
        assert!(found.records.iter().all(|r| r.aggregated && r.arrival == EpochMillis(5)));
        let whole = packed.as_ptr_range();
        assert!(whole.contains(&found.records[2].data.as_ptr()), "the payload was copied");
        assert_eq!(effective_hash_key(&found.records[0]), Some(partition_hash("a")));
        assert_eq!(effective_hash_key(&found.records[1]), Some(HashKey(12)));
    }

    #[test]
    fn what_is_not_an_aggregate_passes_through() {
        let good = aggregate(&[member("a", None, "x")]);
        let mut bad_digest = good.to_vec();
        *bad_digest.last_mut().unwrap() ^= 1;
        for data in [
            &b""[..],
            b"plain",
            &[0x1f, 0x8b, 8],
            &MAGIC[..3],
            &MAGIC,
            &[&MAGIC[..], &[0; 15]].concat(),
            &frame(b""),
            &bad_digest,
            &good[..good.len() - 1],
            &frame(b"\x0a\xff\x01a"),
            &frame(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            &frame(b"\x0b\x0a\x01a"),
            &frame(b"\x00"),
        ] {
            assert_passes_through(data);
        }
    }

    #[test]
    fn a_member_without_a_required_field_makes_it_plain() {
        assert_passes_through(&frame(b"\x0a\x01a\x1a\x03\x1a\x01x"));
        assert_passes_through(&frame(b"\x0a\x01a\x1a\x02\x08\x00"));
        assert_passes_through(&frame(b"\x0a\x01a\x1a\x09\x08\x00\x1a\x01x\x22\x02\x12\x00"));
    }

    #[test]
    fn keeps_what_is_readable() {
        let check = |body: &[u8], readable: &[u64], unreadable: u64| {
            let found = deaggregate(&raw(frame(body)));
            let numbers: Vec<_> = found.records.iter().map(|r| r.position.sub_sequence).collect();
            assert_eq!((&numbers[..], found.unreadable), (readable, unreadable), "{body:x?}");
            assert!(found.records.iter().all(|record| record.aggregated));
            assert_eq!(has_unreadable_members(&frame(body).into()), unreadable > 0);
        };
        let one = b"\x1a\x05\x08\x00\x1a\x01x";
        let lost = b"\x1a\x05\x08\x07\x1a\x01y";
        let hash_key_lost = b"\x1a\x07\x08\x00\x10\x00\x1a\x01z";
        check(&[b"\x0a\x01a", &one[..], lost, one].concat(), &[0, 2], 1);
        check(&[b"\x0a\x01a", &hash_key_lost[..], one].concat(), &[1], 1);
        // Records before their table; an unknown field and a tag.
        check(&[&one[..], b"\x0a\x01a"].concat(), &[0], 0);
        check(b"\x0a\x01a\x1a\x0b\x08\x00\x1a\x01x\x22\x04\x0a\x02tk\x48\x07", &[0], 0);
        // An aggregate of none.
        check(b"\x0a\x01a", &[], 0);
    }

    #[test]
    fn a_forced_key_that_is_no_number_has_no_place() {
        let packed =
            aggregate(&[member("a", Some("x"), ""), member("a", Some(&"9".repeat(40)), "")]);
        for record in deaggregate(&raw(packed)).records {
            assert_eq!(effective_hash_key(&record), None);
        }
    }

    proptest! {
        #[test]
        fn comes_back_as_it_went_in(
            records in prop::collection::vec(
                (".{0,8}", prop::option::of("[0-9]{1,39}"), prop::collection::vec(any::<u8>(), 0..50)),
                1..20,
            )
        ) {
            let records: Vec<_> = records
                .into_iter()
                .map(|(partition_key, explicit_hash_key, data)| KplRecord {
                    partition_key, explicit_hash_key, data: data.into(),
                })
                .collect();
            let found = deaggregate(&raw(aggregate(&records)));
            prop_assert_eq!(found.unreadable, 0);
            let back: Vec<_> = found.records.into_iter().map(|record| KplRecord {
                partition_key: record.partition_key.to_string(),
                explicit_hash_key: record.explicit_hash_key.map(|key| key.to_string()),
                data: record.data,
            }).collect();
            prop_assert_eq!(back, records);
        }

        #[test]
        fn any_body_is_unpacked_or_passed_through(body: Vec<u8>) {
            let found = deaggregate(&raw(frame(&body)));
            prop_assert!(found.records.iter().all(|record| record.aggregated)
                || found.records.len() == 1);
        }
    }
}
