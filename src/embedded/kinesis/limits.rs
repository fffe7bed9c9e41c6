//! The quotas of a shard: 5 reads and 2 MiB out, 1000 records and 1 MiB in, each second; 2 MiB more
//! for each subscription.

/// Bytes of the data and partition keys that one `GetRecords` call returns at most.
pub(super) const MAX_PAGE_BYTES: u64 = 10 * MIB;
/// Records that one `GetRecords` call returns at most.
pub(super) const MAX_PAGE_RECORDS: u64 = 10_000;
/// Records that one `PutRecords` call takes at most.
pub(super) const MAX_PUT_RECORDS: usize = 500;
/// Bytes of data and partition keys that one `PutRecords` call takes at most.
pub(super) const MAX_PUT_BYTES: u64 = 10 * MIB;
/// Bytes of the data and partition keys that one event of a subscription carries at most, unless a
/// single record is larger.
pub(super) const MAX_EVENT_BYTES: u64 = MIB;
/// Records that one event carries at most.
pub(super) const MAX_EVENT_RECORDS: usize = 10_000;
/// Consumers that may be registered with a stream.
pub(super) const MAX_CONSUMERS: usize = 20;
/// Consumers of a stream that may be `CREATING` at a time.
pub(super) const MAX_CREATING_CONSUMERS: usize = 5;
/// Calls of `RegisterStreamConsumer` and `DeregisterStreamConsumer` in a second.
pub(super) const CONSUMER_CHANGES: u64 = 5;
/// A subscription ends after this long (`SubscribeToShard` in the API reference).
pub(super) const SUBSCRIPTION_MS: u64 = 300_000;
/// For this long after a subscription has begun, another one of the same consumer and shard is
/// refused; later it takes over.
pub(super) const TAKE_OVER_MS: u64 = 5_000;
/// A subscription on which nothing comes sends an empty event this often.
pub(super) const HEARTBEAT_MS: u64 = 5_000;
/// Shard iterators and page tokens live this long.
pub(super) const TOKEN_LIFETIME_MS: u64 = 300_000;

const MIB: u64 = 1024 * 1024;
const READ_CALLS: u64 = 5;
const READ_BYTES: u64 = 2 * MIB;
const WRITE_RECORDS: u64 = 1000;
const WRITE_BYTES: u64 = MIB;

/// Which quotas a shard enforces ("Quotas and limits" in the Kinesis developer guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Five `GetRecords` calls and 2 MiB a second.
    pub reads: bool,
    /// 1000 records and 1 MiB a second.
    pub writes: bool,
    /// For each consumer and shard one `SubscribeToShard` call and 2 MiB a second; five consumers
    /// registered or deregistered a second.
    pub fan_out: bool,
    /// How many seconds of quota an idle shard saves up (at least 1). The documented quotas are
    /// those of 1; the real service lets short bursts through.
    pub burst_seconds: u32,
}

impl Limits {
    /// All quotas, to the letter.
    pub fn enforced() -> Self {
        Self { reads: true, writes: true, fan_out: true, burst_seconds: 1 }
    }

    /// No quota on rates. The limits on sizes (a record, a page, a call) stay.
    pub fn off() -> Self {
        Self { reads: false, writes: false, fan_out: false, burst_seconds: 1 }
    }

    /// The same quotas, with bursts of `seconds` worth of quota let through.
    #[must_use]
    pub fn with_burst(self, seconds: u32) -> Self {
        Self { burst_seconds: seconds.max(1), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::enforced()
    }
}

/// What one shard has used of its quotas.
#[derive(Debug, Default)]
pub(super) struct Usage {
    read_calls: Window,
    read_bytes: Window,
    write_records: Window,
    write_bytes: Window,
}

impl Usage {
    /// Counts one read call if it may go on. What it returned is charged afterwards, since a call
    /// that returns 10 MiB is fine and makes the calls of the next five seconds fail.
    pub(super) fn admit_read(&mut self, limits: Limits, now_ms: u64) -> bool {
        if !limits.reads {
            return true;
        }
        let burst = u64::from(limits.burst_seconds.max(1));
        let calls = self.read_calls.used(READ_CALLS, now_ms);
        let bytes = self.read_bytes.used(READ_BYTES, now_ms);
        if calls >= READ_CALLS * burst || bytes >= READ_BYTES * burst {
            return false;
        }
        self.read_calls.used += 1;
        true
    }

    /// Charges the bytes that an admitted read returned.
    pub(super) fn charge_read(&mut self, bytes: u64) {
        self.read_bytes.used = self.read_bytes.used.saturating_add(bytes);
    }

