//! Adapters to AWS: the stream reader over Kinesis, the lease store over DynamoDB.
//!
//! [`AwsConnection`] holds what all clients share: region, credentials, endpoints, time-outs.
//! [`KinesisStream`] and [`DynamoLeases`] implement the ports on top of it. The SDK's types stay
//! inside this folder and the AWS sinks; `fault` turns its errors into the ports' own, with messages
//! for people.
//!
//! A lease write is built in three steps: `lease_expressions` says a [`crate::model::LeaseWrite`] as
//! condition and update expressions, `dynamodb` sends it once, `lease_item` reads the row that comes
//! back. `lease_table` is about the table as a whole, `lease_rows` shows its rows to people. `table_facts`,
//! `identity` and `answer_clock` are there for `check --online`.

mod answer_clock;
mod client;
mod dynamodb;
mod fan_out;
mod fault;
mod http1;
mod identity;
mod kinesis;
mod lease_expressions;
mod lease_item;
mod lease_rows;
mod lease_table;
mod table_facts;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use answer_clock::AnswerClock;
pub use client::{AwsConnection, AwsError, AwsSettings, check_endpoint};
pub use dynamodb::DynamoLeases;
pub use fan_out::{ConsumerName, FanOutConsumer};
pub(crate) use fault::{Fault, FaultKind};
pub use identity::Identity;
pub use kinesis::{
    KinesisStream, RegisteredConsumer, StreamSummary, StreamTarget, StreamTargetError,
};
pub use lease_rows::{RowContent, TableRow};
pub use lease_table::{FleetMode, TableReady};
pub use table_facts::TableFacts;
