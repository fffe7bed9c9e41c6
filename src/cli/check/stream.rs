//! A stream, and whether it may be read.

use std::{sync::Arc, time::Duration};

use super::{consumers, finding::Finding};
use crate::{
    app,
    aws::{AwsConnection, KinesisStream, StreamSummary},
    cli::check::counted,
    config::{Settings, StreamSettings},
    model::{InitialPosition, ShardId, StreamName},
    ports::{StartAt, StreamError, StreamReader},
};

/// What later questions need to know of a stream.
pub(super) struct SeenStream {
    pub(super) name: StreamName,
    /// The account that owns it, when it has said so.
    pub(super) account: Option<String>,
    pub(super) retention: Option<Duration>,
    /// Whether its shards can be read.
    pub(super) readable: bool,
    pub(super) initial: InitialPosition,
    pub(super) reader: Arc<dyn StreamReader>,
}

/// Kinesis keeps records for a day unless it is told otherwise.
const LEAST_RETENTION: Duration = Duration::from_hours(24);

pub(super) async fn examine(
    aws: &AwsConnection,
    settings: &Settings,
    stream: &StreamSettings,
) -> (SeenStream, Vec<Finding>) {
    // Reading the configuration has refused what names no stream.
    let target = app::target(stream).expect("a stream of a compiled configuration has a name");
    let name = target.stream_name().clone();
    let about = format!("stream {name}");
    let reader = Arc::new(KinesisStream::new(aws, target.clone()));
    let (summary, right) = tokio::join!(reader.describe(), try_reading(reader.as_ref()));
    let mut seen = SeenStream {
        name,
        account: None,
        retention: None,
        readable: right.is_ok(),
        initial: stream.initial_position,
        reader: Arc::clone(&reader) as Arc<dyn StreamReader>,
    };
    let mut findings = Vec::new();
    match &summary {
        Ok(summary) => {
            seen.account = summary.arn.split(':').nth(4).map(str::to_owned);
            seen.retention = Some(summary.retention).filter(|retention| !retention.is_zero());
            findings.extend(judge(&about, summary, settings.lease.max_leases_per_worker));
        }
        Err(problem) => findings.push(Finding::stream_problem(&about, problem)),
    }
    let key = summary.as_ref().ok().and_then(|summary| summary.encryption_key.as_deref());
    // One that is not there is said once.
    if !matches!(summary, Err(StreamError::NotFound(_))) {
        findings.push(reading(&about, right, key));
    }
    if let Ok(summary) = &summary {
        let site = consumers::Site { aws, stream, application: &settings.application };
        findings.extend(consumers::examine(&about, &site, target, &reader, summary).await);
    }
    (seen, findings)
}

/// What a description says.
fn judge(about: &str, summary: &StreamSummary, most_leases: usize) -> Vec<Finding> {
    let StreamSummary { status, mode, retention, open_shards, encryption_key, .. } = summary;
    let mode = mode.as_deref().map(|mode| format!("{mode}, ")).unwrap_or_default();
    let encrypted = encryption_key
        .as_deref()
        .map_or("not encrypted".to_owned(), |key| format!("encrypted by {key}"));
    let shards = usize::try_from(*open_shards).unwrap_or(usize::MAX);
    let found = format!(
        "{status}, {mode}{}, keeps records for {} h, {encrypted}",
        counted(shards, "open shard"),
        retention.as_secs() / 3600
    );
    let mut findings = vec![match status.as_str() {
        "ACTIVE" | "UPDATING" => Finding::ok(about, found),
        "CREATING" => Finding::warning(about, found).advise("wait until it is ACTIVE"),
        _ => Finding::problem(about, found)
            .advise("a stream that is deleted takes its records along"),
    }];
    if *retention <= LEAST_RETENTION && !retention.is_zero() {
        let name = &summary.name;
        findings.push(
            Finding::note(about, "24h is the shortest retention: a longer outage loses records")
                .advise(format!(
                    "aws kinesis increase-stream-retention-period --stream-name {name} \
                     --retention-period-hours 72"
                )),
        );
    }
    if shards > most_leases {
        let workers = shards.div_ceil(most_leases.max(1));
        let found = format!(
            "a worker holds {most_leases} leases at most (lease.max_leases_per_worker): with fewer than \
             {} some of the {shards} open shards are read by nobody",
            counted(workers, "worker")
        );
        findings.push(Finding::warning(about, found));
    }
    findings
}

