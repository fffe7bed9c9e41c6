//! Small units with a name.

use jiff::fmt::temporal::DateTimePrinter;
use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// A duration in whole milliseconds, for log lines.
pub fn rounded(duration: Duration) -> Duration {
    Duration::new(duration.as_secs(), duration.subsec_millis() * 1_000_000)
}

/// Milliseconds since 1970-01-01T00:00:00Z, the unit of CloudWatch Logs timestamps.
///
/// Only for stamps and lag figures: lease safety never depends on a wall clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EpochMillis(pub i64);

const RFC3339_MILLIS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

impl EpochMillis {
    /// Milliseconds from `earlier` to `self`; zero when `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// RFC 3339 in UTC with milliseconds; `None` outside the calendar's range (years -9999 to 9999).
    pub fn rfc3339(self) -> Option<String> {
        let timestamp = jiff::Timestamp::from_millisecond(self.0).ok()?;
        let mut text = String::with_capacity(24);
        RFC3339_MILLIS.print_timestamp(&timestamp, &mut text).ok()?;
        Some(text)
    }
}

impl fmt::Display for EpochMillis {
    /// RFC 3339 in UTC, or the bare number when it is outside the calendar's range.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rfc3339() {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Why a text is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a time as in 2026-01-31T08:00:00Z")]
pub struct EpochMillisError;

impl FromStr for EpochMillis {
    type Err = EpochMillisError;

    /// Reads what [`Display`](fmt::Display) writes: RFC 3339 with any offset, or the bare number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(millis) = text.parse() {
            return Ok(Self(millis));
        }
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| EpochMillisError)?;
        Ok(Self(timestamp.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_time_reads_as_itself() {
        for millis in [0, -1, 1_700_000_000_123, i64::MAX, i64::MIN] {
            let time = EpochMillis(millis);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!("2026-01-31T09:00:00+01:00".parse(), Ok(EpochMillis(1_769_846_400_000)));
        assert_eq!("yesterday".parse::<EpochMillis>(), Err(EpochMillisError));
    }
}
