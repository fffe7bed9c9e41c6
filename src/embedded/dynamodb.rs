//! DynamoDB on loopback: the `dynoxide` crate behind its own HTTP server, in memory.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// A DynamoDB that lives as long as this value.
pub struct DynamoServer {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinSet<Result<(), String>>,
}

impl DynamoServer {
    /// Starts a server with an empty database on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::start_on(0).await
    }

    /// Starts a server with an empty database on this port of loopback; 0 for a free one.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let database = dynoxide::Database::memory().map_err(io::Error::other)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let mut server = JoinSet::new();
        server.spawn(dynoxide::server::serve_with_shutdown(listener, database, stopped));
        Ok(Self { address, stop, server })
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it. Open connections are cut.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.server.shutdown().await;
    }
}
