//! Starting and stopping: health, deadlines, second signals.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Output},
};

use crate::harness::{Books, Producer, Stream, World, wait_until};

/// Exit code of a drain that was cut short.
const CUT_SHORT: i32 = 3;

/// A world whose sink takes connections and never answers, with work in flight for it.
async fn with_a_sink_that_hangs(drain_timeout: &str) -> (World, TcpListener) {
    let sink = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let world = World::embedded().await;
    let path = format!("type = \"file\"\npath = \"{}/delivered\"", world.dir().display());
    let endpoint = sink.local_addr().unwrap();
    let hangs =
        format!("type = \"kinesis\"\nstream = \"next\"\nendpoint_url = \"http://{endpoint}\"");
    world.reconfigure(&path, &hangs);
    world.reconfigure(
        "[lease]",
        &format!("[shutdown]\ndrain_timeout = \"{drain_timeout}\"\n\n[lease]"),
    );
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 1).await;
    Producer::new(&stream).put(&mut books, 20).await;
    (world, sink)
}

/// Waits until a delivery has begun: the sink's socket has a connection.
async fn delivery_begins(sink: &TcpListener) -> std::net::TcpStream {
    sink.set_nonblocking(true).unwrap();
    let mut taken = None;
    wait_until("a delivery begins", async || {
        taken = sink.accept().ok();
        taken.is_some()
    })
    .await;
    taken.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_takes_too_long_ends_and_names_the_shards() {
    let (world, sink) = with_a_sink_that_hangs("1s").await;
    let daemon = world.daemon();
    let _connection = delivery_begins(&sink).await;
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(CUT_SHORT));
    let log = world.log();
    assert!(log.contains("shutdown.drain_timeout has passed"), "{log}");
    assert!(log.contains("not_done") && log.contains("shardId-000000000000"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let (world, sink) = with_a_sink_that_hangs("1h").await;
    let daemon = world.daemon();
    let _connection = delivery_begins(&sink).await;
    daemon.terminate();
    wait_until("the first signal is seen", async || world.log().contains("asked to stop")).await;
    daemon.terminate();
    assert_eq!(daemon.exit().await.code(), Some(CUT_SHORT));
    assert!(world.log().contains("a second signal"), "{}", world.log());
}

fn healthcheck(world: &World, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwright"));
    command.arg("healthcheck").arg("--config").arg(world.config()).args(arguments);
    command.output().unwrap()
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_is_alive_before_its_table_answers_and_ready_after() {
    let world = World::embedded().await;
    let listen = format!("enabled = true\nlisten = \"{}\"", free_port());
    world.reconfigure("enabled = false", &listen);
    let gone = healthcheck(&world, &[]);
    assert_eq!(gone.status.code(), Some(1), "nobody listens yet: {gone:?}");

    let nobody = format!("http://{}", free_port());
    world.reconfigure(&world.dynamodb_endpoint, &nobody);
    let waiting = world.daemon();
    wait_until("it is alive", async || healthcheck(&world, &[]).status.success()).await;
    let not_ready = healthcheck(&world, &["--ready"]);
    assert_eq!(not_ready.status.code(), Some(1), "its table cannot be reached: {not_ready:?}");
    waiting.drain().await;

    world.reconfigure(&nobody, &world.dynamodb_endpoint);
    let daemon = world.daemon();
    wait_until("it is ready", async || healthcheck(&world, &["--ready"]).status.success()).await;
    daemon.drain().await;
}
