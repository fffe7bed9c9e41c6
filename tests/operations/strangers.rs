//! What strangers to the admin port get: other people's web pages, and clients that never finish.

use std::io::ErrorKind;

use hyper::{Method, StatusCode};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    admin::{working, world},
    client::{ask, get},
    harness::{Stream, wait_until},
};

const PATHS: [&str; 7] = ["/", "/livez", "/readyz", "/metrics", "/shards", "/status", "/nothing"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_others_can_neither_read_nor_frame_what_the_port_says() {
    let (local, admin) = world("127.0.0.1", "").await;
    Stream::create(&local.aws, 1).await;
    let daemon = working(&local, admin, 1).await;
    for path in PATHS {
        let answer = get(admin, path).await.unwrap();
        let header =
            |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(header("access-control-allow-origin"), "", "{path}");

        let rebound = [("host", "rebound.example:9464")];
        let answer = ask(admin, Method::GET, path, &rebound).await.unwrap();
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert!(answer.text.starts_with("ask 127.0.0.1 or localhost"), "{path}: {}", answer.text);
    }
    daemon.drain().await;

    // Whoever opens the port to a network says by which names it is reached.
    let (open, admin) = world("0.0.0.0", "").await;
    Stream::create(&open.aws, 1).await;
    let daemon = working(&open, admin, 1).await;
    let named = [("host", "worker-1.orders.svc:9464")];
    let answer = ask(admin, Method::GET, "/livez", &named).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    daemon.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_finish_keep_no_probe_out() {
    let (world, admin) = world("127.0.0.1", "").await;
    Stream::create(&world.aws, 1).await;
    let daemon = working(&world, admin, 1).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = TcpStream::connect(admin).await.unwrap();
        // The server may have closed it already, for those that came after it.
        let _ = client.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1").await;
        slow.push(client);
    }
    assert_eq!(get(admin, "/livez").await.unwrap().status, StatusCode::OK);
    let first = slow.remove(0);
    wait_until("the first of them is closed", async || match first.try_read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(problem) => problem.kind() != ErrorKind::WouldBlock,
    })
    .await;
    daemon.drain().await;
}
