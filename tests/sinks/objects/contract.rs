//! The contract of a sink: accepted, retried, slow, dead and back; large objects in parts.

use shardwright::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
};
use tempfile::TempDir;

use super::{
    flaky::{Flaky, Mood},
    s3_sink,
    store::Store,
};
use crate::{
    events::{event, events},
    harness::{Installed, Server},
};

const NAME: &str = "orders-shardId-000000000000";

#[tokio::test]
async fn what_is_accepted_is_in_the_bucket_and_twice_is_once() {
    let Some(installed) = Installed::find_all(&["moto"]) else { return };
    let dir = TempDir::new().unwrap();
    let moto = Server::moto(&installed, dir.path()).await;
    let sink = s3_sink(&moto.endpoint(), "prefix = 'id={$.id}'").await;
    let missing = sink.check().await.unwrap_err();
    assert!(
        matches!(&missing, SinkError::Misconfigured(why) if why.contains("NoSuchBucket")),
        "{missing:?}"
    );
    let store = Store::moto(&moto.endpoint());
    sink.check().await.unwrap();
    assert!(store.keys().is_empty(), "a check writes nothing");
    let odd = event(3, r#"{"id":"a/b %c"}"#);
    let batch = [events(1..3), vec![odd]].concat();
    for _ in 0..2 {
        assert_eq!(sink.deliver(&batch).await.unwrap(), vec![Verdict::Accepted; 3]);
    }
    let expect =
        ["id=1", "id=2", "id=a%2Fb%20%25c"].map(|folder| format!("{folder}/{NAME}-1-3.jsonl.gz"));
    assert_eq!(store.keys(), expect);
}

#[tokio::test]
async fn a_large_object_goes_up_in_parts() {
    let Some(installed) = Installed::find_all(&["moto"]) else { return };
    let dir = TempDir::new().unwrap();
    let moto = Server::moto(&installed, dir.path()).await;
    let store = Store::moto(&moto.endpoint());
    let keys = "prefix = ''\ncompression = 'none'\npart_size = '5MiB'";
    let sink = s3_sink(&moto.endpoint(), keys).await;
    let text = format!("{{\"id\":\"{}\"}}", "x".repeat(1 << 20));
    let batch: Vec<OutputEvent> = (1..14).map(|number| event(number, &text)).collect();
    sink.deliver(&batch).await.unwrap();
    let [key] = &store.keys()[..] else { panic!("{:?}", store.keys()) };
    assert_eq!(key, &format!("{NAME}-1-13.jsonl"));
    let expect = [text.as_str(), "\n"].concat().repeat(13);
    assert!(store.read(key) == expect.as_bytes(), "it is not what was sent");
}

#[tokio::test]
async fn a_server_that_fails_is_tried_again_with_the_whole_batch() {
    let server = Flaky::start().await;
    let sink = s3_sink(server.endpoint(), "prefix = ''\ntimeout = '1s'").await;
    let batch = events(1..4);
    server.set(Mood::Busy);
    let busy = sink.deliver(&batch).await.unwrap_err();
    assert!(matches!(&busy, SinkError::Unavailable(why) if why.contains("SlowDown")), "{busy:?}");
    assert_eq!(server.requests(), 3, "the request is sent again before the batch is");
    server.set(Mood::Denies);
    let denied = sink.deliver(&batch).await.unwrap_err();
    assert!(matches!(denied, SinkError::Misconfigured(_)), "{denied:?}");
    assert!(matches!(sink.check().await, Err(SinkError::Misconfigured(_))));
    server.set(Mood::Hangs);
    let late = sink.deliver(&batch).await.unwrap_err();
    assert!(matches!(late, SinkError::Unavailable(_)), "{late:?}");
    assert!(server.keys().is_empty());
    server.set(Mood::Well);
    assert_eq!(sink.deliver(&batch).await.unwrap(), vec![Verdict::Accepted; 3]);
    assert_eq!(server.keys(), [format!("/orders/{NAME}-1-3.jsonl.gz")]);
    sink.check().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_makes_the_shard_wait() {
    let server = Flaky::start().await;
    let endpoint = server.endpoint().to_owned();
    drop(server);
    let sink = s3_sink(&endpoint, "prefix = ''").await;
    let error = sink.deliver(&events(1..2)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
}
