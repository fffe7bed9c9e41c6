//! Connections to the port: what a client may take of them. One that sends half a request and waits, or
//! never reads its answer, must not keep a probe out or use up the file descriptors that the work needs.

use std::{collections::VecDeque, convert::Infallible, io, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

/// Most connections at once. One more closes the oldest: whoever had that, a page or Prometheus, comes
/// again.
const MOST: usize = 32;
/// Time for the head of a request, and until the next one on a connection that is kept.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of a request in bytes; a longer one is answered with 431.
const MOST_HEAD: usize = 16 << 10;
/// Until the next try when the process has no file descriptor left.
const RETRY: Duration = Duration::from_secs(1);

/// Answers for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, router: Router) -> Infallible {
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connections.admit(answer(stream, router.clone())),
            Err(error) if of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot take a connection");
                sleep(RETRY).await;
            }
        }
    }
}

/// Whether a connection had ended before it was accepted (accept(2), "Error handling").
fn of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The requests of one connection.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_header_size(MOST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // What goes wrong here is the client's business.
    let _ = served.await;
}

/// The connections that are open, the oldest first; all are closed when it is dropped.
#[derive(Default)]
struct Connections(VecDeque<AbortOnDropHandle<()>>);

impl Connections {
    fn admit(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.0.retain(|connection| !connection.is_finished());
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(AbortOnDropHandle::new(tokio::spawn(connection)));
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    fn connection(connections: &mut Connections) -> DuplexStream {
        let (client, server) = duplex(64 << 10);
        connections.admit(answer(server, Router::new().route("/", get(async || "here"))));
        client
    }

    /// What comes until the connection is closed.
    async fn rest(client: &mut DuplexStream) -> String {
        let mut text = Vec::new();
        client.read_to_end(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_and_an_idle_connection_are_closed_in_time() {
        for (sent, answered) in
            [(&b"GET / HTTP/1.1\r\nhost: "[..], false), (WHOLE, true), (b"", false)]
        {
            let mut connections = Connections::default();
            let mut client = connection(&mut connections);
            let begun = Instant::now();
            client.write_all(sent).await.unwrap();
            let text = rest(&mut client).await;
            assert_eq!(text.ends_with("here"), answered, "{text}");
            assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs(), "{sent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_when_all_are_taken_is_served() {
        let mut connections = Connections::default();
        let begun = Instant::now();
        let mut idle: Vec<_> = (0..MOST).map(|_| connection(&mut connections)).collect();
        for client in &mut idle {
            client.write_all(b"GET / HT").await.unwrap();
        }
        let mut probe = connection(&mut connections);
        probe.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(rest(&mut probe).await.ends_with("here"));
        assert_eq!(rest(&mut idle[0]).await, "", "the oldest is closed for it");
        assert!(begun.elapsed() < PATIENCE, "at once");
        idle[1].write_all(b"TP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(rest(&mut idle[1]).await.ends_with("here"), "and the others are not");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_refused() {
        let mut connections = Connections::default();
        let mut client = connection(&mut connections);
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx: ").await.unwrap();
        // The server stops reading: the rest may find nobody.
        let _ = client.write_all(&vec![b'a'; 2 * MOST_HEAD]).await;
        let text = rest(&mut client).await;
        assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    }
}