    /// Counts a record of `bytes` if it may be written.
    pub(super) fn admit_write(&mut self, limits: Limits, now_ms: u64, bytes: u64) -> bool {
        if !limits.writes {
            return true;
        }
        let burst = u64::from(limits.burst_seconds.max(1));
        let records = self.write_records.used(WRITE_RECORDS, now_ms);
        let written = self.write_bytes.used(WRITE_BYTES, now_ms);
        // A record above 1 MiB fits no second: an idle shard takes it and pays it off afterwards.
        let fits = written == 0 || written.saturating_add(bytes) <= WRITE_BYTES * burst;
        if records >= WRITE_RECORDS * burst || !fits {
            return false;
        }
        self.write_records.used += 1;
        self.write_bytes.used = written.saturating_add(bytes);
        true
    }
}

/// What one subscription has pushed.
#[derive(Debug, Default)]
pub(super) struct Pushed(Window);

impl Pushed {
    /// When more may be pushed; now, unless the quota is spent.
    pub(super) fn free_at(&mut self, limits: Limits, now_ms: u64) -> u64 {
        let burst = u64::from(limits.burst_seconds.max(1));
        let spent = self.0.used(READ_BYTES, now_ms) >= READ_BYTES * burst;
        if limits.fan_out && spent { self.0.started_ms + 1000 } else { now_ms }
    }

    /// Charges the bytes of an event.
    pub(super) fn charge(&mut self, bytes: u64) {
        self.0.used = self.0.used.saturating_add(bytes);
    }
}

/// Calls that are allowed so many times a second.
#[derive(Debug, Default)]
pub(super) struct Calls(Window);

impl Calls {
    /// Counts a call if it may go on.
    pub(super) fn admit(&mut self, per_second: u64, now_ms: u64) -> bool {
        let free = self.0.used(per_second, now_ms) < per_second;
        self.0.used += u64::from(free);
        free
    }
}

/// Use of one quota, counted in seconds that begin with the first use after an idle one; what
/// exceeds a second's quota is carried into the next.
#[derive(Debug, Default)]
struct Window {
    started_ms: u64,
    used: u64,
}

impl Window {
    fn used(&mut self, per_second: u64, now_ms: u64) -> u64 {
        let seconds = now_ms.saturating_sub(self.started_ms) / 1000;
        self.used = self.used.saturating_sub(seconds.saturating_mul(per_second));
        if self.used == 0 {
            self.started_ms = now_ms;
        } else {
            self.started_ms += seconds * 1000;
        }
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_767_225_600_000;

    #[test]
    fn five_reads_a_second() {
        let mut usage = Usage::default();
        let mut read = |at| usage.admit_read(Limits::enforced(), at);
        assert_eq!([0, 1, 2, 3, 999].map(|ms| read(T + ms)), [true; 5]);
        assert!(!read(T + 999) && read(T + 1000));
    }

    #[test]
    fn ten_mebibytes_block_five_seconds() {
        let mut usage = Usage::default();
        assert!(usage.admit_read(Limits::enforced(), T));
        usage.charge_read(MAX_PAGE_BYTES);
        assert!(!usage.admit_read(Limits::enforced(), T + 4_999));
        assert!(usage.admit_read(Limits::enforced(), T + 5_000));
    }

    #[test]
    fn a_second_takes_1000_records_and_a_mebibyte() {
        let mut usage = Usage::default();
        let small = (0..1200).filter(|_| usage.admit_write(Limits::enforced(), T, 10)).count();
        assert_eq!(small, 1000);
        let mut usage = Usage::default();
        let large = (0..5).filter(|_| usage.admit_write(Limits::enforced(), T, 400_000)).count();
        assert_eq!(large, 2);
        assert!(usage.admit_write(Limits::enforced(), T + 1_000, 400_000));
    }

    #[test]
    fn an_idle_shard_takes_a_record_above_its_quota_and_pays_it_off() {
        let mut usage = Usage::default();
        assert!(usage.admit_write(Limits::enforced(), T, 5 * MIB));
        assert!(!usage.admit_write(Limits::enforced(), T + 4_000, 1));
        assert!(usage.admit_write(Limits::enforced(), T + 5_000, 1));
    }

    #[test]
    fn a_subscription_pushes_two_mebibytes_a_second() {
        let mut pushed = Pushed::default();
        pushed.charge(3 * MIB);
        assert_eq!(pushed.free_at(Limits::off(), T), T);
        assert_eq!(pushed.free_at(Limits::enforced(), T), T, "an idle one takes what there is");
        pushed.charge(3 * MIB);
        assert_eq!(pushed.free_at(Limits::enforced(), T + 10), T + 1000);
        assert_eq!(pushed.free_at(Limits::enforced(), T + 1000), T + 1000);
    }

    #[test]
    fn bursts_and_switches() {
        let reads = |limits| {
            let mut usage = Usage::default();
            (0..100).filter(|_| usage.admit_read(limits, T)).count()
        };
        assert_eq!(reads(Limits::enforced().with_burst(3)), 15);
        assert_eq!(reads(Limits::off()), 100);
    }
}
