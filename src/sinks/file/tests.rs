//! The file sink as readers of its directory see it.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    time::Duration,
};

use bytesize::ByteSize;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{
    Compression, FileConfig, FileSink, Fsync,
    writer::{OPEN, Writer},
};
use crate::{
    ports::{Sink, SinkError, Verdict},
    sinks::{
        lines::json_lines,
        testing::{event, events},
    },
};

fn config(directory: &Path) -> FileConfig {
    let path = directory.display();
    toml::from_str(&format!("path = '{path}'")).unwrap()
}

/// The names in a directory, in order, with the parts that differ from run to run left out.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn read_all(directory: &Path) -> String {
    let mut text = String::new();
    for name in names(directory) {
        let bytes = fs::read(directory.join(&name)).unwrap();
        if name.contains(".gz") {
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        } else if name.contains(".zst") {
            text += &String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap();
        } else {
            text += &String::from_utf8(bytes).unwrap();
        }
    }
    text
}

fn lines(range: std::ops::Range<u64>) -> String {
    String::from_utf8(json_lines(&events(range))).unwrap()
}

/// Whether a name is that of a file being written.
fn is_open(name: &str) -> bool {
    name.strip_suffix(OPEN).is_some()
}

#[tokio::test]
async fn accepted_events_can_be_read_before_the_file_is_finished() {
    for (compression, ending) in [
        (Compression::None, ".jsonl"),
        (Compression::Gzip, ".jsonl.gz"),
        (Compression::Zstd, ".jsonl.zst"),
    ] {
        for fsync in [Fsync::Batch, Fsync::Rotate, Fsync::Never] {
            let directory = TempDir::new().unwrap();
            let config = FileConfig { compression, fsync, ..config(directory.path()) };
            let sink = FileSink::open(config).await.unwrap();
            assert_eq!(names(directory.path()), Vec::<String>::new(), "no empty files");
            for batch in [0..3, 3..5] {
                let verdicts = sink.deliver(&events(batch.clone())).await.unwrap();
                assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Accepted));
                assert_eq!(read_all(directory.path()), lines(0..batch.end));
            }
            assert_eq!(sink.deliver(&[]).await.unwrap(), []);
            let open = names(directory.path());
            assert!(open[0].ends_with(&format!("-0000{ending}.open")), "{open:?}");

            sink.close().await.unwrap();
            let finished = names(directory.path());
            assert_eq!(format!("{}.open", finished[0]), open[0]);
            assert_eq!(read_all(directory.path()), lines(0..5));
        }
    }
}

#[tokio::test]
async fn files_are_finished_by_size() {
    let directory = TempDir::new().unwrap();
    let config = FileConfig { rotate_size: ByteSize::b(26), ..config(directory.path()) };
    let sink = FileSink::open(config).await.unwrap();
    for number in 0..5 {
        sink.deliver(&events(number..number + 1)).await.unwrap();
    }
    let names = names(directory.path());
    let ends: Vec<_> = names.iter().map(|name| name.rsplit('-').next().unwrap()).collect();
    assert_eq!(ends, ["0000.jsonl", "0001.jsonl", "0002.jsonl.open"], "13 bytes a line");
    assert_eq!(read_all(directory.path()), lines(0..5));
}

