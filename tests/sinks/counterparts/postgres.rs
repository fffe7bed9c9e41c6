//! PostgreSQL behind a proxy on its protocol, which can hold a COMMIT or lose its answer.

use std::sync::Arc;

use serde_json::{Value, json};
use shardwright::{
    aws::AwsSettings,
    ports::{Sink, SinkError},
    sinks::{PostgresSink, SinkConfig, SinkSite},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::UNWANTED;
use crate::{
    contract::{Again, Counterpart, Promise},
    faults::{Fault, Faults},
    postgres::Database,
};

/// Rows are only added, by COPY.
pub(crate) struct Copied(Behind);

/// Rows are upserted by a key that the events do not share.
pub(crate) struct Upserted(Behind);

struct Behind {
    database: Database,
    faults: Faults,
    /// The proxy's.
    port: u16,
}

impl Behind {
    async fn start() -> Option<Self> {
        let database = Database::start().await?;
        // `number` is given in the order of writing; `attempts` counts also what is rolled back.
        let sql = format!(
            "CREATE TABLE events (number bigserial, body jsonb CHECK (body->>'text' <> '{UNWANTED}'), \
               id text, UNIQUE (id, body));
             CREATE TABLE plain (number bigserial, body jsonb CHECK (body->>'text' <> '{UNWANTED}'));
             CREATE SEQUENCE attempts;
             CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF nextval('attempts') = 1 THEN \
                 RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; \
               END IF; RETURN NULL; END $$"
        );
        database.run(&sql).await;
        let faults = Faults::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(proxy(listener, database.port(), faults.clone()));
        Some(Self { database, faults, port })
    }

    fn config(&self, rest: &str) -> String {
        let url =
            self.database.url().replace(&self.database.port().to_string(), &self.port.to_string());
        format!("type = \"postgres\"\nurl = \"{url}\"\n{rest}")
    }

    async fn stored(&self, table: &str) -> Vec<Value> {
        let sql = format!("SELECT body FROM {table} ORDER BY number");
        let rows = self.database.rows(&sql).await;
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    async fn fail_next(&self, fault: Fault, table: &str) {
        if fault == Fault::Throttle {
            let sql = format!(
                "CREATE TRIGGER busy BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION busy()"
            );
            self.database.run(&sql).await;
        } else {
            self.faults.fail_next(fault);
        }
    }
}

async fn proxy(listener: TcpListener, upstream: u16, faults: Faults) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let faults = faults.clone();
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await {
                // Either end leaves as it likes.
                let _ = relay(client, server, faults).await;
            }
        });
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    faults: Faults,
) -> std::io::Result<()> {
    let (mut from_client, mut from_server) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                // A message of its own: `Query` with this text.
                let commits = bytes.ends_with(b"COMMIT\0");
                let fault = if commits { faults.meet().await } else { None };
                server.write_all(bytes).await?;
                if fault == Some(Fault::LoseAnswer) {
                    // The answer is there: it is done.
                    let _ = server.read(&mut from_server).await?;
                    return Ok(());
                }
                if bytes.is_empty() {
                    return Ok(());
                }
            }
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                client.write_all(bytes).await?;
                if bytes.is_empty() {
                    return Ok(());
                }
            }
        }
    }
}

macro_rules! counterpart {
    ($name:ident, $table:literal, $rest:literal) => {
        impl Counterpart for $name {
            const PROMISE: Promise = Promise { in_order: true, knows_again: Again::Event };

            async fn start() -> Option<Self> {
                Some(Self(Behind::start().await?))
            }

            fn config(&self) -> String {
                self.0.config(&format!("table = \"{}\"\n{}", $table, $rest))
            }

            async fn open(&self, config: &str) -> Result<Arc<dyn Sink>, SinkError> {
                let aws = AwsSettings::default();
                let site =
                    SinkSite { application: "orders", name: "delivered", aws: &aws, replay: false };
                let SinkConfig::Postgres(config) = toml::from_str(config).unwrap() else {
                    unreachable!("it says so");
                };
                Ok(Arc::new(PostgresSink::open(*config, &site)?))
            }

            async fn stored(&mut self) -> Vec<Value> {
                self.0.stored($table).await
            }

            async fn stop(&mut self) {
                self.0.database.stop();
            }

            async fn start_again(&mut self) {
                self.0.database.begin().await;
            }

            fn faults(&self) -> &Faults {
                &self.0.faults
            }

            async fn fail_next(&mut self, fault: Fault) {
                self.0.fail_next(fault, $table).await;
            }

            fn refused(&self) -> Vec<(Value, &'static str)> {
                let nul = json!({"text": "nul \u{0}"});
                vec![(json!({"text": UNWANTED}), "body_check"), (nul, "\\u0000 cannot be converted")]
            }

            fn misconfigured(&self) -> Vec<(String, &'static str)> {
                let with = |from: &str, to: &str| self.config().replace(from, to);
                vec![
                    (with(concat!("table = \"", $table), "table = \"nowhere"), "no table nowhere"),
                    (with("/postgres?", "/nowhere?"), "database \"nowhere\" does not exist"),
                    (with("me@", "nobody@"), "role \"nobody\" does not exist"),
                ]
            }
        }
    };
}

counterpart!(Copied, "plain", "columns = { body = \"$\" }");
counterpart!(
    Upserted,
    "events",
    "columns = { body = \"$\", id = \"%delivery_id\" }\nkey = [\"id\", \"body\"]"
);
