use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    etl::{
        FieldPath,
        window::{Late, RowPlace},
    },
    model::{ShardId, StreamName},
};

/// Windows of so many seconds with a third of it as lateness, that count and sum by group.
pub(in crate::etl) fn window(seconds: u64) -> Window {
    let path = |path| FieldPath::parse_single(path).unwrap();
    Window {
        size: Duration::from_secs(seconds),
        lateness: Duration::from_secs(seconds / 3),
        idle: Duration::from_secs(seconds * 2),
        ahead: Duration::from_secs(5),
        time: Some(path("t")),
        group_by: vec![("g".to_owned(), path("g"))],
        aggregates: [("n", "count"), ("sum", "sum v"), ("users", "distinct v")]
            .map(|(name, text)| (name.to_owned(), text.parse().unwrap()))
            .to_vec(),
        late: Late::DeadLetter,
        max_groups: 100,
        max_bytes: 1 << 20,
    }
}

/// An item of a group at a second; the value is the second too.
fn item(window: &Window, second: i64, group: &str) -> Item {
    let document = format!(r#"{{"t":{},"g":"{group}","v":{second}}}"#, second * 1000);
    Item::read(window, &document, EpochMillis(0)).unwrap()
}

/// A record: when it arrived, and the seconds and groups of its items.
type Record = (i64, Vec<(i64, &'static str)>);

fn at(second: i64) -> EpochMillis {
    EpochMillis(second * 1000)
}

/// Rows by the end of their window and their group.
type Rows = BTreeMap<(i64, String), String>;

fn rows(window: &Window, closed: Vec<Closed>, rows: &mut Rows) {
    let (stream, shard) = (StreamName::new("s"), ShardId::new("shard"));
    for Closed { end, rows: groups } in closed {
        for (group, row) in groups {
            let place = RowPlace { stream: &stream, shard: &shard, route: "r", end };
            let json = place.json(window, &group, &row, "id");
            let json: Value = serde_json::from_slice(&json).unwrap();
            let line = format!("n={} sum={} users={}", json["n"], json["sum"], json["users"]);
            let before = rows.insert((end.0 / 1000, group.concat()), line);
            assert_eq!(before, None, "no window is closed twice");
        }
    }
}

/// A reading from a watermark on: the rows, what became of each item, the watermark after each record.
struct Reading {
    rows: Rows,
    placed: Vec<Vec<Placed>>,
    marks: Vec<Option<Watermark>>,
}

fn read(window: &Window, from: Option<Watermark>, records: &[Record], finish: bool) -> Reading {
    let mut tumbling = Tumbling::new(Arc::new(window.clone()), from);
    let mut reading = Reading { rows: Rows::new(), placed: vec![], marks: vec![] };
    for (arrival, items) in records {
        rows(window, tumbling.begin(at(*arrival)), &mut reading.rows);
        let place = |(second, group): &(i64, &str)| {
            tumbling.place(&item(window, *second, group), at(*arrival))
        };
        reading.placed.push(items.iter().map(place).collect());
        rows(window, tumbling.end(at(*arrival)), &mut reading.rows);
        reading.marks.push(tumbling.mark());
    }
    if finish {
        rows(window, tumbling.finish(), &mut reading.rows);
        assert_eq!(tumbling.open(), 0);
    }
    reading
}

fn check(records: &[Record], finish: bool, expect: &[(i64, &str, &str)]) -> Reading {
    let reading = read(&window(60), None, records, finish);
    let expect: Rows = expect
        .iter()
        .map(|(end, group, row)| ((*end, format!("\"{group}\"")), (*row).to_owned()))
        .collect();
    assert_eq!(reading.rows, expect);
    reading
}

#[test]
fn a_window_is_closed_when_an_event_is_seen_beyond_its_lateness() {
    let open = [(60, vec![(0, "a"), (59, "a"), (59, "b")]), (80, vec![(79, "a")])];
    check(&open, false, &[]);
    let closed = [&open[..], &[(81, vec![(80, "a")])]].concat();
    check(&closed, false, &[(60, "a", "n=2 sum=59 users=2"), (60, "b", "n=1 sum=59 users=1")]);
    let all = [
        (60, "a", "n=2 sum=59 users=2"),
        (60, "b", "n=1 sum=59 users=1"),
        (120, "a", "n=2 sum=159 users=2"),
    ];
    check(&closed, true, &all);
}

#[test]
fn what_comes_out_of_order_is_in_its_window_until_that_is_closed() {
    let records = [
        (70, vec![(70, "a")]),
        (71, vec![(59, "a")]),
        (90, vec![(80, "a")]),
        (91, vec![(59, "a")]),
    ];
    let reading = check(&records, false, &[(60, "a", "n=1 sum=59 users=1")]);
    assert_eq!(reading.placed[3], [Placed::Late]);
}

#[test]
fn items_of_one_record_do_not_make_each_other_late() {
    let records = [(90, vec![(90, "a"), (1, "a")]), (91, vec![(1, "a")])];
    let reading = check(&records, false, &[(60, "a", "n=1 sum=1 users=1")]);
    assert_eq!(reading.placed[1], [Placed::Late]);
}

#[test]
fn a_clock_that_is_ahead_closes_nothing() {
    let records = [(10, vec![(9, "a"), (1000, "a"), (16, "a")]), (11, vec![(16, "a")])];
    let reading = check(&records, false, &[]);
    assert_eq!(reading.placed[0][1..], [Placed::Ahead, Placed::Ahead]);
    assert_eq!(reading.placed[1], [Placed::In(at(60))]);
}

#[test]
fn a_window_that_gets_nothing_for_long_is_closed_by_other_records() {
    let records = [(10, vec![(9, "a")]), (129, vec![]), (130, vec![]), (131, vec![(59, "a")])];
    check(&records[..2], false, &[]);
    let reading = check(&records, false, &[(60, "a", "n=1 sum=9 users=1")]);
    assert_eq!(reading.placed[3], [Placed::Late]);
}

#[test]
fn a_window_takes_no_more_groups_and_bytes_than_it_has_room_for() {
    let groups = Window { max_groups: 2, ..window(60) };
    let records = [(60, vec![(1, "a"), (1, "b"), (1, "c"), (2, "a"), (61, "c")])];
    let placed = &read(&groups, None, &records, false).placed[0];
    let (first, second) = (at(60), at(120));
    let full = Placed::Full(first);
    assert_eq!(
        placed[..],
        [Placed::In(first), Placed::In(first), full, Placed::In(first), Placed::In(second)]
    );
    let bytes = Window { max_bytes: 400, ..window(60) };
    let records = [(60, vec![(1, "a"), (1, "a"), (2, "a"), (3, "a"), (4, "a")])];
    let reading = read(&bytes, None, &records, true);
    let full = reading.placed[0].iter().filter(|placed| matches!(placed, Placed::Full(_)));
    assert_eq!(full.count(), 2, "{:?}", reading.placed);
    assert_eq!(reading.rows.values().collect::<Vec<_>>(), ["n=3 sum=4 users=2"]);
}

fn some_records() -> impl Strategy<Value = Vec<Record>> {
    let item = (-100i64..8, prop::sample::select(vec!["a", "b", "c"]));
    let gap = prop_oneof![8 => 0i64..20, 1 => 100i64..200];
    let record = (gap, prop::collection::vec(item, 0..4));
    prop::collection::vec(record, 1..60).prop_map(|records| {
        let mut now = 1_700_000_000;
        let mut place = |(gap, items): (i64, Vec<(i64, &'static str)>)| {
            now += gap;
            (now, items.into_iter().map(|(behind, group)| (now + behind, group)).collect())
        };
        records.into_iter().map(&mut place).collect()
    })
}

proptest! {
    /// Whoever reads on behind any record, with nothing but the watermark of that record, comes to
    /// the same end: the windows that have nothing before it are built whole, and all others are
    /// recognised. That is why a checkpoint that waits for the windows with something before it loses
    /// nothing and makes no part of a row.
    #[test]
    fn who_reads_on_from_any_record_builds_the_same_windows(
        records in some_records(),
        lateness in 0u64..60,
        max_groups in 1usize..4,
        at in any::<prop::sample::Index>(),
        again in any::<prop::sample::Index>(),
    ) {
        let window =
            Window { lateness: Duration::from_secs(lateness), max_groups, ..window(30) };
        let whole = read(&window, None, &records, true);
        let at = at.index(records.len());
        let (mark, rest) = (whole.marks[at], &records[at + 1..]);
        let through = mark.map_or(i64::MIN, |mark| mark.through.0 / 1000);
        let behind = read(&window, mark, rest, true);
        let expect: Rows =
            whole.rows.iter().filter(|((end, _), _)| *end > through).map(|(k, v)| (k.clone(), v.clone())).collect();
        prop_assert_eq!(&behind.rows, &expect);
        prop_assert_eq!(&behind.marks[..], &whole.marks[at + 1..]);
        for (once, twice) in whole.placed[at + 1..].iter().zip(&behind.placed).flat_map(|(a, b)| a.iter().zip(b)) {
            let before = |placed: &Placed| match placed {
                Placed::In(end) | Placed::Full(end) => end.0 / 1000 <= through,
                _ => false,
            };
            let expect = if before(once) { Placed::Delivered } else { *once };
            prop_assert_eq!(*twice, expect);
        }
        // And once more, from a record behind that.
        if !rest.is_empty() {
            let again = again.index(rest.len());
            let third = read(&window, behind.marks[again], &rest[again + 1..], true);
            let through = behind.marks[again].map_or(i64::MIN, |mark| mark.through.0 / 1000);
            let expect: Rows =
                whole.rows.iter().filter(|((end, _), _)| *end > through).map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(third.rows, expect);
        }
    }

    /// Each document is in one window, or it is said where it is.
    #[test]
    fn every_item_is_in_a_row_or_accounted_for(records in some_records()) {
        let window = window(30);
        let reading = read(&window, None, &records, true);
        let placed = reading.placed.iter().flatten().filter(|p| matches!(p, Placed::In(_))).count();
        let count = |row: &String| row.strip_prefix("n=").unwrap().split(' ').next().unwrap().parse::<usize>().unwrap();
        prop_assert_eq!(reading.rows.values().map(count).sum::<usize>(), placed);
    }
}
