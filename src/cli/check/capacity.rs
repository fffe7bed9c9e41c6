//! Whether a provisioned lease table bears its fleet.

use super::finding::Finding;
use crate::{aws::TableFacts, config::LeaseSettings};

/// Bytes of a row, about: 32 leases are 10 KB.
const ROW: f64 = 320.0;
/// A read unit is 4 KiB a second, or twice as much when it may be stale.
const READ_UNIT: f64 = 8192.0;
/// Renewals in `lease.failover_time`.
const RENEWALS: f64 = 3.0;

/// Compares the units with what renewals, and the scans of one worker, take. Autoscaling is not
/// looked at: a lease that is not renewed for some seconds is lost before it has scaled.
pub(super) fn judge(
    about: &str,
    facts: &TableFacts,
    leases: usize,
    settings: &LeaseSettings,
) -> Option<Finding> {
    let (read, write) = facts.provisioned?;
    #[expect(clippy::cast_precision_loss, reason = "a comparison of small numbers")]
    let (read, write, leases) = (read as f64, write as f64, leases as f64);
    // Only an index whose attributes change costs, and that of a KCL is on the owner.
    let renewals = leases * RENEWALS / settings.failover_time.as_secs_f64().max(0.001);
    let scans =
        (leases * ROW / READ_UNIT).max(0.5) / settings.scan_interval.as_secs_f64().max(0.001);
    let found = format!(
        "{leases} leases take {renewals:.1} write units a second, and the scans of each worker \
         {scans:.1} read units; {write} and {read} are provisioned"
    );
    let finding = match () {
        () if renewals > write || scans > read => Finding::problem(
            about,
            format!(
                "{found}: renewals are throttled, and workers lose leases that they could keep"
            ),
        ),
        () if renewals * 2.0 > write || scans * 2.0 > read => {
            Finding::warning(about, format!("{found}: a burst, or a second worker, is throttled"))
        }
        () => return None,
    };
    Some(finding.advise("aws dynamodb update-table --billing-mode PAY_PER_REQUEST, or more units"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::check::finding::Level;

    #[test]
    fn too_few_units_are_found_by_the_leases() {
        let settings = LeaseSettings {
            failover_time: Duration::from_secs(10),
            scan_interval: Duration::from_secs(1),
            ..LeaseSettings::default()
        };
        let level = |provisioned, leases| {
            let facts = TableFacts {
                status: None,
                schema: Ok(()),
                provisioned,
                indexes: Vec::new(),
                deletion_protection: true,
            };
            judge("t", &facts, leases, &settings).map(|finding| finding.level)
        };
        assert_eq!(level(None, 1000), None, "billed per request");
        assert_eq!(level(Some((10, 20)), 32), None);
        assert_eq!(level(Some((10, 10)), 32), Some(Level::Warning), "9.6 of 10");
        assert_eq!(level(Some((10, 9)), 32), Some(Level::Problem));
        assert_eq!(level(Some((1, 20)), 32), Some(Level::Problem), "1.25 read units");
    }
}