#[tokio::test(start_paused = true)]
async fn files_are_finished_by_age_even_when_nothing_comes() {
    let directory = TempDir::new().unwrap();
    let config = FileConfig { rotate_age: Duration::from_mins(1), ..config(directory.path()) };
    let sink = FileSink::open(config).await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    sink.deliver(&events(0..1)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(is_open(&names(directory.path())[0]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The paused clock stands still while the rotation is at work.
    assert!(names(directory.path())[0].ends_with("-0000.jsonl"));
    sink.deliver(&events(1..2)).await.unwrap();
    assert!(names(directory.path())[1].ends_with("-0001.jsonl.open"));
}

#[tokio::test]
async fn shards_that_deliver_at_once_do_not_mix_their_lines() {
    let directory = TempDir::new().unwrap();
    let sink = FileSink::open(config(directory.path())).await.unwrap();
    let batches: Vec<_> = (0..20).map(|shard| events(shard * 100..shard * 100 + 100)).collect();
    futures_util::future::try_join_all(batches.iter().map(|batch| sink.deliver(batch)))
        .await
        .unwrap();
    sink.close().await.unwrap();
    let text = read_all(directory.path());
    let mut found: Vec<u64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64().unwrap()
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_delivery_that_is_dropped_leaves_whole_lines() {
    let directory = TempDir::new().unwrap();
    let sink = FileSink::open(config(directory.path())).await.unwrap();
    let batch = events(0..1000);
    for _ in 0..10 {
        let mut delivery = std::pin::pin!(sink.deliver(&batch));
        for _ in 0..3 {
            let _ = futures_util::poll!(delivery.as_mut());
            tokio::task::yield_now().await;
        }
    }
    sink.deliver(&[event(1, "\"last\"")]).await.unwrap();
    sink.close().await.unwrap();
    let text = read_all(directory.path());
    assert!(text.ends_with("\"last\"\n"));
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[tokio::test]
async fn what_a_crash_left_is_finished_and_never_appended_to() {
    let directory = TempDir::new().unwrap();
    let put = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    put("events-1-a-0000.jsonl.open", "{\"number\":0}\n{\"num");
    put("events-1-a-0001.jsonl.open", "{\"num");
    put("events-1-a-0002.jsonl.gz.open", "half a member");
    put("events-1-b-0000.jsonl", "done\n");
    put("other-1-a-0000.jsonl.open", "not ours");
    let long = format!("{}\n{}", "x".repeat(200_000), "y".repeat(200_000));
    put("events-1-c-0000.jsonl.open", &long);

    let live = FileSink::open(FileConfig { prefix: "live".into(), ..config(directory.path()) });
    let live = live.await.unwrap();
    live.deliver(&events(0..1)).await.unwrap();
    let second = FileSink::open(FileConfig { prefix: "live".into(), ..config(directory.path()) });
    drop(second.await.unwrap());

    let sink = FileSink::open(config(directory.path())).await.unwrap();
    let names = names(directory.path());
    assert_eq!(
        names[..5],
        [
            "events-1-a-0000.jsonl",
            "events-1-a-0002.jsonl.gz",
            "events-1-b-0000.jsonl",
            "events-1-c-0000.jsonl",
            names[4].as_str(),
        ]
    );
    assert!(names[4].starts_with("live-") && is_open(&names[4]), "it is being written");
    assert_eq!(names[5], "other-1-a-0000.jsonl.open");
    let text = fs::read_to_string(directory.path().join("events-1-a-0000.jsonl")).unwrap();
    assert_eq!(text, "{\"number\":0}\n");
    let kept = fs::metadata(directory.path().join("events-1-c-0000.jsonl")).unwrap().len();
    assert_eq!(kept, 200_001);

    sink.deliver(&events(5..6)).await.unwrap();
    assert_eq!(
        fs::read_to_string(directory.path().join("events-1-b-0000.jsonl")).unwrap(),
        "done\n"
    );
    live.close().await.unwrap();
}

#[tokio::test]
async fn directories_are_made_and_bad_ones_named() {
    let directory = TempDir::new().unwrap();
    let nested = directory.path().join("a/b");
    let sink = FileSink::open(config(&nested)).await.unwrap();
    sink.check().await.unwrap();
    fs::remove_dir_all(&nested).unwrap();
    sink.deliver(&events(0..1)).await.unwrap();
    assert_eq!(read_all(&nested), lines(0..1));
    assert!(names(&nested).iter().all(|name| name.starts_with("events-")), "no probes stay");

    let file = directory.path().join("file");
    fs::File::create(&file).unwrap().write_all(b"x").unwrap();
    for bad in [
        config(&file),
        config(&file.join("below")),
        FileConfig { prefix: "../up".into(), ..config(&nested) },
        FileConfig { prefix: String::new(), ..config(&nested) },
        FileConfig { rotate_size: ByteSize::b(0), ..config(&nested) },
    ] {
        let error = FileSink::open(bad.clone()).await.unwrap_err();
        assert!(matches!(error, SinkError::Misconfigured(_)), "{bad:?}: {error:?}");
    }
}

/// Events and dead letters hold whatever people have logged.
#[cfg(unix)]
#[tokio::test]
async fn others_on_the_machine_may_look_at_nothing() {
    use std::os::unix::fs::PermissionsExt;

    let directory = TempDir::new().unwrap();
    let path = directory.path().join("around/out");
    let sink = FileSink::open(config(&path)).await.unwrap();
    sink.deliver(&events(0..2)).await.unwrap();
    let file = path.join(&names(&path)[0]);
    for (path, most) in [(path.parent().unwrap(), 0o750), (&path, 0o750), (&file, 0o640)] {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & !most, 0, "{}: {mode:o}", path.display());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_among_leftover_files_is_not_followed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("out");
    fs::create_dir(&path).unwrap();
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, "a line\nhalf of one").unwrap();
    let link = path.join("events-20260131T080000Z-0a1b2c3d-0000.jsonl.open");
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let _sink = FileSink::open(config(&path)).await.unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "a line\nhalf of one");
    assert!(link.is_symlink(), "it stays as it is");
}

#[tokio::test]
async fn a_directory_that_is_removed_is_noticed_by_the_next_batch() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("out");
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let sink = FileSink::open(FileConfig { compression, ..config(&path) }).await.unwrap();
        sink.deliver(&events(0..2)).await.unwrap();
        fs::remove_dir_all(&path).unwrap();
        let error = sink.deliver(&events(2..4)).await.unwrap_err();
        assert!(
            matches!(&error, SinkError::Unavailable(why) if why.contains("removed")),
            "{error:?}"
        );
        sink.deliver(&events(2..4)).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(read_all(&path), lines(2..4), "what was accepted after that is there");
        fs::remove_dir_all(&path).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_moved_away_keeps_its_whole_batches_and_gets_no_more() {
    let directory = TempDir::new().unwrap();
    let (path, aside) = (directory.path().join("out"), directory.path().join("aside"));
    let sink = FileSink::open(config(&path)).await.unwrap();
    sink.deliver(&events(0..2)).await.unwrap();
    fs::rename(&path, &aside).unwrap();
    sink.deliver(&events(2..4)).await.unwrap_err();
    sink.deliver(&events(2..4)).await.unwrap();
    assert_eq!((read_all(&aside), read_all(&path)), (lines(0..2), lines(2..4)));
    // Somebody else's file under the name is left alone.
    let open = path.join(&names(&path)[0]);
    fs::remove_file(&open).unwrap();
    fs::write(&open, "other").unwrap();
    sink.deliver(&events(4..6)).await.unwrap_err();
    assert_eq!(fs::read_to_string(&open).unwrap(), "other");
    sink.deliver(&events(4..6)).await.unwrap();
}

/// `/dev/full` refuses every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_gives_the_file_up_and_the_next_batch_gets_a_new_one() {
    let directory = TempDir::new().unwrap();
    let mut writer = Writer::new(config(directory.path()));
    writer.append(b"{}\n", Instant::now()).unwrap();
    let full = fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
    writer.replace_file(full);
    let error = writer.append(b"{\"a\":1}\n", Instant::now()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    writer.append(b"{\"a\":1}\n", Instant::now()).unwrap();
    writer.finish().unwrap();
    assert_eq!(read_all(directory.path()), "{}\n{\"a\":1}\n");
}
