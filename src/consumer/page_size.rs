//! How much to ask for: as many records as there are bytes reserved for.

use crate::model::RawRecord;

/// Most records a call may answer (AWS API reference, `GetRecords`).
const MAX_RECORDS: u32 = 10_000;
/// Most bytes a call may answer.
const MAX_PAGE: u64 = 10 * 1024 * 1024;
/// Reserved for the first page of a shard; later ones reserve twice what the last one held, at
/// least this, so that a thousand idle shards do not wait for each other.
const MIN_RESERVATION: u64 = 256 * 1024;
/// What the records of a shard weigh of which none was seen yet.
const FIRST_GUESS: u64 = 16 * 1024;
/// A page on its way is there twice: as the text of the answer, and as its records.
const ON_ITS_WAY: u64 = 2;
/// What a record costs beside its payload and key, until it is settled.
const OVERHEAD: u64 = 256;

/// What records take of the byte budget.
pub(super) fn weight(records: &[RawRecord]) -> u64 {
    records.iter().map(weight_of).sum()
}

/// What one record takes of it.
pub(super) fn weight_of(record: &RawRecord) -> u64 {
    size_of(record) + OVERHEAD
}

/// What a record counts against the limits of its shard.
fn size_of(record: &RawRecord) -> u64 {
    (record.data.len() + record.partition_key.len()) as u64
}

/// What records count against the limits of their shard.
pub(super) fn size(records: &[RawRecord]) -> u64 {
    records.iter().map(size_of).sum()
}

/// Learns how large the pages and records of a shard are.
#[derive(Debug)]
pub(super) struct PageSize {
    wish: u64,
    /// The largest record of late.
    largest: Option<u64>,
}

impl PageSize {
    pub(super) fn new() -> Self {
        Self { wish: MIN_RESERVATION, largest: None }
    }

    /// Bytes to reserve for the next page.
    pub(super) fn wish(&self) -> u64 {
        self.wish * ON_ITS_WAY
    }

    /// Bytes without which it is of no use to ask.
    pub(super) fn least(&self) -> u64 {
        self.largest.unwrap_or(FIRST_GUESS)
    }

    /// How many records to ask for when so many bytes are reserved. A record larger than them all is
    /// read alone.
    pub(super) fn limit(&self, reserved: u64) -> u32 {
        let page = reserved / ON_ITS_WAY;
        if page >= MAX_PAGE {
            return MAX_RECORDS;
        }
        let fit = page / self.least().max(1);
        u32::try_from(fit).unwrap_or(MAX_RECORDS).clamp(1, MAX_RECORDS)
    }

    /// Takes in a page that was asked for with this limit.
    pub(super) fn learn(&mut self, records: &[RawRecord], limit: u32) {
        let weight = weight(records);
        if let Some(largest) = records.iter().map(weight_of).max() {
            // What was large once is forgotten slowly: the next large one may be on the next page.
            let before = self.largest.map_or(0, |before| before - before / 8);
            self.largest = Some(largest.max(before));
        }
        let full = records.len() >= limit as usize;
        let next = if full { self.wish.max(weight) * 2 } else { weight * 2 };
        self.wish = next.clamp(MIN_RESERVATION, MAX_PAGE);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::EpochMillis;

    fn records(sizes: &[usize]) -> Vec<RawRecord> {
        let record = |size: &usize| RawRecord {
            sequence: "1".parse().unwrap(),
            partition_key: String::new(),
            data: vec![0; *size].into(),
            arrival: EpochMillis(0),
        };
        sizes.iter().map(record).collect()
    }

    #[test]
    fn pages_become_full_within_a_few_calls() {
        let mut size = PageSize::new();
        let mut calls = 0;
        while size.limit(size.wish()) < MAX_RECORDS {
            let limit = size.limit(size.wish());
            size.learn(&records(&vec![500; limit as usize]), limit);
            calls += 1;
            assert!(calls < 8, "{size:?}");
        }
    }

    #[test]
    fn an_idle_shard_reserves_little_again() {
        let mut size = PageSize::new();
        size.learn(&records(&[9_000_000]), MAX_RECORDS);
        assert_eq!(size.wish(), 2 * MAX_PAGE);
        size.learn(&[], MAX_RECORDS);
        assert_eq!(size.wish(), 2 * MIN_RESERVATION);
    }

    #[test]
    fn a_record_of_ten_mebibytes_is_asked_for_alone() {
        let mut size = PageSize::new();
        size.learn(&records(&[10 << 20]), 16);
        assert_eq!(size.limit(1 << 20), 1);
        assert_eq!(size.limit(2 * MAX_PAGE), MAX_RECORDS, "Kinesis itself ends the page");
    }

    proptest! {
        /// While records do not grow, a page never weighs more than was reserved for it.
        #[test]
        fn a_page_fits_what_was_reserved(
            pages in prop::collection::vec(prop::collection::vec(1usize..=1000, 1..50), 1..20),
            reserved in 2000u64..1_000_000,
        ) {
            let mut size = PageSize::new();
            size.learn(&records(&[1000]), MAX_RECORDS);
            for page in pages {
                let most = size.limit(reserved) as usize;
                let page = records(&page[..page.len().min(most)]);
                prop_assert!(weight(&page) <= reserved.max(weight(&page[..1])));
                size.learn(&page, u32::try_from(most).unwrap());
            }
        }
    }
}
