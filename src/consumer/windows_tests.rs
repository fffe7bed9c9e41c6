//! Whoever reads a shard, and however often it begins anew: the rows are the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    codec::DecodeLimits,
    consumer::Ledger,
    etl::{FieldPath, PipelineParts, Route, window::Late},
    leasing::fixtures::lease,
    model::{Checkpoint, Format, ShardId, StreamName},
};

fn window() -> Window {
    let path = |path| FieldPath::parse_single(path).unwrap();
    Window {
        size: Duration::from_secs(30),
        lateness: Duration::from_secs(10),
        idle: Duration::from_mins(1),
        ahead: Duration::from_secs(5),
        time: Some(path("message.t")),
        group_by: vec![("g".to_owned(), path("message.g"))],
        aggregates: [("n", "count"), ("sum", "sum message.v")]
            .map(|(name, text)| (name.to_owned(), text.parse().unwrap()))
            .to_vec(),
        late: Late::DeadLetter,
        max_groups: 2,
        max_bytes: 1 << 20,
    }
}

/// Copies to sink 0, rows to sink 1, letters to sink 2.
fn pipeline(window: Window) -> Pipeline {
    Pipeline::new(PipelineParts {
        routes: vec![
            Route { also: true, ..Route::new("copies", 0) },
            Route { window: Some(Arc::new(window)), ..Route::new("rows", 1) },
        ],
        sinks: ["copies", "rows", "letters"].map(str::to_owned).to_vec(),
        dead_letters: 2,
        limits: DecodeLimits::default(),
        configuration: "test".to_owned(),
    })
}

/// A record: when it arrived, and how long before that each of its events happened, with their groups.
type Put = (i64, Vec<(i64, &'static str)>);

fn source() -> Arc<Source> {
    let (stream, shard) = (StreamName::new("s"), ShardId::new("shard"));
    Arc::new(Source { stream, shard, format: Format::Json })
}

fn record(number: usize, (arrival, events): &Put) -> Arc<SourceRecord> {
    let event = |(behind, group): &(i64, &str)| {
        format!(r#"{{"t":{},"g":"{group}","v":{number}}}"#, (arrival - behind) * 1000)
    };
    let data: String = events.iter().map(event).collect();
    let record = UserRecord {
        position: Position { sequence: (number + 1).to_string().parse().unwrap(), sub_sequence: 0 },
        partition_key: Arc::from("k"),
        explicit_hash_key: None,
        aggregated: false,
        data: data.into(),
        arrival: EpochMillis(arrival * 1000),
    };
    Arc::new(SourceRecord::new(source(), record))
}

/// A reader of the shard, and its sinks with all that was ever delivered.
struct Reader<'p> {
    pipeline: &'p Pipeline,
    windows: Windows,
    ledger: Ledger,
    under_way: Vec<(crate::consumer::Ticket, Delivery)>,
    tally: Tally,
}

/// What sinks have: rows by their ids with each version, letters.
#[derive(Default)]
struct Sinks {
    rows: BTreeMap<String, Vec<String>>,
    letters: BTreeSet<String>,
}

impl<'p> Reader<'p> {
    fn new(pipeline: &'p Pipeline, row: &Lease) -> Self {
        let windows = Windows::new(pipeline, source(), row);
        let (ledger, under_way) = (Ledger::default(), Vec::new());
        Self { pipeline, windows, ledger, under_way, tally: Tally::default() }
    }

    fn read(&mut self, record: &Arc<SourceRecord>) {
        let processed = self.pipeline.process(record);
        let mut deliveries = processed.deliveries;
        self.tally += processed.tally;
        let mark = (record.record.position.clone(), record.record.arrival);
        let closed = self.windows.pass(
            self.pipeline,
            &mark,
            Some(record),
            processed.windowed,
            &mut deliveries,
            &mut self.tally,
        );
        self.enter(mark, deliveries);
        self.deliver(closed);
    }

    fn deliver(&mut self, closed: Option<ClosedRows>) {
        if let Some(closed) = closed {
            self.enter(closed.mark, closed.rows);
        }
    }

    fn enter(&mut self, mark: Mark, deliveries: Vec<Delivery>) {
        let ticket = self.ledger.open(mark, deliveries.len(), None);
        self.under_way.extend(deliveries.into_iter().map(|delivery| (ticket, delivery)));
    }

    /// A delivery is through, whichever.
    fn settle(&mut self, pick: usize, sinks: &mut Sinks) {
        if self.under_way.is_empty() {
            return;
        }
        let (ticket, delivery) = self.under_way.swap_remove(pick % self.under_way.len());
        let text = String::from_utf8(delivery.output.json.to_vec()).unwrap();
        match delivery.sink {
            1 => sinks.rows.entry(delivery.output.delivery_id()).or_default().push(text),
            2 => _ = sinks.letters.insert(delivery.output.delivery_id()),
            _ => {}
        }
        self.ledger.settle(ticket);
        if let Some(window) = delivery.window {
            self.windows.settled(window);
        }
    }

    fn settle_all(&mut self, sinks: &mut Sinks) {
        while !self.under_way.is_empty() {
            self.settle(0, sinks);
        }
    }

    /// Writes how far it has come.
    fn checkpoint(&mut self, row: &mut Lease) {
        if let Some(((position, _), watermarks)) = self.windows.checkpoint(self.ledger.frontier()) {
            row.checkpoint = Checkpoint::After(position);
            row.watermarks = watermarks;
        }
    }
}

fn uninterrupted(pipeline: &Pipeline, puts: &[Put]) -> (Sinks, Tally) {
    let (row, mut sinks) = (lease("shard").build(), Sinks::default());
    let mut reader = Reader::new(pipeline, &row);
    for (number, put) in puts.iter().enumerate() {
        reader.read(&record(number, put));
    }
    let closed = reader.windows.finish(pipeline);
    reader.deliver(closed);
    reader.settle_all(&mut sinks);
    assert!(reader.windows.all_delivered());
    (sinks, reader.tally)
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Read,
    Settle(usize),
    Checkpoint,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Read),
        8 => any::<usize>().prop_map(Step::Settle),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..200)
}

