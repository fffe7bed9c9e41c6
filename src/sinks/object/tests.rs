//! A folder of objects, read back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeMap, io::Read, path::Path};

use super::*;
use crate::{
    aws::AwsSettings,
    model::{OutputEvent, Share},
    ports::{Sink, Verdict},
    sinks::{
        SinkSite,
        testing::{event, events},
    },
};

async fn sink(dir: &Path, keys: &str, replay: bool) -> ObjectSink {
    let config = format!("path = '{}'\n{keys}", dir.display());
    let aws = AwsSettings::default();
    let site = SinkSite { application: "orders", name: "out", aws: &aws, replay };
    ObjectSink::open(toml::from_str(&config).unwrap(), ObjectPlace::Folder, &site).await.unwrap()
}

/// The objects by their keys, as they lie there.
fn objects(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let key = path.strip_prefix(dir).unwrap().display().to_string();
                found.insert(key, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

fn lines(bytes: &[u8]) -> Vec<String> {
    std::str::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_batch_is_one_object_and_the_same_batch_again_is_the_same_object() {
    for (compression, extension) in [("none", "jsonl"), ("gzip", "jsonl.gz"), ("zstd", "jsonl.zst")]
    {
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(dir.path(), &format!("compression = '{compression}'"), false).await;
        assert!(sink.prepares());
        sink.check().await.unwrap();
        assert!(objects(dir.path()).is_empty(), "a check writes nothing");
        let batch = events(7..12);
        assert_eq!(sink.deliver(&batch).await.unwrap(), vec![Verdict::Accepted; 5]);
        let first = objects(dir.path());
        let name =
            format!("orders/dt=1970-01-01/hour=00/orders-shardId-000000000000-7-11.{extension}");
        assert_eq!(first.keys().collect::<Vec<_>>(), [&name]);
        let mut plain = Vec::new();
        let bytes = first[&name].as_slice();
        match compression {
            "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap()),
            "zstd" => plain = zstd::stream::decode_all(bytes).unwrap(),
            _ => plain = bytes.to_vec(),
        }
        let expect: Vec<String> =
            (7..12).map(|number| format!("{{\"number\":{number}}}")).collect();
        assert_eq!(lines(&plain), expect);
        sink.deliver(&batch).await.unwrap();
        assert_eq!(objects(dir.path()), first);
    }
}

#[tokio::test]
async fn partitions_share_the_range_of_their_batch() {
    let dir = tempfile::tempdir().unwrap();
    let keys = "prefix = 'kind={$.kind}'\ncompression = 'none'";
    let sink = sink(dir.path(), keys, false).await;
    let long = format!("{{\"kind\":\"{}\"}}", "x".repeat(500));
    let texts =
        [r#"{"kind":"a"}"#, r#"{"kind":"b"}"#, r#"{"n":1}"#, &long, r#"{"kind":"a","n":2}"#];
    let batch: Vec<OutputEvent> =
        (1..).zip(texts).map(|(number, json)| event(number, json)).collect();
    let verdicts = sink.deliver(&batch).await.unwrap();
    assert!(
        matches!(&verdicts[3], Verdict::Refused(why) if why.contains("$.kind")),
        "{verdicts:?}"
    );
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count(), 4);
    let found = objects(dir.path());
    let name = "orders-shardId-000000000000-1-5.jsonl";
    let expect = [
        (format!("kind=__HIVE_DEFAULT_PARTITION__/{name}"), vec![texts[2]]),
        (format!("kind=a/{name}"), vec![texts[0], texts[4]]),
        (format!("kind=b/{name}"), vec![texts[1]]),
    ];
    let found: Vec<(String, Vec<String>)> =
        found.into_iter().map(|(key, bytes)| (key, lines(&bytes))).collect();
    let expect: Vec<(String, Vec<String>)> = expect
        .into_iter()
        .map(|(key, texts)| (key, texts.into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(found, expect);
}

#[cfg(feature = "parquet")]
#[tokio::test]
async fn rows_that_do_not_fit_are_refused_and_leave_the_object_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let keys =
        "prefix = 'kind={$.kind}'\nformat = 'parquet'\ncolumns = { n = '$.n bigint not null' }";
    let sink = sink(dir.path(), keys, false).await;
    let texts = [r#"{"n":1}"#, r#"{"n":"x"}"#, r#"{"kind":"b"}"#, r#"{"kind":"b"}"#, r#"{"n":5}"#];
    let batch: Vec<OutputEvent> =
        (1..).zip(texts).map(|(number, json)| event(number, json)).collect();
    let verdicts = sink.deliver(&batch).await.unwrap();
    let refused: Vec<usize> = (0..5)
        .filter(|index| matches!(&verdicts[*index], Verdict::Refused(why) if why.contains("\"n\"")))
        .collect();
    assert_eq!(refused, [1, 2, 3], "{verdicts:?}");
    let first = objects(dir.path());
    let key = "kind=__HIVE_DEFAULT_PARTITION__/orders-shardId-000000000000-1-5.parquet";
    assert_eq!(first.keys().collect::<Vec<_>>(), [key], "no object without rows");
    assert_eq!(sink.deliver(&batch).await.unwrap(), verdicts);
    assert_eq!(objects(dir.path()), first);
}

#[tokio::test]
async fn letters_and_what_is_replayed_have_objects_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let keys = "prefix = ''\ncompression = 'none'";
    let mut batch = events(1..4);
    batch[1].share = Share::Letter { route: Some("all".into()), document: None };
    sink(dir.path(), keys, false).await.deliver(&batch).await.unwrap();
    let names: Vec<String> = objects(dir.path()).into_keys().collect();
    let shard = "orders-shardId-000000000000";
    assert_eq!(names, [format!("{shard}-1-3.jsonl"), format!("{shard}-2-letter-all.jsonl")]);

    let replay = sink(dir.path(), keys, true).await;
    assert!(!replay.prepares(), "what is replayed comes without a lease");
    replay.deliver(&events(2..3)).await.unwrap();
    assert!(objects(dir.path()).contains_key(&format!("{shard}-2.jsonl")));
}

#[tokio::test]
async fn a_large_object_is_uploaded_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let keys = "prefix = ''\ncompression = 'none'\npart_size = '5MiB'";
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(1 << 20));
    let batch: Vec<OutputEvent> = (1..13).map(|number| event(number, &text)).collect();
    sink(dir.path(), keys, false).await.deliver(&batch).await.unwrap();
    let found = objects(dir.path());
    assert_eq!(found.len(), 1, "{:?}", found.keys());
    let only = found.into_values().next().unwrap();
    assert_eq!(lines(&only), vec![text; 12]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let aws = AwsSettings::default();
    let site = SinkSite { application: "orders", name: "out", aws: &aws, replay: false };
    let config = toml::from_str(&format!("path = '{}'", file.display())).unwrap();
    let opened = ObjectSink::open(config, ObjectPlace::Folder, &site).await;
    assert!(opened.unwrap_err().to_string().contains("file"));
}
