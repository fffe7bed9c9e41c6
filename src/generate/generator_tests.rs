//! Tests of the generator: the codec must find what it promises.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::{
    codec::{DecodeLimits, deaggregate, decode_user_record},
    model::{Format, RawRecord},
};

const NOW: EpochMillis = EpochMillis(1_789_808_292_299);
const ALL_KINDS: Profile = Profile {
    size: EnvelopeSize::Small,
    distribution: Distribution::ByLogStream,
    control: 10,
    broken: 25,
    aggregated: 30,
};

fn records(seed: u64, profile: Profile, count: usize) -> Vec<GeneratedRecord> {
    let mut generator = Generator::new(seed, profile);
    (0..count).map(|_| generator.next_record(NOW)).collect()
}

/// Decodes a record and compares it with its expectation; returns its messages.
fn check(record: &GeneratedRecord) -> Vec<LogEvent> {
    let found = deaggregate(&RawRecord {
        sequence: "1".parse().unwrap(),
        partition_key: record.partition_key.clone(),
        data: record.data.clone(),
        arrival: NOW,
    });
    let expect = &record.expect;
    assert_eq!(found.records.len() as u64, expect.user_records);
    let (mut events, mut control, mut dead_letters) = (Vec::new(), 0, 0);
    for user_record in &found.records {
        assert_eq!(&*user_record.partition_key, record.partition_key);
        let limits = DecodeLimits::default();
        match decode_user_record(Format::CloudwatchLogs, user_record, &limits) {
            Ok(decoded) => {
                events.extend(decoded.events);
                control += decoded.control;
            }
            Err(_) => dead_letters += 1,
        }
    }
    let ids: Vec<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, expect.event_ids);
    assert_eq!((control, dead_letters), (expect.control, expect.dead_letters), "{:?}", expect.kind);
    assert!(events.iter().all(|event| event.timestamp == Some(NOW)));
    events
}

#[test]
fn every_record_decodes_to_what_it_promises() {
    let mut kinds = BTreeMap::new();
    let mut ids = HashSet::new();
    for record in records(1, ALL_KINDS, 2000) {
        check(&record);
        *kinds.entry(format!("{:?}", record.expect.kind)).or_insert(0) += 1;
        for id in record.expect.event_ids {
            assert_eq!(id.len(), 56);
            assert!(ids.insert(id), "an event id repeats");
        }
    }
    // Data, control, aggregates and five ways to be broken.
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn a_seed_repeats_and_another_differs() {
    assert_eq!(records(7, Profile::default(), 50), records(7, Profile::default(), 50));
    let ids = |seed| records(seed, Profile::default(), 50)[0].expect.event_ids.clone();
    assert!(ids(7) != ids(8) || ids(7).is_empty());
}

#[test]
fn sizes_are_as_named() {
    for (size, range) in [
        (EnvelopeSize::Small, 1..=2),
        (EnvelopeSize::Medium, 20..=40),
        (EnvelopeSize::Large, 900..=1100),
    ] {
        for record in records(3, Profile::plain(size), 20) {
            let count = record.expect.event_ids.len();
            assert!(range.contains(&count), "{size:?} has {count}");
            assert!(record.data.len() < 1 << 20, "larger than a Kinesis record");
        }
    }
}

#[test]
fn large_aggregates_fit_a_kinesis_record() {
    let profile = Profile { aggregated: 100, ..Profile::plain(EnvelopeSize::Large) };
    for record in records(4, profile, 20) {
        assert_eq!(record.expect.kind, RecordKind::Aggregated);
        assert!(record.data.len() < 1 << 20, "{} bytes", record.data.len());
    }
}

#[test]
fn some_events_carry_the_fields_that_aws_added() {
    let all: Vec<_> =
        records(6, Profile::plain(EnvelopeSize::Small), 100).iter().flat_map(check).collect();
    let with = |event: &&LogEvent| event.source.extra.contains_key("policyLevel");
    assert!(all.iter().filter(with).all(|event| event.extra.contains_key("extractedFields")));
    let count = all.iter().filter(with).count();
    assert!(0 < count && count < all.len());
}

#[test]
fn messages_are_of_every_family() {
    let all: Vec<String> = records(5, Profile::plain(EnvelopeSize::Medium), 200)
        .iter()
        .flat_map(check)
        .map(|event| event.message.as_str().to_owned())
        .collect();
    for part in [
        "\"is_save_kinesis\":true",
        "'is_save_kinesis': True",
        "|312F14DS|{",
        "START RequestId: ",
        "\tMemory Size: 128 MB\tMax Memory Used: ",
        "HTTP/1.1\" 200 ",
        "[19/Sep/2026:",
        " ACCEPT OK",
        " - NODATA",
        "\n\tat com.example",
        "\u{1b}[32m",
        "\0",
        "日本語",
        "\"level\":\"ERROR\"",
    ] {
        assert!(all.iter().any(|message| message.contains(part)), "none has {part:?}");
    }
}

#[test]
fn keys_follow_the_distribution() {
    let keys = |distribution| {
        let profile = Profile { distribution, ..Profile::plain(EnvelopeSize::Small) };
        let keys = records(9, profile, 1000).into_iter().map(|record| record.partition_key);
        keys.collect::<HashSet<_>>().len()
    };
    assert!(keys(Distribution::ByLogStream) <= 128);
    assert_eq!(keys(Distribution::Random), 1000);
}

#[test]
fn control_goes_under_the_key_of_aws() {
    assert_eq!(control_record(NOW).partition_key, "3e21f5e8240cbb048271af4fdb892a1c");
}

#[test]
fn wraps_given_lines() {
    let source = LogSource { owner: "1".into(), ..LogSource::default() };
    let lines = ["one".to_owned(), "two\n".to_owned()];
    let record = Generator::new(1, Profile::default()).wrap(&source, lines, NOW);
    let events = check(&record);
    assert_eq!(events[0].message.as_str(), "one");
    assert_eq!(events[1].message.as_str(), "two\n");
    assert_eq!(*events[0].source, source);
}