fn puts() -> impl Strategy<Value = Vec<Put>> {
    let event = (-8i64..60, prop::sample::select(vec!["a", "b", "c"]));
    let gap = prop_oneof![8 => 0i64..15, 1 => 60i64..100];
    prop::collection::vec((gap, prop::collection::vec(event, 0..4)), 1..40).prop_map(|puts| {
        let mut now = 1_700_000_000;
        let mut put = |(gap, events)| {
            now += gap;
            (now, events)
        };
        puts.into_iter().map(&mut put).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    /// Whatever is settled when, and wherever readers break off and others go on: each row that is
    /// ever delivered is whole, all are there in the end, and so are the letters.
    #[test]
    fn a_reader_that_breaks_off_anywhere_changes_no_row(puts in puts(), steps in steps()) {
        let pipeline = pipeline(window());
        let (expect, _) = uninterrupted(&pipeline, &puts);
        let (mut row, mut sinks) = (lease("shard").build(), Sinks::default());
        let next_of = |row: &Lease| match &row.checkpoint {
            Checkpoint::After(position) => position.sequence.as_str().parse::<usize>().unwrap(),
            _ => 0,
        };
        let (mut reader, mut next) = (Reader::new(&pipeline, &row), 0);
        for step in steps {
            match step {
                Step::Read if next < puts.len() => {
                    reader.read(&record(next, &puts[next]));
                    next += 1;
                }
                Step::Settle(pick) => reader.settle(pick, &mut sinks),
                Step::Checkpoint => reader.checkpoint(&mut row),
                Step::Crash => (reader, next) = (Reader::new(&pipeline, &row), next_of(&row)),
                Step::Read => {}
            }
        }
        for (number, put) in puts.iter().enumerate().skip(next) {
            reader.read(&record(number, put));
        }
        let closed = reader.windows.finish(&pipeline);
        reader.deliver(closed);
        reader.settle_all(&mut sinks);
        prop_assert!(reader.windows.all_delivered());
        prop_assert_eq!(sinks.rows.keys().collect::<Vec<_>>(), expect.rows.keys().collect::<Vec<_>>());
        for (id, versions) in &sinks.rows {
            let whole = &expect.rows[id][0];
            prop_assert!(versions.iter().all(|version| version == whole), "{:?}: {}", versions, whole);
        }
        prop_assert_eq!(&sinks.letters, &expect.letters);
    }

    /// Each event is counted under one outcome.
    #[test]
    fn counts_of_windowed_events_add_up(puts in puts()) {
        let mut parts = vec![Route { window: Some(Arc::new(window())), ..Route::new("rows", 1) }];
        parts.push(Route::new("never", 0));
        let pipeline = Pipeline::new(PipelineParts {
            routes: parts,
            sinks: ["copies", "rows", "letters"].map(str::to_owned).to_vec(),
            dead_letters: 2,
            limits: DecodeLimits::default(),
            configuration: "test".to_owned(),
        });
        let row = lease("shard").build();
        let mut reader = Reader::new(&pipeline, &row);
        for (number, put) in puts.iter().enumerate() {
            reader.read(&record(number, put));
        }
        let closed = reader.windows.finish(&pipeline);
        reader.deliver(closed);
        let rows = reader.under_way.iter().filter_map(|(_, one)| one.window?.row).sum::<u64>();
        let letters = reader.under_way.iter().filter(|(_, one)| one.failed.is_some() && one.event.is_some()).count() as u64;
        prop_assert_eq!(reader.tally.events, rows + letters + reader.tally.delivered);
    }
}

/// Records of one event each, at these seconds, read by one reader.
fn reader<'p>(pipeline: &'p Pipeline, seconds: &[i64]) -> Reader<'p> {
    let mut reader = Reader::new(pipeline, &lease("shard").build());
    for (number, second) in seconds.iter().enumerate() {
        reader.read(&record(number, &(1_700_000_010 + second, vec![(0, "a")])));
    }
    reader
}

