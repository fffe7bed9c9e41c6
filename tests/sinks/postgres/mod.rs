//! The `postgres` sink.

mod check;
mod contract;
mod once;
mod server;
mod tls;

use shardwright::{
    aws::AwsSettings,
    sinks::{PostgresSink, SinkSite},
};

pub(crate) use server::Database;

/// A sink on a database, as a process of its own would have one.
pub(crate) fn sink(database: &Database, config: &str) -> PostgresSink {
    open(database, config, false)
}

/// The sink as `replay` has it.
pub(crate) fn replaying_sink(database: &Database, config: &str) -> PostgresSink {
    open(database, config, true)
}

fn open(database: &Database, config: &str, replay: bool) -> PostgresSink {
    let text = format!("url = '{}'\n{config}", database.url());
    let aws = AwsSettings::default();
    let site = SinkSite { application: "orders", name: "rows", aws: &aws, replay };
    PostgresSink::open(toml::from_str(&text).unwrap(), &site).unwrap()
}
