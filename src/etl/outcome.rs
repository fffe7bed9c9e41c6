//! Counting what became of records and events.

use std::ops::AddAssign;

/// How many records and events came to which end. Each is counted under exactly one outcome:
///
/// - `user_records = decoded + undecodable`
/// - `events = delivered + filtered + dead_lettered`, once everything is settled
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Kinesis records read.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// User records in them; the same number unless there are KPL aggregates.
    pub user_records: u64,
    /// User records that gave events or control messages (possibly none).
    pub decoded: u64,
    /// User records that could not be decoded, now dead letters.
    pub undecodable: u64,
    /// CloudWatch's health checks.
    pub control: u64,
    /// Decoded events.
    pub events: u64,
    /// Events that no route wanted, or that a program aborted.
    pub filtered: u64,
    /// Events whose sinks all said so.
    pub delivered: u64,
    /// Events with a dead letter that its sink accepted.
    pub dead_lettered: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.user_records += other.user_records;
        self.decoded += other.decoded;
        self.undecodable += other.undecodable;
        self.control += other.control;
        self.events += other.events;
        self.filtered += other.filtered;
        self.delivered += other.delivered;
        self.dead_lettered += other.dead_lettered;
    }
}
