//! Positions as an operator writes them.

use crate::model::{Checkpoint, EpochMillis, SequenceNumber};

/// The forms of a position, for the command's help.
pub(super) const HELP: &str = "\
POSITION is one of
  2026-01-31T08:00:00Z  a time: the first record that arrived then or later is the first to be read
  \"2h ago\", now         a time before now; now is after the last record there is
  49…  or  49…:3        a checkpoint: this record (and its user records up to 3) counts as processed
  at:49…                this record is the first to be read, as to do a dead letter's shard again
  TRIM_HORIZON          the oldest record kept
  LATEST                what is put after a worker has taken the lease: what comes before is skipped
  SHARD_END             the rest of a closed shard is skipped, its children may begin
A time is turned into a sequence number once, now: the row then names the last record before it.";

/// Where a shard is to be read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Destination {
    /// `TRIM_HORIZON`, `LATEST`, `SHARD_END`, or a sequence number that counts as processed.
    Checkpoint(Checkpoint),
    /// The first record that arrived at this time or later.
    Time(EpochMillis),
    /// After the last record there is.
    Now,
    /// This record.
    At(SequenceNumber),
}

impl Destination {
    /// Reads a position; `now` is what durations count from.
    ///
    /// # Errors
    /// What forms there are.
    pub(in crate::cli) fn parse(text: &str, now: EpochMillis) -> Result<Self, String> {
        let text = text.trim();
        match text.to_ascii_uppercase().as_str() {
            "TRIM_HORIZON" => return Ok(Self::Checkpoint(Checkpoint::TrimHorizon)),
            "LATEST" => return Ok(Self::Checkpoint(Checkpoint::Latest)),
            "SHARD_END" => return Ok(Self::Checkpoint(Checkpoint::ShardEnd)),
            "AT_TIMESTAMP" => {
                return Err("AT_TIMESTAMP stands for the time in each worker's configuration: \
                            write the time itself"
                    .to_owned());
            }
            "NOW" => return Ok(Self::Now),
            _ => {}
        }
        if let Some(record) = text.strip_prefix("at:") {
            return record.parse().map(Self::At).map_err(|problem| format!("at: {problem}"));
        }
        if let Some(duration) = text.strip_suffix(" ago") {
            let ago = humantime::parse_duration(duration.trim()).map_err(|problem| {
                format!("{duration:?} is not a duration such as 2h: {problem}")
            })?;
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            return Ok(Self::Time(EpochMillis(now.0.saturating_sub(ago))));
        }
        let (sequence, sub_sequence) = text.split_once(':').unwrap_or((text, "0"));
        if sequence.parse::<SequenceNumber>().is_ok() {
            let sub_sequence = sub_sequence.parse().map_err(|_| {
                format!(
                    "{sub_sequence:?} is not a sub-sequence number: expected a number from 0 on"
                )
            })?;
            return Checkpoint::parse(sequence, sub_sequence)
                .map(Self::Checkpoint)
                .map_err(|problem| problem.to_string());
        }
        let Ok(time) = text.parse::<jiff::Timestamp>() else {
            return Err(
                "expected a time (2026-01-31T08:00:00Z, \"2h ago\", now), a sequence number \
                        (49… or 49…:3, at:49…), TRIM_HORIZON, LATEST or SHARD_END"
                    .to_owned(),
            );
        };
        let time = EpochMillis(time.as_millisecond());
        if time > now {
            return Err(format!("{time} is in the future"));
        }
        Ok(Self::Time(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EpochMillis = EpochMillis(1_767_225_600_000);

    #[track_caller]
    fn check(text: &str, expect: Destination) {
        assert_eq!(Destination::parse(text, NOW), Ok(expect), "{text:?}");
    }

    #[test]
    fn every_form_is_read() {
        let checkpoint =
            |text: &str, sub| Destination::Checkpoint(Checkpoint::parse(text, sub).unwrap());
        check("TRIM_HORIZON", checkpoint("TRIM_HORIZON", 0));
        check("latest", checkpoint("LATEST", 0));
        check("SHARD_END", checkpoint("SHARD_END", 0));
        check("4967", checkpoint("4967", 0));
        check("4967:3", checkpoint("4967", 3));
        check("at:4967", Destination::At("4967".parse().unwrap()));
        check("now", Destination::Now);
        check("2h ago", Destination::Time(EpochMillis(NOW.0 - 7_200_000)));
        check("1d 30m ago", Destination::Time(EpochMillis(NOW.0 - 88_200_000)));
        check("2026-01-01T00:00:00Z", Destination::Time(NOW));
        check("2026-01-01T00:30:00+01:00", Destination::Time(EpochMillis(NOW.0 - 1_800_000)));
    }

    #[test]
    fn what_is_no_position_says_what_is() {
        for (bad, says) in [
            ("", "TRIM_HORIZON"),
            ("yesterday", "2h ago"),
            ("2026-01-31", "2026-01-31T08:00:00Z"),
            ("2026-01-31T08:00:00Z", "in the future"),
            ("AT_TIMESTAMP", "write the time itself"),
            ("two hours ago", "not a duration"),
            ("at:", "not a sequence number"),
            ("at:4967:3", "not a sequence number"),
            ("4967:x", "not a sub-sequence number"),
            ("-5", "TRIM_HORIZON"),
        ] {
            let problem = Destination::parse(bad, NOW).unwrap_err();
            assert!(problem.contains(says), "{bad:?}: {problem}");
        }
    }
}
