//! The admin port of a daemon, asked over HTTP.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use hyper::StatusCode;
use serde_json::Value;

use crate::{
    client::{get, metric, post},
    harness::{Books, Daemon, Producer, Stream, World, wait_until},
};

const TOKEN: &str = "a-word-that-only-operators-know";

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A world, and where its daemon's admin port will be.
pub(crate) async fn world(listen: &str, keys: &str) -> (World, SocketAddr) {
    let world = World::embedded().await;
    let port = free_port();
    world.reconfigure("enabled = false", &format!("listen = \"{listen}:{port}\"\n{keys}"));
    (world, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// A daemon that has its leases.
pub(crate) async fn working(world: &World, admin: SocketAddr, shards: usize) -> Daemon {
    let daemon = world.daemon();
    wait_until("the daemon reads the shards", async || {
        get(admin, "/shards").await.is_some_and(|answer| {
            let shards_here = answer.json();
            let here = shards_here.as_array().unwrap().iter().filter(|shard| shard["here"] == true);
            here.count() == shards
        })
    })
    .await;
    daemon
}

async fn shards(admin: SocketAddr) -> Vec<Value> {
    get(admin, "/shards").await.unwrap().json().as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_and_shards_say_what_was_done() {
    let (world, admin) = world("127.0.0.1", "").await;
    let stream = Stream::create(&world.aws, 2).await;
    let mut books = Books::default();
    let daemon = working(&world, admin, 2).await;
    Producer::new(&stream).put(&mut books, 40).await;
    world.settled(&books).await;

    let of_stream = |name: &str| format!("shardwright_{name}_total{{stream=\"app-logs\"}}");
    wait_until("everything that is on disk is counted", async || {
        let mut settled = 0.0;
        for name in ["events_delivered", "events_filtered", "events_dead_lettered"] {
            settled += metric(admin, &of_stream(name)).await.unwrap_or(0.0);
        }
        let events = metric(admin, &of_stream("events")).await;
        metric(admin, &of_stream("records")).await == Some(40.0) && events == Some(settled)
    })
    .await;
    let results = world.results();
    let delivered = u32::try_from(results.delivered.len()).unwrap();
    assert_eq!(metric(admin, &of_stream("events_delivered")).await, Some(f64::from(delivered)));
    let letters = "shardwright_dead_letters_total{stream=\"app-logs\",reason=\"decode\"}";
    let parked = u32::try_from(results.parked.len()).unwrap();
    assert_eq!(metric(admin, letters).await, Some(f64::from(parked)));
    assert_eq!(metric(admin, "shardwright_leases_held").await, Some(2.0));
    assert_eq!(metric(admin, "shardwright_leases_unowned").await, Some(0.0));
    let lag =
        "shardwright_behind_latest_seconds{stream=\"app-logs\",shard=\"shardId-000000000001\"}";
    assert!(metric(admin, lag).await.is_some(), "each shard that is read has its lag");
    let left = metric(admin, "shardwright_retention_left_seconds{stream=\"app-logs\"}").await;
    assert!(left.is_some_and(|left| (86_000.0..=86_400.0).contains(&left)), "{left:?}");

    wait_until("checkpoints are shown", async || {
        shards(admin).await.iter().all(|shard| shard["checkpoint"] != "TRIM_HORIZON")
    })
    .await;
    for shard in shards(admin).await {
        assert_eq!((&shard["stream"], &shard["here"]), (&"app-logs".into(), &true.into()));
        assert_eq!(shard["state"], "at the tip", "{shard}");
        assert_eq!((&shard["in_flight_records"], &shard["last_error"]), (&0.into(), &Value::Null));
        assert!(shard["owner"].is_string() && shard["processed_until"].is_string(), "{shard}");
    }
    let status = get(admin, "/status").await.unwrap().json();
    assert_eq!(status["state"], "running");
    assert_eq!(status["lease_news"].as_array().unwrap().len(), 2);
    assert_eq!(status["streams"][0]["delivered"], delivered);
    assert!(!status["failures"].as_array().unwrap().is_empty());

    let page = get(admin, "/").await.unwrap();
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("'none'"));
    let text = get(admin, "/metrics").await.unwrap();
    let kind = text.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(text.text.ends_with("# EOF\n"));
    daemon.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_ends_takes_its_metrics_with_it() {
    let (world, admin) = world("127.0.0.1", "").await;
    let stream = Stream::create(&world.aws, 1).await;
    let daemon = working(&world, admin, 1).await;
    let parent = stream.split().await;
    let lag =
        format!("shardwright_behind_latest_seconds{{stream=\"app-logs\",shard=\"{parent}\"}}");
    wait_until("the children are read", async || {
        metric(admin, "shardwright_leases_held").await == Some(2.0)
            && metric(admin, &lag).await.is_none()
    })
    .await;
    let ended = metric(admin, "shardwright_lease_changes_total{kind=\"ended\"}").await;
    assert_eq!(ended, Some(1.0));
    daemon.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_down_is_seen_beside_one_that_works() {
    let (world, admin) = world("127.0.0.1", "").await;
    let nobody = free_port();
    let second = format!(
        "[[routes]]\nname = \"both\"\nalso = true\nsink = \"web\"\n\n\
         [sinks.web]\ntype = \"http\"\nurl = \"http://127.0.0.1:{nobody}/\"\n\n[[routes]]"
    );
    world.reconfigure("[[routes]]", &second);
    let stream = Stream::create(&world.aws, 1).await;
    let mut books = Books::default();
    let _daemon = working(&world, admin, 1).await;
    let mut producer = Producer::new(&stream);
    let down = async || {
        let shard = shards(admin).await.remove(0);
        let error = shard["last_error"]["text"].as_str().unwrap_or_default().to_owned();
        shard["state"] == "waits for a sink" && error.starts_with("web: ")
    };
    let taken = "shardwright_sink_events_total{sink=\"delivered\",outcome=\"accepted\"}";
    producer.put(&mut books, 5).await;
    wait_until("the page's shards say so", down).await;
    let before = metric(admin, taken).await.unwrap_or(0.0);
    producer.put(&mut books, 5).await;
    wait_until("the other sink goes on", async || {
        metric(admin, taken).await.is_some_and(|taken| taken > before)
    })
    .await;
    assert!(down().await, "what one sink takes says nothing of the other");
    let waiting = shards(admin).await[0]["oldest_unsettled_seconds"].as_f64().unwrap();
    assert!(waiting > 0.0, "{waiting}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_worker_keeps_its_leases_and_reads_nothing() {
    let (world, admin) = world("127.0.0.1", "").await;
    let stream = Stream::create(&world.aws, 1).await;
    let mut books = Books::default();
    let daemon = working(&world, admin, 1).await;
    let calls =
        "shardwright_fetch_calls_total{stream=\"app-logs\",call=\"get_records\",outcome=\"ok\"}";
    let renewals = "shardwright_lease_table_calls_total{op=\"renew\",outcome=\"ok\"}";

    assert_eq!(post(admin, "/pause", &[]).await.unwrap().status, StatusCode::OK);
    assert_eq!(metric(admin, "shardwright_paused").await, Some(1.0));
    let renewed = metric(admin, renewals).await.unwrap_or(0.0);
    wait_until("a call that was under way is over", async || {
        metric(admin, renewals).await.unwrap_or(0.0) >= renewed + 2.0
    })
    .await;
    let called = metric(admin, calls).await;
    Producer::new(&stream).put(&mut books, 5).await;
    wait_until("the lease is renewed and the shard shown as paused", async || {
        metric(admin, renewals).await.unwrap_or(0.0) >= renewed + 4.0
            && shards(admin).await[0]["state"] == "paused"
    })
    .await;
    assert_eq!(metric(admin, calls).await, called, "nothing was fetched for two renewals");
    assert_eq!(get(admin, "/readyz").await.unwrap().status, StatusCode::OK);

    assert_eq!(post(admin, "/resume", &[]).await.unwrap().status, StatusCode::OK);
    world.settled(&books).await;
    daemon.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_port_obeys_those_who_know_the_token() {
    let (world, admin) = world("0.0.0.0", &format!("token = \"{TOKEN}\"")).await;
    Stream::create(&world.aws, 1).await;
    let daemon = working(&world, admin, 1).await;
    let wrong = [
        vec![],
        vec![("authorization", "Bearer a-word-that-only-operators-knew")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", TOKEN)],
    ];
    for headers in wrong {
        let answer = post(admin, "/drain", &headers).await.unwrap();
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert!(!answer.text.contains(TOKEN));
    }
    let said = format!("Bearer {TOKEN}");
    let foreign = [("authorization", said.as_str()), ("origin", "https://elsewhere.example")];
    let answer = post(admin, "/drain", &foreign).await.unwrap();
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let right = [("authorization", said.as_str())];
    assert_eq!(post(admin, "/drain", &right).await.unwrap().status, StatusCode::ACCEPTED);
    assert!(daemon.exit().await.success(), "it drained as after SIGTERM");
    assert!(!world.log().contains(TOKEN), "the token is never printed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_only_this_machine_s_people_are_obeyed() {
    let (open, admin) = world("0.0.0.0", "").await;
    Stream::create(&open.aws, 1).await;
    let daemon = working(&open, admin, 1).await;
    let answer = post(admin, "/pause", &[]).await.unwrap();
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text.contains("SHARDWRIGHT__ADMIN__TOKEN"), "it says what to do: {answer:?}");
    daemon.drain().await;

    let (local, admin) = world("127.0.0.1", "").await;
    Stream::create(&local.aws, 1).await;
    let daemon = working(&local, admin, 1).await;
    // A page that a browser on this machine has open, and a name that somebody points at loopback.
    for (header, status) in [
        (("origin", "https://elsewhere.example"), StatusCode::FORBIDDEN),
        (("sec-fetch-site", "cross-site"), StatusCode::FORBIDDEN),
        (("host", "rebound.example:9464"), StatusCode::MISDIRECTED_REQUEST),
    ] {
        let answer = post(admin, "/pause", &[header]).await.unwrap();
        assert_eq!(answer.status, status, "{header:?}");
    }
    assert_eq!(metric(admin, "shardwright_paused").await, Some(0.0));
    let name = format!("localhost:{}", admin.port());
    let answer = post(admin, "/pause", &[("host", &name)]).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(get(admin, "/pause").await.unwrap().status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post(admin, "/drain", &[]).await.unwrap().status, StatusCode::ACCEPTED);
    assert!(daemon.exit().await.success());
}
