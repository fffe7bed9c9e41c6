//! Which user records of a KPL aggregate belong to the shard that they came from.

use super::deaggregate::effective_hash_key;
use crate::model::{Aggregates, HashKeyRange, UserRecord};

/// The keys of a shard, and how strict it is about them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardKeys {
    /// The keys that it takes. `None` is unknown: then nothing is dropped, as by the KCL.
    pub range: Option<HashKeyRange>,
    /// What becomes of aggregates with user records of another shard.
    pub aggregates: Aggregates,
}

impl ShardKeys {
    /// For each user record of one Kinesis record, whether it is to be dropped.
    ///
    /// Only members of aggregates are looked at: everything else is where Kinesis itself has put it.
    /// One whose explicit hash key is no number has no place, and is kept.
    pub fn foreign(&self, records: &[UserRecord]) -> Vec<bool> {
        let mut foreign: Vec<bool> = records.iter().map(|record| self.is_foreign(record)).collect();
        if self.aggregates == Aggregates::Strict && foreign.contains(&true) {
            foreign.fill(true);
        }
        foreign
    }

    fn is_foreign(&self, record: &UserRecord) -> bool {
        let Some(range) = self.range.filter(|_| record.aggregated) else { return false };
        effective_hash_key(record).is_some_and(|key| !range.contains(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{
            DecodeLimits, KplRecord, aggregate, deaggregate, deaggregate::partition_hash,
            decode_user_record, gunzip::gzip,
        },
        model::{EpochMillis, Format, HashKey, RawRecord},
    };

    fn records(members: &[(&str, Option<&str>)]) -> Vec<UserRecord> {
        let member = |(key, hash): &(&str, Option<&str>)| KplRecord {
            partition_key: (*key).to_owned(),
            explicit_hash_key: hash.map(str::to_owned),
            data: key.as_bytes().to_vec().into(),
        };
        unpack(aggregate(&members.iter().map(member).collect::<Vec<_>>()))
    }

    fn unpack(data: bytes::Bytes) -> Vec<UserRecord> {
        let (sequence, partition_key) = ("1".parse().unwrap(), "outer".to_owned());
        deaggregate(&RawRecord { sequence, partition_key, data, arrival: EpochMillis(0) }).records
    }

    /// A shard of the lower half of the keys.
    fn lower(aggregates: Aggregates) -> ShardKeys {
        let range = HashKeyRange { start: HashKey(0), end: HashKey(u128::MAX / 2) };
        ShardKeys { range: Some(range), aggregates }
    }

    #[test]
    fn members_of_another_shard_are_told_by_their_key_or_their_hash() {
        // The hash of "a" is in the lower half, that of "b" in the upper one.
        assert!(partition_hash("a").0 <= u128::MAX / 2 && partition_hash("b").0 > u128::MAX / 2);
        let last = (u128::MAX / 2).to_string();
        let first_beyond = (u128::MAX / 2 + 1).to_string();
        let records = records(&[
            ("a", None),
            ("b", None),
            ("b", Some("0")),
            ("a", Some(&first_beyond)),
            ("b", Some(&last)),
            ("a", Some("none")),
        ]);
        let foreign = [false, true, false, true, false, false];
        assert_eq!(lower(Aggregates::Tolerant).foreign(&records), foreign);
        assert_eq!(lower(Aggregates::Strict).foreign(&records), [true; 6]);
        assert_eq!(lower(Aggregates::Strict).foreign(&records[..1]), [false]);
        let unknown = ShardKeys { range: None, aggregates: Aggregates::Strict };
        assert_eq!(unknown.foreign(&records), [false; 6]);
    }

    #[test]
    fn a_plain_record_is_where_kinesis_has_put_it() {
        let plain = unpack(b"plain".to_vec().into());
        let nothing = HashKeyRange { start: HashKey(0), end: HashKey(0) };
        let keys = ShardKeys { range: Some(nothing), aggregates: Aggregates::Strict };
        assert_eq!(keys.foreign(&plain), [false]);
    }

    #[test]
    fn a_member_may_be_a_gzip_envelope() {
        let envelope = |text: &str| {
            let event = format!(r#"{{"id":"{text}","timestamp":1,"message":"{text}"}}"#);
            let json = format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{event}]}}"#);
            KplRecord {
                partition_key: "a".to_owned(),
                explicit_hash_key: None,
                data: gzip(json.as_bytes()).into(),
            }
        };
        let members = unpack(aggregate(&[envelope("one"), envelope("two")]));
        let messages: Vec<String> = members
            .iter()
            .flat_map(|member| {
                let limits = DecodeLimits::default();
                decode_user_record(Format::CloudwatchLogs, member, &limits).unwrap().events
            })
            .map(|event| event.message.as_str().to_owned())
            .collect();
        assert_eq!(messages, ["one", "two"]);
    }
}
