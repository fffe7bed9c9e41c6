//! Who we are to AWS, and whether we agree on the time.

use std::time::Duration;

use super::finding::Finding;
use crate::{
    aws::{AwsConnection, Identity},
    cli::leases::text::duration,
};

pub(super) async fn identity(aws: &AwsConnection) -> Finding {
    const ABOUT: &str = "identity";
    let region = aws.region();
    match aws.identity().await {
        Ok(Some(Identity { account, arn })) => {
            Finding::ok(ABOUT, format!("{arn} in account {account}, region {region}"))
        }
        Ok(None) => {
            let found = format!(
                "credentials are there; not asked whose, beside an emulator; region {region}"
            );
            Finding::note(ABOUT, found)
        }
        // The calls below say whether the credentials serve: STS may be out of reach in a VPC.
        Err(problem) => Finding::warning(ABOUT, format!("{}; region {region}", problem.message))
            .advise(
                "if the calls below fail too, renew the credentials or look at aws.region; if they \
                     do not, only STS is out of reach from here, which `run` does not need",
            ),
    }
}

/// Differences below are nobody's business: lag is shown in seconds.
const NOTICEABLE: Duration = Duration::from_secs(2);
/// AWS refuses signatures of five minutes ago (IAM user guide, "Troubleshoot request signing").
const NEARLY_REFUSED: Duration = Duration::from_mins(4);

/// What a difference between the clocks means: how many milliseconds ours is ahead.
pub(super) fn clock(ahead: Option<i64>) -> Option<Finding> {
    const ABOUT: &str = "clock";
    let ahead = ahead?;
    let apart = Duration::from_millis(ahead.unsigned_abs());
    if apart < NOTICEABLE {
        return Some(Finding::ok(ABOUT, "agrees with the one of AWS"));
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let found = format!(
        "this machine's clock is {} {side} the one of AWS: lag, ages of records and start times are \
         wrong by as much, and from 5m on AWS refuses calls",
        duration(apart)
    );
    let finding = match apart < NEARLY_REFUSED {
        true => Finding::warning(ABOUT, found),
        false => Finding::problem(ABOUT, found),
    };
    Some(finding.advise("let the clock be set by NTP (chrony, systemd-timesyncd)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Level;

    #[test]
    fn a_clock_that_is_off_is_said_with_its_side() {
        let level = |ahead| clock(Some(ahead)).unwrap().level;
        assert_eq!(clock(None), None);
        assert_eq!((level(0), level(1999), level(-1999)), (Level::Ok, Level::Ok, Level::Ok));
        assert_eq!((level(2000), level(-120_000)), (Level::Warning, Level::Warning));
        assert_eq!((level(240_000), level(-3_600_000)), (Level::Problem, Level::Problem));
        let found = clock(Some(-92_000)).unwrap().found;
        assert!(found.contains("is 1m 32s behind the one of AWS"), "{found}");
    }
}
