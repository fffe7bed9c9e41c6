//! Who is asked, and in which order things are said.

use futures_util::future::join_all;

use super::{
    account,
    finding::Finding,
    fleet, lag, sinks,
    stream::{self, SeenStream},
    table,
};
use crate::{
    aws::{AnswerClock, AwsConnection, DynamoLeases},
    config::Settings,
};

/// Everything that is found; independent matters are looked into at the same time.
pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let (mut findings, at_sinks) = tokio::join!(Box::pin(aws(settings)), sinks::examine(settings));
    findings.extend(at_sinks);
    findings
}

async fn aws(settings: &Settings) -> Vec<Finding> {
    let clock = AnswerClock::default();
    let aws = match AwsConnection::open(&settings.aws).await {
        Ok(aws) => aws.with_answer_clock(&clock),
        Err(problem) => return vec![Finding::problem("aws", problem.to_string())],
    };
    if let Err(problem) = aws.find_credentials().await {
        // Everything else would say the same.
        return vec![Finding::problem("identity", problem.message)];
    }
    let table = settings.lease.table.as_ref().unwrap_or(&settings.application);
    let leases = DynamoLeases::new(&aws, table);
    let streams =
        join_all(settings.streams.iter().map(|stream| stream::examine(&aws, settings, stream)));
    let (identity, streams, (at_table, rows)) =
        tokio::join!(account::identity(&aws), streams, table::examine(&leases, &settings.lease));
    let mut findings = vec![identity];
    findings.extend(account::clock(clock.ahead()));
    let (seen, at_streams): (Vec<SeenStream>, Vec<Vec<Finding>>) = streams.into_iter().unzip();
    findings.extend(at_streams.into_iter().flatten());
    findings.extend(at_table);
    if let Some(rows) = rows {
        let period = settings.lease.failover_time;
        let (at_workers, at_shards) =
            tokio::join!(fleet::examine(&leases, &rows, period), lag::examine(&seen, &rows));
        findings.extend(at_workers);
        findings.extend(at_shards);
    }
    findings
}
