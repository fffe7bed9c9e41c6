//! The workers of the table: who renews, who does not.

use std::{collections::BTreeMap, time::Duration};

use super::finding::Finding;
use crate::{
    aws::{DynamoLeases, RowContent, TableRow},
    cli::{
        check::counted,
        leases::{pulse::Pulse, text::duration},
        talk::say,
    },
    model::{Lease, WorkerId},
    ports::LeaseStore,
};

/// Watches the owners of leases for as long as a lease may go without renewal, or until all have renewed.
pub(super) async fn examine(
    table: &DynamoLeases,
    rows: &[TableRow],
    period: Duration,
) -> Vec<Finding> {
    let about = format!("lease table {}", table.table());
    let leases: Vec<Lease> = leases(rows).cloned().collect();
    if leases.iter().any(|lease| lease.holder().is_some() && !lease.ended()) {
        say(format_args!("watching for up to {} who renews", duration(period)));
    }
    let watched = Pulse::watch(table as &dyn LeaseStore, &leases, period, Pulse::complete).await;
    match watched {
        Ok(pulse) => judge(&about, &leases, &pulse, period),
        Err(problem) => vec![Finding::table_problem(&about, &problem)],
    }
}

/// The leases among the rows.
pub(super) fn leases(rows: &[TableRow]) -> impl Iterator<Item = &Lease> {
    rows.iter().filter_map(|row| match &row.content {
        RowContent::Lease(lease) => Some(lease.as_ref()),
        RowContent::Foreign | RowContent::Malformed(_) => None,
    })
}

fn judge(about: &str, leases: &[Lease], pulse: &Pulse, period: Duration) -> Vec<Finding> {
    if leases.is_empty() {
        let found = "holds no leases yet: the first worker begins at the initial position";
        return vec![Finding::ok(about, found)];
    }
    let mut owners: BTreeMap<&WorkerId, usize> = BTreeMap::new();
    for holder in leases.iter().filter(|lease| !lease.ended()).filter_map(Lease::holder) {
        *owners.entry(holder).or_default() += 1;
    }
    let (living, dead): (Vec<_>, Vec<_>) = owners.iter().partition(|(owner, _)| pulse.lives(owner));
    let names = |workers: &[(&&WorkerId, &usize)]| {
        let each = workers.iter().map(|(owner, count)| format!("{owner} ({count})"));
        each.collect::<Vec<_>>().join(", ")
    };
    let total = counted(leases.len(), "lease");
    let mut findings = Vec::new();
    if living.is_empty() {
        let found = format!("{total}, and no worker renews any: nobody reads the stream now");
        findings.push(Finding::note(about, found));
    } else {
        let workers = counted(living.len(), "worker");
        findings.push(Finding::ok(about, format!("{total}; {workers} alive: {}", names(&living))));
    }
    if !dead.is_empty() {
        let found = format!("no renewal within {} by {}", duration(period), names(&dead));
        let finding = match living.is_empty() {
            // As after the last one was killed: the next one takes them over.
            true => Finding::note(about, format!("{found}: dead; the next worker takes over")),
            false => Finding::warning(about, format!("{found}: dead, or cannot reach the table")),
        };
        findings.push(finding.advise("`shardwright leases list --live --lag` shows each lease"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::check::finding::Level, leasing::fixtures::lease};

    fn owned(shard: &str, owner: &str, counter: u64) -> Lease {
        Lease { counter, ..lease(shard).owner(owner).build() }
    }

    fn levels(before: &[Lease], after: &[Lease]) -> Vec<Level> {
        let mut pulse = Pulse::new(before);
        pulse.see(after);
        let findings = judge("t", after, &pulse, Duration::from_secs(10));
        findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn the_dead_are_told_from_the_living() {
        assert_eq!(levels(&[], &[]), [Level::Ok]);
        let before = [owned("0", "a", 1), owned("1", "b", 1)];
        let both = [owned("0", "a", 2), owned("1", "b", 2)];
        let one = [owned("0", "a", 2), owned("1", "b", 1)];
        assert_eq!(levels(&before, &both), [Level::Ok]);
        assert_eq!(levels(&before, &one), [Level::Ok, Level::Warning]);
        assert_eq!(levels(&before, &before), [Level::Note, Level::Note], "nobody runs");
        let free = [lease("0").build()];
        assert_eq!(levels(&free, &free), [Level::Note]);
    }
}
