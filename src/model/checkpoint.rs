//! Checkpoints: how far a shard has been processed, in the KCL's own grammar.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{EpochMillis, Position, SequenceNumber};

/// How far a shard has been processed.
///
/// It has no order of its own: `Latest` and a sequence number cannot be compared. [`Self::advances`]
/// says which steps are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Nothing processed yet; start with the oldest record kept.
    TrimHorizon,
    /// Nothing processed yet; start with the next record put.
    Latest,
    /// Nothing processed yet; start at the configured time, which the row does not hold.
    AtTimestamp,
    /// Everything up to and including this user record is processed.
    After(Position),
    /// The shard is closed and everything in it is processed.
    ShardEnd,
}

/// A `checkpoint` attribute that no KCL would have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a checkpoint: expected TRIM_HORIZON, LATEST, AT_TIMESTAMP, SHARD_END or a sequence number"
)]
pub struct CheckpointParseError(String);

impl Checkpoint {
    /// Reads the pair of attributes `checkpoint` and `checkpointSubSequenceNumber`
    /// (KCL `SentinelCheckpoint`, `ExtendedSequenceNumber`).
    ///
    /// # Errors
    /// When the text is neither a sentinel nor a sequence number.
    pub fn parse(text: &str, sub_sequence: u64) -> Result<Self, CheckpointParseError> {
        Ok(match text {
            "TRIM_HORIZON" => Self::TrimHorizon,
            "LATEST" => Self::Latest,
            "AT_TIMESTAMP" => Self::AtTimestamp,
            "SHARD_END" => Self::ShardEnd,
            number => {
                let sequence = SequenceNumber::from_str(number)
                    .map_err(|_| CheckpointParseError(text.chars().take(140).collect()))?;
                Self::After(Position { sequence, sub_sequence })
            }
        })
    }

    /// The value of the `checkpoint` attribute.
    pub fn text(&self) -> &str {
        match self {
            Self::TrimHorizon => "TRIM_HORIZON",
            Self::Latest => "LATEST",
            Self::AtTimestamp => "AT_TIMESTAMP",
            Self::After(position) => position.sequence.as_str(),
            Self::ShardEnd => "SHARD_END",
        }
    }

    /// The value of the `checkpointSubSequenceNumber` attribute; sentinels carry 0.
    pub fn sub_sequence(&self) -> u64 {
        match self {
            Self::After(position) => position.sub_sequence,
            _ => 0,
        }
    }

    /// Whether a row may go from `self` to `next`: forward along sequence numbers, from a start
    /// sentinel to a number, and from anything to the shard's end.
    pub fn advances(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::ShardEnd, _) => false,
            (Self::After(from), Self::After(to)) => from < to,
            (_, Self::After(_) | Self::ShardEnd) => true,
            _ => false,
        }
    }

    /// Whether the shard has not been started yet.
    pub fn is_start(&self) -> bool {
        matches!(self, Self::TrimHorizon | Self::Latest | Self::AtTimestamp)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(position) => write!(f, "{position}"),
            sentinel => f.write_str(sentinel.text()),
        }
    }
}

/// Where a stream is read from when the lease table knows nothing of it yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialPosition {
    /// The oldest record kept. The default: it loses nothing.
    #[default]
    TrimHorizon,
    /// Only what is put from now on.
    Latest,
    /// Records that arrived at or after this time.
    AtTimestamp(EpochMillis),
}

impl InitialPosition {
    /// The sentinel that a new lease carries.
    pub fn checkpoint(self) -> Checkpoint {
        match self {
            Self::TrimHorizon => Checkpoint::TrimHorizon,
            Self::Latest => Checkpoint::Latest,
            Self::AtTimestamp(_) => Checkpoint::AtTimestamp,
        }
    }
}

impl FromStr for InitialPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TRIM_HORIZON" => Ok(Self::TrimHorizon),
            "LATEST" => Ok(Self::Latest),
            time => time
                .parse::<jiff::Timestamp>()
                .map(|timestamp| Self::AtTimestamp(EpochMillis(timestamp.as_millisecond())))
                .map_err(|_| {
                    format!("{text:?}: expected TRIM_HORIZON, LATEST or a time such as 2026-01-31T08:00:00Z")
                }),
        }
    }
}

impl fmt::Display for InitialPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("TRIM_HORIZON"),
            Self::Latest => f.write_str("LATEST"),
            Self::AtTimestamp(time) => write!(f, "{time}"),
        }
    }
}

/// Where the reading of a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndPosition {
    /// At the tip, as it is when the process begins.
    Latest,
    /// Before the first record that arrived at this time or later.
    AtTimestamp(EpochMillis),
}

impl EndPosition {
    /// The time that it means to a process that begins `now`.
    pub fn time(self, now: EpochMillis) -> EpochMillis {
        match self {
            Self::Latest => now,
            Self::AtTimestamp(time) => time,
        }
    }
}

impl FromStr for EndPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(InitialPosition::Latest) => Ok(Self::Latest),
            Ok(InitialPosition::AtTimestamp(time)) => Ok(Self::AtTimestamp(time)),
            Ok(InitialPosition::TrimHorizon) | Err(_) => {
                Err(format!("{text:?}: expected LATEST or a time such as 2026-01-31T08:00:00Z"))
            }
        }
    }
}

impl fmt::Display for EndPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("LATEST"),
            Self::AtTimestamp(time) => write!(f, "{time}"),
        }
    }
}

impl<'de> Deserialize<'de> for EndPosition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for InitialPosition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for InitialPosition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sequence: &str, sub_sequence: u64) -> Checkpoint {
        Checkpoint::parse(sequence, sub_sequence).unwrap()
    }

    #[test]
    fn the_grammar_is_the_kcls() {
        for text in ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "SHARD_END", "495", "0"] {
            assert_eq!(Checkpoint::parse(text, 0).unwrap().text(), text);
        }
        assert!(Checkpoint::parse("trim_horizon", 0).is_err());
        assert!(Checkpoint::parse("", 0).is_err());
    }

    #[test]
    fn never_goes_back() {
        assert!(after("7", 0).advances(&after("7", 1)));
        assert!(!after("7", 1).advances(&after("7", 1)));
        assert!(!after("7", 1).advances(&after("7", 0)));
        assert!(Checkpoint::TrimHorizon.advances(&after("1", 0)));
        assert!(!after("1", 0).advances(&Checkpoint::TrimHorizon));
        assert!(!Checkpoint::Latest.advances(&Checkpoint::TrimHorizon));
        assert!(after("1", 0).advances(&Checkpoint::ShardEnd));
        assert!(!Checkpoint::ShardEnd.advances(&after("9", 0)));
    }

    #[test]
    fn initial_positions_read_as_they_print() {
        for text in ["TRIM_HORIZON", "LATEST", "2026-01-31T08:00:00.000Z"] {
            assert_eq!(text.parse::<InitialPosition>().unwrap().to_string(), text);
        }
        assert!("yesterday".parse::<InitialPosition>().is_err());
        for text in ["LATEST", "2026-01-31T08:00:00.000Z"] {
            assert_eq!(text.parse::<EndPosition>().unwrap().to_string(), text);
        }
        assert!("TRIM_HORIZON".parse::<EndPosition>().is_err());
    }
}
