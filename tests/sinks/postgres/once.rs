//! Exactly once: replays, stale owners, and deliveries that are cut off.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use shardwright::{
    model::{OutputEvent, Share},
    ports::{Sink, Verdict},
};

use super::{replaying_sink, server::Database, sink};
use crate::events::{event, events};

const ACCEPTED: Verdict = Verdict::Accepted;
/// No key: a second delivery would show.
const CONFIG: &str = "table = 't'\ncolumns = { id = '$.id' }";

async fn database() -> Option<Database> {
    let database = Database::start().await?;
    database.run("CREATE TABLE t (id int CHECK (id < 1000))").await;
    Some(database)
}

async fn ids(database: &Database) -> Vec<u64> {
    let rows = database.rows("SELECT id FROM t ORDER BY id").await;
    rows.iter().map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_replay_changes_nothing() {
    let Some(database) = database().await else { return };
    let first = sink(&database, CONFIG);
    assert_eq!(first.deliver(&events(1..6)).await.unwrap(), vec![ACCEPTED; 5]);
    // The next owner begins at its checkpoint, and cuts its batches elsewhere.
    let second = sink(&database, CONFIG);
    for range in [3..5, 5..9, 1..12] {
        let events = events(range);
        assert_eq!(second.deliver(&events).await.unwrap(), vec![ACCEPTED; events.len()]);
    }
    assert_eq!(ids(&database).await, (1..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stale_owners_late_batch_changes_nothing_and_does_not_go_back() {
    let Some(database) = database().await else { return };
    let [stale, owner] = [sink(&database, CONFIG), sink(&database, CONFIG)];
    stale.deliver(&events(1..4)).await.unwrap();
    owner.deliver(&events(2..9)).await.unwrap();
    assert_eq!(stale.deliver(&events(4..6)).await.unwrap(), vec![ACCEPTED; 2]);
    owner.deliver(&events(8..11)).await.unwrap();
    assert_eq!(ids(&database).await, (1..11).collect::<Vec<_>>());
    // Both at the same time, from the very first batch of a shard on.
    database.run("TRUNCATE t, shardwright_positions").await;
    for from in 0..10 {
        let (batch, ahead) = (events(from * 10..from * 10 + 10), events(from * 10..from * 10 + 15));
        let (one, other) = tokio::join!(stale.deliver(&batch), owner.deliver(&ahead));
        assert_eq!((one.unwrap().len(), other.unwrap().len()), (10, 15));
    }
    assert_eq!(ids(&database).await, (0..105).collect::<Vec<_>>());
}

#[tokio::test]
async fn each_shard_stream_and_sink_has_a_position_of_its_own() {
    let Some(database) = database().await else { return };
    let sink = sink(&database, CONFIG);
    sink.deliver(&events(5..6)).await.unwrap();
    let mut other_shard = event(1, r#"{"id":1}"#);
    other_shard.id.shard = shardwright::model::ShardId::new("shardId-000000000001");
    sink.deliver(&[other_shard]).await.unwrap();
    let mut other_stream = event(2, r#"{"id":2}"#);
    other_stream.id.stream = shardwright::model::StreamName::new("other");
    sink.deliver(&[other_stream]).await.unwrap();
    assert_eq!(ids(&database).await, [1, 2, 5]);
}

#[tokio::test]
async fn several_documents_of_one_event_are_each_written_once() {
    let Some(database) = database().await else { return };
    let share = |route: u32, document: u32, id: u64| {
        let mut event = event(7, &format!("{{\"id\":{id}}}"));
        event.share = Share::Document { route, name: Arc::from("r"), document };
        event
    };
    let all = [share(0, 0, 1), share(0, 1, 2), share(1, 0, 3), share(1, 1, 4)];
    let first = sink(&database, CONFIG);
    first.deliver(&all[..1]).await.unwrap();
    first.deliver(&all[1..3]).await.unwrap();
    sink(&database, CONFIG).deliver(&all).await.unwrap();
    assert_eq!(ids(&database).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn what_was_refused_is_refused_again_until_it_is_a_dead_letter() {
    let Some(database) = database().await else { return };
    let bad = |number: u64| event(number, r#"{"id":5000}"#);
    let batch = [events(1..2), vec![bad(2)], events(3..4), vec![bad(4)], events(5..6)].concat();
    let check = |verdicts: &[Verdict]| {
        for (index, verdict) in verdicts.iter().enumerate() {
            let refused = matches!(verdict, Verdict::Refused(why) if why.contains("t_id_check"));
            assert_eq!(refused, index % 2 == 1, "{index}: {verdict:?}");
        }
    };
    check(&sink(&database, CONFIG).deliver(&batch).await.unwrap());
    // The worker died before the dead letters were written.
    let next = sink(&database, CONFIG);
    check(&next.deliver(&batch).await.unwrap());
    check(&next.deliver(&batch).await.unwrap());
    assert_eq!(ids(&database).await, [1, 3, 5]);
    // One that begins behind the first has a checkpoint behind it: it is a dead letter, and forgotten.
    let refusals = "SELECT sequence_number FROM shardwright_refusals ORDER BY 1";
    assert_eq!(database.rows(refusals).await, ["2", "4"]);
    let verdicts = sink(&database, CONFIG).deliver(&batch[2..]).await.unwrap();
    assert!(matches!(&verdicts[..], [Verdict::Accepted, Verdict::Refused(_), Verdict::Accepted]));
    assert_eq!(database.rows(refusals).await, ["4"]);
}

#[tokio::test]
async fn dead_letters_and_what_is_replayed_from_them_come_out_of_order() {
    let Some(database) = database().await else { return };
    let sink = sink(&database, CONFIG);
    sink.deliver(&events(9..10)).await.unwrap();
    let share = Share::Letter { route: Some(Arc::from("all")), document: None };
    let letter = OutputEvent { share, ..event(3, r#"{"id":3}"#) };
    assert_eq!(sink.deliver(&[letter]).await.unwrap(), [ACCEPTED]);
    let replay = replaying_sink(&database, CONFIG);
    assert_eq!(replay.deliver(&events(4..5)).await.unwrap(), [ACCEPTED]);
    assert_eq!(ids(&database).await, [3, 4, 9]);
    // The position stays where it was.
    sink.deliver(&events(8..10)).await.unwrap();
    assert_eq!(ids(&database).await, [3, 4, 9]);
}

/// A worker may die between any two of its steps: the delivery is dropped there, and a new sink
/// delivers again what had no answer.
#[tokio::test]
async fn a_delivery_that_is_cut_off_anywhere_is_all_or_nothing() {
    let Some(database) = database().await else { return };
    let mut rng = StdRng::seed_from_u64(7);
    let mut done = 0;
    let mut cut = 0;
    while done < 150 {
        let current = sink(&database, CONFIG);
        let batch = events(done..done + rng.random_range(1..20));
        let steps = rng.random_range(1..40);
        let mut delivery = std::pin::pin!(current.deliver(&batch));
        let mut answer = None;
        for _ in 0..steps {
            let woken = std::future::poll_fn(|context| {
                std::task::Poll::Ready(delivery.as_mut().poll(context))
            });
            if let std::task::Poll::Ready(verdicts) = woken.await {
                answer = Some(verdicts.unwrap());
                break;
            }
            // Lets the connection do some of its work, by turns much and little.
            for _ in 0..rng.random_range(1..200) {
                tokio::task::yield_now().await;
            }
        }
        match answer {
            Some(verdicts) => {
                assert!(verdicts.iter().all(|verdict| *verdict == ACCEPTED));
                done += batch.len() as u64;
            }
            None => cut += 1,
        }
    }
    assert!(cut > 5, "only {cut} deliveries were cut off");
    let ids = ids(&database).await;
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "a row was written twice");
    assert!((0..done).all(|id| unique.contains(&id)), "a row is missing");
}

#[tokio::test]
async fn without_exactly_once_a_key_makes_a_replay_harmless() {
    let Some(database) = Database::start().await else { return };
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let config = format!("{CONFIG}\nkey = ['id']\nexactly_once = false");
    for _ in 0..2 {
        sink(&database, &config).deliver(&events(1..4)).await.unwrap();
    }
    assert_eq!(ids(&database).await, [1, 2, 3]);
    assert_eq!(database.rows("SELECT to_regclass('shardwright_positions')").await, ["NULL"]);
}
