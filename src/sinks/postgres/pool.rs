//! The connections to the database.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::{Client, Config, NoTls, config::SslMode};

use super::{
    PostgresConfig,
    fault::{Fault, flatten},
    tls::Tls,
};
use crate::{
    ports::SinkError,
    sinks::{secret::Secret, tls},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that has gone silently is noticed after a few of these.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Connections that are open, and leave to open more.
pub(super) struct Pool {
    config: Config,
    /// `None` with `sslmode=disable`.
    tls: Option<Tls>,
    idle: Mutex<Vec<Client>>,
    slots: Semaphore,
}

/// A connection, for one delivery. It is closed when dropped: the server takes back what was not
/// committed. [`Lent::give_back`] keeps it open.
pub(super) struct Lent<'p> {
    pub(super) client: Client,
    pool: &'p Pool,
    _slot: SemaphorePermit<'p>,
}

impl Pool {
    /// Reads the password and the certificates. Nothing is called.
    pub(super) fn new(sink: &PostgresConfig) -> Result<Self, SinkError> {
        let refuse = |why: String| SinkError::Misconfigured(format!("`url` {why}"));
        let mut config: Config = sink
            .client_url()
            .parse()
            .map_err(|error: tokio_postgres::Error| refuse(flatten(&error)))?;
        if let Some(variable) = &sink.password_env {
            config.password(Secret::from_environment("password_env", variable)?.expose());
        }
        config
            .application_name("shardwright")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(sink.timeout);
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(Tls(Arc::new(tls::client_config(sink.ca_file.as_deref())?))),
        };
        let slots = Semaphore::new(sink.connections.min(Semaphore::MAX_PERMITS));
        Ok(Self { config, tls, idle: Mutex::default(), slots })
    }

    /// An open connection; waits while all are lent.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, SinkError> {
        let slot = self.slots.acquire().await.expect("the slots are never closed");
        let client = match self.take_idle() {
            Some(client) => client,
            None => self.connect().await.map_err(|error| Fault::from(error).into_error())?,
        };
        Ok(Lent { client, pool: self, _slot: slot })
    }

    /// Closes what is open and not lent.
    pub(super) fn close(&self) {
        self.idle().clear();
    }

    fn take_idle(&self) -> Option<Client> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|client| !client.is_closed())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        // The connection ends when its client is dropped; what it dies of, the client says too.
        if let Some(tls) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await?;
            tokio::spawn(connection);
            return Ok(client);
        }
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Lent<'_> {
    /// Keeps the connection for the next one: nothing may be open on it.
    pub(super) fn give_back(self) {
        self.pool.idle().push(self.client);
    }
}
