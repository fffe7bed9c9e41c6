//! How far the checkpoints are behind, against how long the streams keep their records.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{finding::Finding, fleet, stream::SeenStream};
use crate::{
    aws::TableRow,
    cli::{
        check::counted,
        leases::{seek::Seeker, text::duration},
    },
    model::{Lease, ShardId},
    ports::{StreamError, SystemClock, WallClock},
};

/// Shards that are asked at a time, as `leases list --lag` does.
const AT_A_TIME: usize = 8;

/// How old the oldest unread record of a shard is; `None` when nothing is unread.
type Age = Result<Option<Duration>, StreamError>;

pub(super) async fn examine(streams: &[SeenStream], rows: &[TableRow]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in streams.iter().filter(|seen| seen.readable) {
        let single = streams.len() == 1;
        let leases: Vec<&Lease> =
            fleet::leases(rows).filter(|lease| belongs(lease, seen, single)).collect();
        let ages = leases.iter().map(async |lease| (&lease.shard, age(seen, lease).await));
        let ages: Vec<(&ShardId, Age)> = stream::iter(ages).buffered(AT_A_TIME).collect().await;
        findings.extend(judge(&format!("stream {}", seen.name), &ages, seen.retention));
    }
    findings
}

/// Keys of one stream do not name it; those of several say `account:name:epoch`.
fn belongs(lease: &Lease, seen: &SeenStream, single: bool) -> bool {
    let Some(identifier) = lease.stream.as_deref() else { return single };
    let mut parts = identifier.split(':');
    let account = parts.next();
    parts.next() == Some(seen.name.as_str())
        && seen.account.as_deref().is_none_or(|own| Some(own) == account)
}

async fn age(seen: &SeenStream, lease: &Lease) -> Age {
    let now = SystemClock.now();
    let mut seeker = Seeker::new(seen.reader.as_ref(), &lease.shard, seen.initial, now);
    let unread = seeker.lag(lease).await?.and_then(|lag| lag.oldest_unread);
    Ok(unread.map(|arrival| Duration::from_millis(now.millis_since(arrival))))
}

fn judge(about: &str, ages: &[(&ShardId, Age)], retention: Option<Duration>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if ages.is_empty() {
        return findings;
    }
    if let Some((shard, problem)) =
        ages.iter().find_map(|(shard, age)| Some((shard, age.as_ref().err()?)))
    {
        let failed = ages.iter().filter(|(_, age)| age.is_err()).count();
        let found = format!(
            "{} did not answer how far behind it is: {shard}: {problem}",
            counted(failed, "shard")
        );
        findings.push(Finding::warning(about, found));
    }
    let unread = ages.iter().filter_map(|(shard, age)| Some((*shard, (*age.as_ref().ok()?)?)));
    let Some((shard, age)) = unread.max_by_key(|(_, age)| *age) else {
        if findings.is_empty() {
            findings.push(Finding::ok(about, "every leased shard is read to its end"));
        }
        return findings;
    };
    findings.push(furthest(about, shard, age, retention));
    findings
}

/// What it means that a record has waited for so long.
fn furthest(about: &str, shard: &ShardId, age: Duration, retention: Option<Duration>) -> Finding {
    let found =
        format!("furthest behind is {shard}: its oldest unread record waits for {}", duration(age));
    let Some(retention) = retention else { return Finding::ok(about, found) };
    let found = format!("{found} of the {} h that records are kept", retention.as_secs() / 3600);
    let left = duration(retention.saturating_sub(age));
    match () {
        () if age * 5 >= retention * 4 => {
            Finding::problem(about, format!("{found}: they are lost unread from {left} on"))
                .advise(MORE_TIME)
        }
        () if age * 2 >= retention => Finding::warning(about, found).advise(MORE_TIME),
        () => Finding::ok(about, found),
    }
}

const MORE_TIME: &str = "raise the stream's retention first (aws kinesis increase-stream-retention-period, \
                         up to 8760 hours); then find out who should read it: docs/runbook.md, \
                         ShardwrightRetentionShort";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Level;

    fn levels(ages: &[Age]) -> Vec<Level> {
        let shards: Vec<ShardId> =
            (0..ages.len()).map(|number| ShardId::new(format!("shardId-{number}"))).collect();
        let ages: Vec<_> = shards.iter().zip(ages.iter().cloned()).collect();
        let findings = judge("stream s", &ages, Some(Duration::from_hours(24)));
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn the_oldest_unread_record_is_held_against_the_retention() {
        let hours = |hours| Ok(Some(Duration::from_hours(hours)));
        assert_eq!(levels(&[]), []);
        assert_eq!(levels(&[Ok(None), Ok(None)]), [Level::Ok]);
        assert_eq!(levels(&[hours(1), hours(11)]), [Level::Ok]);
        assert_eq!(levels(&[hours(1), hours(12)]), [Level::Warning]);
        assert_eq!(levels(&[hours(20), Ok(None)]), [Level::Problem]);
        let lost = Err(StreamError::Unavailable("gone".to_owned()));
        assert_eq!(levels(&[lost.clone(), Ok(None)]), [Level::Warning]);
        assert_eq!(levels(&[lost, hours(20)]), [Level::Warning, Level::Problem]);
    }
}
