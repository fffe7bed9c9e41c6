//! Times as events hold them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// A moment: milliseconds since 1970, what CloudWatch writes; or RFC 3339, in UTC where it names no zone.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(millis) = text.parse::<i64>() {
        return Timestamp::from_millisecond(millis).ok();
    }
    text.parse().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        civil.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_numbers_or_texts() {
        let shown = |text: &str| moment(text).map(|moment| moment.to_string());
        for (text, expect) in [
            ("1700000000123", Some("2023-11-14T22:13:20.123Z")),
            ("-1", Some("1969-12-31T23:59:59.999Z")),
            ("2026-01-31T23:59:59.999999Z", Some("2026-01-31T23:59:59.999999Z")),
            ("2026-01-31T23:59:59+02:00", Some("2026-01-31T21:59:59Z")),
            ("2026-01-31 23:59:59", Some("2026-01-31T23:59:59Z")),
            ("2026-01-31", Some("2026-01-31T00:00:00Z")),
            ("9223372036854775807", None),
            ("1.5", None),
            ("today", None),
            ("", None),
        ] {
            assert_eq!(shown(text).as_deref(), expect, "{text}");
        }
    }
}
