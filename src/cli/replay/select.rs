//! Which letters are replayed.

use std::time::Duration;

use clap::ValueEnum;

use crate::{
    etl::{DeadLetter, LetterError, Stage},
    model::EpochMillis,
    ports::{SystemClock, WallClock},
};

/// Conditions on letters: all of them must hold.
#[derive(Clone, clap::Args)]
pub(super) struct Selection {
    /// Only letters that failed at this stage; may be given several times
    #[arg(long = "stage", value_enum, value_name = "STAGE")]
    stages: Vec<StageName>,
    /// Only letters whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only letters of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only letters whose record Kinesis took then or later: 2026-01-31T08:00:00Z, or 6h (ago)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<EpochMillis>,
    /// Only letters whose record Kinesis took before
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<EpochMillis>,
    /// Take so many letters at most
    #[arg(long, value_name = "COUNT")]
    pub(super) limit: Option<u64>,
}

/// The stages as they are written on the command line: as in letters.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StageName {
    Decode,
    Validate,
    Transform,
    Window,
    Deliver,
}

impl StageName {
    fn of(stage: Stage) -> Self {
        match stage {
            Stage::Decode => Self::Decode,
            Stage::Validate => Self::Validate,
            Stage::Transform => Self::Transform,
            Stage::Window => Self::Window,
            Stage::Deliver => Self::Deliver,
        }
    }
}

fn time(text: &str) -> Result<EpochMillis, String> {
    if let Ok(ago) = text.parse::<humantime::Duration>() {
        return Ok(before(SystemClock.now(), *ago));
    }
    text.parse().map_err(|_| "expected a time as in 2026-01-31T08:00:00Z, or 6h".to_owned())
}

fn before(now: EpochMillis, ago: Duration) -> EpochMillis {
    EpochMillis(now.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
}

impl Selection {
    /// Whether a letter is to be replayed.
    ///
    /// # Errors
    /// When its time matters and cannot be read.
    pub(super) fn takes(&self, letter: &DeadLetter) -> Result<bool, LetterError> {
        let in_time = match (self.since, self.until) {
            (None, None) => true,
            (since, until) => {
                let arrival = letter.arrival()?;
                since.is_none_or(|since| since <= arrival)
                    && until.is_none_or(|until| arrival < until)
            }
        };
        Ok(in_time
            && (self.stages.is_empty() || self.stages.contains(&StageName::of(letter.stage)))
            && self.reason.as_ref().is_none_or(|part| letter.reason.contains(part.as_str()))
            && self.route.as_ref().is_none_or(|route| letter.route.as_ref() == Some(route)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        selection: Selection,
    }

    fn takes(args: &[&str]) -> bool {
        let letter = DeadLetter::parse(
            br#"{"version":1,"stream":"logs","shard":"s","sequence_number":"1",
                "sub_sequence_number":0,"event_index":0,"partition_key":"k",
                "arrival":"2026-01-31T08:00:00.000Z","stage":"validate","reason":"/a: too long",
                "route":"orders","configuration":"c","attempts":1,"event":{"message":"m"}}"#,
        );
        let line = Line::parse_from(["replay"].iter().chain(args));
        line.selection.takes(&letter.unwrap()).unwrap()
    }

    #[test]
    fn all_conditions_must_hold() {
        assert!(takes(&[]));
        assert!(takes(&["--stage", "decode", "--stage", "validate", "--route", "orders"]));
        assert!(!takes(&["--stage", "decode"]));
        assert!(takes(&["--reason", "too long"]));
        assert!(!takes(&["--reason", "too short"]));
        assert!(!takes(&["--stage", "validate", "--route", "rest"]));
        assert!(takes(&["--since", "2026-01-31T08:00:00Z", "--until", "2026-01-31T08:00:00.001Z"]));
        assert!(!takes(&["--until", "2026-01-31T08:00:00Z"]));
        assert!(!takes(&["--since", "2026-01-31T10:00:00+01:00"]));
        assert!(takes(&["--since", "9000d"]));
    }

    #[test]
    fn times_are_moments_or_how_long_ago() {
        assert_eq!(before(EpochMillis(10_000), Duration::from_secs(3)), EpochMillis(7_000));
        assert!(time("6h").is_ok() && time("soon").is_err());
    }
}
