//! Records as lines: JSON, in colour on a terminal.

use std::fmt::{Display, Write};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::{Args, source::Source};
use crate::{
    cli::talk::{Data, Paint, Unwritten, complain},
    codec::{DecodeLimits, ShardKeys, deaggregate, decode_user_record, render_event},
    etl::filter::FilterPattern,
    model::{EpochMillis, Format, Position, RawRecord, Shard, ShardId, UserRecord},
};

/// Prints pages until it has printed enough.
pub(super) struct Printer {
    filter: Option<FilterPattern>,
    records: bool,
    limit: Option<u64>,
    format: Format,
    aggregates: crate::model::Aggregates,
    /// What lies up to here was asked not to be printed.
    done: Option<Position>,
    out: Data,
    paint: Paint,
    seen: Seen,
}

/// Counts for the last word.
#[derive(Default)]
struct Seen {
    records: u64,
    printed: u64,
    refused: u64,
    foreign: u64,
}

/// A user record with its place.
#[derive(Serialize)]
struct Line<'r> {
    shard: &'r str,
    sequence_number: &'r str,
    sub_sequence: u64,
    arrival: EpochMillis,
    partition_key: &'r str,
    explicit_hash_key: Option<&'r str>,
    aggregated: bool,
    data: String,
}

impl Printer {
    pub(super) fn new(
        args: &Args,
        filter: Option<FilterPattern>,
        source: &Source,
        done: Option<Position>,
    ) -> Self {
        Self {
            filter,
            records: args.records,
            limit: args.limit,
            format: source.format,
            aggregates: source.aggregates,
            done,
            out: Data::new(),
            paint: Paint::of_stdout(),
            seen: Seen::default(),
        }
    }

    /// Lines that may still be printed.
    pub(super) fn left(&self) -> u64 {
        self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.seen.printed))
    }

    pub(super) fn is_full(&self) -> bool {
        self.left() == 0
    }

    pub(super) fn all_decoded(&self) -> bool {
        self.seen.refused == 0
    }

    pub(super) fn page(&mut self, shard: &Shard, records: &[RawRecord]) -> Result<(), Unwritten> {
        let keys = ShardKeys { range: shard.hash_range, aggregates: self.aggregates };
        for raw in records {
            if self.is_full() {
                break;
            }
            self.seen.records += 1;
            self.record(&shard.id, raw, &keys)?;
        }
        self.out.flush()
    }

    fn record(
        &mut self,
        shard: &ShardId,
        raw: &RawRecord,
        keys: &ShardKeys,
    ) -> Result<(), Unwritten> {
        let members = deaggregate(raw);
        if members.unreadable > 0 {
            let reason = "user records of this KPL aggregate name keys that it does not hold";
            self.refuse(shard, &raw.sequence, format_args!("{} {reason}", members.unreadable));
        }
        let foreign = keys.foreign(&members.records);
        for (user, foreign) in members.records.iter().zip(foreign) {
            if self.done.as_ref().is_some_and(|done| user.position <= *done) {
                continue;
            }
            match (foreign, self.records) {
                (true, _) => self.seen.foreign += 1,
                (false, true) => self.line(&record_line(shard, user))?,
                (false, false) => self.events(shard, user)?,
            }
        }
        Ok(())
    }

    fn events(&mut self, shard: &ShardId, user: &UserRecord) -> Result<(), Unwritten> {
        let decoded = match decode_user_record(self.format, user, &DecodeLimits::default()) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.refuse(shard, &user.position, error);
                return Ok(());
            }
        };
        for event in decoded.events {
            if self.filter.as_ref().is_none_or(|filter| filter.matches(event.message.as_str())) {
                let mut line = Vec::new();
                render_event(&event, &mut line);
                self.line(&String::from_utf8_lossy(&line))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, json: &str) -> Result<(), Unwritten> {
        if self.is_full() {
            return Ok(());
        }
        self.seen.printed += 1;
        self.out.write(self.paint.json(json).as_bytes())?;
        self.out.write(b"\n")
    }

    fn refuse(&mut self, shard: &ShardId, place: &dyn Display, reason: impl Display) {
        self.seen.refused += 1;
        complain(format_args!("{shard} {place}: {reason}"));
    }

    pub(super) fn summary(&self) -> String {
        let Seen { records, printed, refused, foreign } = self.seen;
        let mut text = format!("{printed} printed of {records} records");
        // Writing into a string cannot fail.
        if refused > 0 {
            let _ = write!(text, "; {refused} refused, see --records");
        }
        if foreign > 0 {
            let _ = write!(text, "; {foreign} user records of other shards left out");
        }
        text
    }
}

fn record_line(shard: &ShardId, user: &UserRecord) -> String {
    let line = Line {
        shard: shard.as_str(),
        sequence_number: user.position.sequence.as_str(),
        sub_sequence: user.position.sub_sequence,
        arrival: user.arrival,
        partition_key: &user.partition_key,
        explicit_hash_key: user.explicit_hash_key.as_deref(),
        aggregated: user.aggregated,
        data: BASE64_STANDARD.encode(&user.data),
    };
    serde_json::to_string(&line).expect("text and numbers are always JSON")
}