fn at(row: &Lease) -> Option<usize> {
    match &row.checkpoint {
        Checkpoint::After(position) => position.sequence.as_str().parse().ok(),
        _ => None,
    }
}

#[test]
fn the_checkpoint_waits_for_the_oldest_window_that_is_not_delivered() {
    let pipeline = pipeline(window());
    let (mut row, mut sinks) = (lease("shard").build(), Sinks::default());
    // Windows begin at 0 and 30; the record at 40 closes the first.
    let mut reader = reader(&pipeline, &[0, 5, 31, 41]);
    let copy = |reader: &Reader<'_>| reader.under_way.iter().position(|(_, one)| one.sink == 0);
    while let Some(copy) = copy(&reader) {
        reader.settle(copy, &mut sinks);
    }
    assert_eq!(reader.under_way.len(), 1, "the row of the first window");
    reader.checkpoint(&mut row);
    assert_eq!(at(&row), None, "the row is not delivered");
    reader.settle(0, &mut sinks);
    reader.checkpoint(&mut row);
    assert_eq!(at(&row), Some(2), "the second window has something of the third record");
    assert_eq!(reader.windows.oldest(), Some(EpochMillis((1_700_000_010 + 31) * 1000)));
}

#[tokio::test(start_paused = true)]
async fn at_the_tip_what_got_nothing_for_long_is_closed_and_what_comes_then_is_late() {
    let pipeline = pipeline(window());
    let (mut row, mut sinks) = (lease("shard").build(), Sinks::default());
    let mut first = reader(&pipeline, &[0]);
    assert!(first.windows.tip(&pipeline, Instant::now() + Duration::from_mins(1)).is_none());
    let closed = first.windows.tip(&pipeline, Instant::now() + Duration::from_secs(61));
    first.deliver(closed);
    first.settle_all(&mut sinks);
    first.checkpoint(&mut row);
    assert_eq!((sinks.rows.len(), at(&row)), (1, Some(1)));
    let mut second = Reader::new(&pipeline, &row);
    second.read(&record(1, &(1_700_000_080, vec![(70, "a")])));
    assert_eq!((second.tally.late, second.windows.open()), (1, 0));
}

#[test]
fn watermarks_of_another_checkpoint_are_left_alone() {
    let pipeline = pipeline(window());
    let (mut row, mut sinks) = (lease("shard").build(), Sinks::default());
    let mut first = reader(&pipeline, &[0, 5, 31, 41]);
    first.settle_all(&mut sinks);
    first.checkpoint(&mut row);
    let read = |row: &Lease| Reader::new(&pipeline, row).windows.snapshot[0];
    assert!(read(&row).is_some());
    let moved = Checkpoint::parse("1", 0).unwrap();
    assert_eq!(read(&Lease { checkpoint: moved, ..row.clone() }), None);
    assert_eq!(read(&Lease { watermarks: Some(Arc::from("no JSON")), ..row }), None);
}

#[test]
fn a_replayed_document_goes_where_late_ones_go() {
    for (late, expect) in [(Late::DeadLetter, 2), (Late::Sink(0), 0)] {
        let pipeline = pipeline(Window { late, ..window() });
        let record = record(0, &(1_700_000_000, vec![(0, "a")]));
        let windowed = pipeline.process(&record).windowed;
        let late = windowed.into_iter().map(|one| (one, Unplaced::Replayed)).collect();
        let made = pipeline.unplaced(&record, late);
        assert_eq!(made.iter().map(|one| one.sink).collect::<Vec<_>>(), [expect]);
    }
}

#[test]
fn a_late_document_has_its_place_among_those_of_its_record() {
    let pipeline = pipeline(Window { late: Late::Sink(0), ..window() });
    let mut reader = Reader::new(&pipeline, &lease("shard").build());
    let puts = [(100, vec![(0, "a")]), (101, vec![(60, "a"), (0, "b")])];
    for (number, put) in puts.iter().enumerate() {
        reader.read(&record(number, put));
    }
    let copies = reader.under_way.iter().filter(|(_, delivery)| delivery.sink == 0);
    let places: Vec<_> =
        copies.filter_map(|(_, delivery)| crate::model::Place::of(&delivery.output)).collect();
    assert_eq!((places.len(), reader.tally.late), (4, 1));
    assert!(places.is_sorted(), "{places:?}");
}
