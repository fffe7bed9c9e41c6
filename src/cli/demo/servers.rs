//! The two embedded servers and the stream.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use aws_sdk_kinesis::types::StreamStatus;

use crate::{
    aws::AwsConnection,
    cli::talk,
    embedded::{DynamoServer, KinesisServer, kinesis::Limits},
    shutdown::Signals,
};

/// The stream that the demo reads.
pub(super) const STREAM: &str = "demo-logs";
/// Its shards at the beginning.
const SHARDS: i32 = 4;
/// Seconds of quota that a shard may use at once: AWS, too, lets short bursts through.
const BURST_SECONDS: u32 = 3;

/// Kinesis and DynamoDB on loopback.
pub(super) struct Servers {
    pub(super) kinesis: KinesisServer,
    pub(super) dynamodb: DynamoServer,
}

impl Servers {
    /// Starts both; a port of 0 is a free one.
    pub(super) async fn start(kinesis: u16, dynamodb: u16) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, kinesis));
        let limits = Limits::enforced().with_burst(BURST_SECONDS);
        let kinesis = KinesisServer::builder().address(address).limits(limits).start().await;
        Ok(Self {
            kinesis: kinesis.context("cannot start the embedded Kinesis")?,
            dynamodb: DynamoServer::start_on(dynamodb)
                .await
                .context("cannot start the embedded DynamoDB")?,
        })
    }
}

/// `demo --serve`: both servers until interrupted.
pub(super) async fn serve(kinesis: u16, dynamodb: u16) -> anyhow::Result<bool> {
    let signals = Signals::catch()?;
    let servers = Servers::start(kinesis, dynamodb).await?;
    let (kinesis, dynamodb) = (servers.kinesis.endpoint(), servers.dynamodb.endpoint());
    talk::print(&format!("kinesis  {kinesis}\ndynamodb {dynamodb}\n"))?;
    talk::say("any credentials and region will do; everything is gone when this ends (Ctrl-C)");
    talk::say("the page of a worker that you `run` here: http://127.0.0.1:9464/");
    signals.first().await;
    Ok(true)
}

/// Creates the stream and waits until it takes records.
pub(super) async fn create_stream(aws: &AwsConnection) -> anyhow::Result<()> {
    let kinesis = aws.kinesis();
    kinesis.create_stream().stream_name(STREAM).shard_count(SHARDS).send().await?;
    loop {
        let summary = kinesis.describe_stream_summary().stream_name(STREAM).send().await?;
        let status = summary.stream_description_summary.map(|summary| summary.stream_status);
        if status == Some(StreamStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Splits the first open shard in the middle of its keys; its id.
pub(super) async fn split_a_shard(aws: &AwsConnection) -> anyhow::Result<String> {
    let kinesis = aws.kinesis();
    let shards = kinesis.list_shards().stream_name(STREAM).send().await?.shards.unwrap_or_default();
    let open = shards.into_iter().find(|shard| {
        shard
            .sequence_number_range
            .as_ref()
            .is_some_and(|range| range.ending_sequence_number.is_none())
    });
    let shard = open.context("no open shard")?;
    let range = shard.hash_key_range.context("a shard without keys")?;
    let start: u128 = range.starting_hash_key.parse()?;
    let end: u128 = range.ending_hash_key.parse()?;
    kinesis
        .split_shard()
        .stream_name(STREAM)
        .shard_to_split(&shard.shard_id)
        .new_starting_hash_key((start + (end - start) / 2).to_string())
        .send()
        .await?;
    Ok(shard.shard_id)
}
