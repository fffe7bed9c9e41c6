//! What another position does to the records of a shard.

use std::fmt;

use crate::model::{Checkpoint, EpochMillis, Position};

/// A user record that is not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) position: Position,
    pub(super) arrival: EpochMillis,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, arrived {}", self.position, self.arrival)
    }
}

/// A checkpoint, and the first record that a worker would read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) checkpoint: Checkpoint,
    /// `None` when there is none now, and where there can be none.
    pub(super) unread: Option<Unread>,
    /// Whether it is a `LATEST` that no worker has begun with yet: then it means what is put after
    /// one does.
    pub(super) open: bool,
}

/// What going from one position to another means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The same record is the next.
    SameRecords,
    /// Records that were read are read again.
    Replays {
        /// The first of them; `None` when there is none now.
        from: Option<Unread>,
        /// How far the shard was read.
        to: Checkpoint,
    },
    /// Records are never read.
    Skips {
        /// The first of them; `None` when there is none now.
        from: Option<Unread>,
        /// What is read instead.
        to: Resumption,
    },
}

/// Where reading goes on after records that are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resumption {
    /// At this record.
    Record(Unread),
    /// After the last record there is.
    Tip,
    /// With what is put after a worker has begun, whenever that is.
    Latest,
    /// Nowhere.
    Never,
}

impl Effect {
    /// What going from `now` to `then` means.
    pub(super) fn of(now: &Reading, then: &Reading) -> Self {
        let replays = || Self::Replays { from: then.unread.clone(), to: now.checkpoint.clone() };
        let skips = |to| Self::Skips { from: now.unread.clone(), to };
        match (&now.checkpoint, &then.checkpoint) {
            (from, to) if from == to && now.open == then.open => Self::SameRecords,
            (_, Checkpoint::ShardEnd) => skips(Resumption::Never),
            (Checkpoint::ShardEnd, _) => replays(),
            _ if then.open => skips(Resumption::Latest),
            _ if now.open => replays(),
            _ => match (&now.unread, &then.unread) {
                (None, Some(_)) => replays(),
                (Some(_), None) => skips(Resumption::Tip),
                (Some(next), Some(first)) if first.position > next.position => {
                    skips(Resumption::Record(first.clone()))
                }
                (Some(next), Some(first)) if first.position < next.position => replays(),
                _ => Self::SameRecords,
            },
        }
    }

    /// Whether records are never read.
    pub(super) fn loses(&self) -> bool {
        matches!(self, Self::Skips { .. })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameRecords => f.write_str("no record lies between the two positions"),
            Self::Replays { from: Some(from), to } => {
                write!(f, "delivers records again: from {from}, to what was read last, {to}")
            }
            Self::Replays { from: None, to } => {
                write!(
                    f,
                    "would deliver again what was read up to {to}; there is no such record now"
                )
            }
            Self::Skips { from: Some(from), to } => {
                write!(f, "loses records, which nobody will read: from {from}, {to}")
            }
            Self::Skips { from: None, to } => {
                write!(f, "may lose records: there is none unread now, but those {to}")
            }
        }
    }
}

impl fmt::Display for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(first) => write!(f, "up to {first}, which is read"),
            Self::Tip => f.write_str("up to the last one there is"),
            Self::Latest => f.write_str("up to when a worker takes the lease"),
            Self::Never => f.write_str("up to the end of the shard"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::leases::testing::reading;

    fn effect(now: &str, then: &str) -> &'static str {
        match Effect::of(&reading(now), &reading(then)) {
            Effect::SameRecords => "same",
            Effect::Replays { .. } => "replays",
            Effect::Skips { .. } => "skips",
        }
    }

    #[test]
    fn forward_skips_and_back_replays() {
        assert_eq!(effect("20@21", "40@41"), "skips");
        assert_eq!(effect("20@21", "40@"), "skips");
        assert_eq!(effect("TRIM_HORIZON@5", "20@21"), "skips");
        assert_eq!(effect("40@41", "20@21"), "replays");
        assert_eq!(effect("40@", "20@21"), "replays");
        assert_eq!(effect("20@21", "TRIM_HORIZON@5"), "replays");
        assert_eq!(effect("AT_TIMESTAMP@30", "20@21"), "replays");
        assert_eq!(effect("AT_TIMESTAMP@30", "40@41"), "skips");
    }

    #[test]
    fn within_an_aggregate_the_user_records_count() {
        assert_eq!(effect("20:1@20:2", "20:4@20:5"), "skips");
        assert_eq!(effect("20:1@20:2", "20:0@20:1"), "replays");
        assert_eq!(effect("20:1@20:2", "25:0@26"), "skips");
    }

    #[test]
    fn what_lies_between_decides_not_the_numbers() {
        assert_eq!(effect("20@41", "40@41"), "same");
        assert_eq!(effect("20@", "40@"), "same");
        assert_eq!(effect("TRIM_HORIZON@21", "20@21"), "same");
        assert_eq!(effect("20@21", "20@21"), "same");
    }

    #[test]
    fn latest_and_the_end_of_a_shard_are_losses_even_when_nothing_is_there_now() {
        for now in ["20@21", "20@", "TRIM_HORIZON@", "LATEST@"] {
            assert_eq!(effect(now, "SHARD_END@"), "skips", "{now}");
        }
        assert_eq!(effect("20@", "LATEST@"), "skips");
        assert_eq!(effect("LATEST@", "20@21"), "replays");
        assert_eq!(effect("LATEST@", "TRIM_HORIZON@"), "replays");
        assert_eq!(effect("SHARD_END@", "20@21"), "replays");
        assert_eq!(effect("SHARD_END@", "LATEST@"), "replays");
    }

    #[test]
    fn a_latest_that_a_worker_has_begun_with_is_a_place() {
        assert_eq!(effect("LATEST@21", "LATEST@"), "skips");
        assert_eq!(effect("LATEST@21", "40@41"), "skips");
        assert_eq!(effect("LATEST@41", "20@21"), "replays");
    }

    #[test]
    fn the_records_are_named_with_their_times() {
        let text = |now: &str, then: &str| Effect::of(&reading(now), &reading(then)).to_string();
        assert_eq!(
            text("20@21", "40@41"),
            "loses records, which nobody will read: from 21:0, arrived 1970-01-01T00:00:00.000Z, \
             up to 41:0, arrived 1970-01-01T00:00:00.000Z, which is read"
        );
        assert_eq!(
            text("40@", "20@21"),
            "delivers records again: from 21:0, arrived 1970-01-01T00:00:00.000Z, to what was read \
             last, 40:0"
        );
        assert!(text("20@", "LATEST@").contains("up to when a worker takes the lease"));
    }
}