/// Whether a first read has brought a record.
type Right = Result<bool, StreamError>;

/// Makes the calls of a reader once each, on the first shard: for its oldest record, so that the key
/// which encrypts it is needed.
async fn try_reading(reader: &dyn StreamReader) -> Right {
    let shards = reader.shards().await?;
    let open = shards.iter().find(|shard| shard.open).or(shards.first());
    let shard: &ShardId = match open {
        Some(shard) => &shard.id,
        None => return Ok(false),
    };
    let iterator = reader.iterator(shard, &StartAt::TrimHorizon).await?;
    match reader.records(&iterator, 1).await {
        Ok(page) => Ok(!page.records.is_empty()),
        Err(problem) => Err(problem),
    }
}

fn reading(about: &str, right: Right, key: Option<&str>) -> Finding {
    const CALLS: &str = "may be read: ListShards, GetShardIterator, GetRecords";
    match (right, key) {
        (Ok(true), Some(_)) => Finding::ok(about, format!("{CALLS}, and kms:Decrypt on its key")),
        (Ok(false), Some(key)) => Finding::note(
            about,
            format!("{CALLS}; kms:Decrypt on {key} could not be tried, for want of a record"),
        ),
        (Ok(_), None) => Finding::ok(about, CALLS),
        (Err(StreamError::Throttled), _) => Finding::warning(
            about,
            "a single GetRecords was throttled: others use up the five reads a second or the 2 MB a \
             second of the shard",
        )
        .advise("find the other readers (CloudWatch: ReadProvisionedThroughputExceeded), or set \
                 streams.retrieval = \"fan-out\""),
        (Err(problem), _) => Finding::stream_problem(about, &problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::check::finding::Level, model::EpochMillis};

    fn summary(status: &str, hours: u64, open_shards: u32) -> StreamSummary {
        StreamSummary {
            name: StreamName::new("app-logs"),
            arn: "arn:aws:kinesis:eu-central-1:111122223333:stream/app-logs".to_owned(),
            status: status.to_owned(),
            mode: Some("ON_DEMAND".to_owned()),
            retention: Duration::from_hours(hours),
            open_shards,
            encryption_key: None,
            consumers: None,
            created: EpochMillis(0),
        }
    }

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_stream_is_judged_by_its_status_and_retention() {
        let judged = |status, hours| judge("stream s", &summary(status, hours, 4), 100);
        let fine = judged("ACTIVE", 72);
        assert_eq!(levels(&fine), [Level::Ok]);
        let found = "ACTIVE, ON_DEMAND, 4 open shards, keeps records for 72 h, not encrypted";
        assert_eq!(fine[0].found, found);
        assert_eq!(levels(&judged("ACTIVE", 24)), [Level::Ok, Level::Note]);
        assert_eq!(levels(&judged("DELETING", 72)), [Level::Problem]);
        assert_eq!(levels(&judged("CREATING", 72)), [Level::Warning]);
    }

    #[test]
    fn too_few_leases_for_the_shards_are_a_warning() {
        let findings = judge("stream s", &summary("ACTIVE", 72, 9), 4);
        assert_eq!(levels(&findings), [Level::Ok, Level::Warning]);
        assert!(findings[1].found.contains("fewer than 3 workers"), "{}", findings[1].found);
    }

    #[test]
    fn the_key_of_a_stream_is_tried_only_by_a_record() {
        let level = |right: Right, key| reading("stream s", right, key).level;
        assert_eq!(level(Ok(true), Some("alias/k")), Level::Ok);
        assert_eq!(level(Ok(false), Some("alias/k")), Level::Note);
        assert_eq!(level(Ok(false), None), Level::Ok);
        assert_eq!(level(Err(StreamError::Throttled), None), Level::Warning);
        assert_eq!(level(Err(StreamError::Denied("no".to_owned())), None), Level::Problem);
    }
}
