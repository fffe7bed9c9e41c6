//! A route with windows: what an oracle makes of the records put, and what its sink was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rand::RngExt;
use shardwright::{
    codec::deaggregate,
    etl::{
        FieldPath, Program, Route,
        filter::FilterPattern,
        window::{Late, Window},
    },
    model::{Breach, EpochMillis, Invariant, OutputEvent, Position, RawRecord},
    ports::{Sink, SinkError, Verdict},
};
use tokio::time::sleep;

use crate::{
    known::Part,
    stream::{Place, Stream},
    world::{Fate, Port, WorkerNo, World},
};

/// Seconds.
const SIZE: i64 = 10_000;
const LATENESS: i64 = 4_000;
const IDLE: i64 = 15_000;

/// Index of the sinks of rows and of late documents.
pub(crate) const ROWS: usize = 2;
pub(crate) const LATE: usize = 3;

/// Which seeds have such a route.
pub(crate) fn of(seed: u64) -> bool {
    seed % 4 == 3
}

/// When an event happened: mostly a little before it is put, sometimes long before.
pub(crate) fn time(number: u64, now: i64) -> i64 {
    let number = i64::try_from(number).unwrap();
    now - if number % 13 == 0 { 30_000 } else { number * 7919 % 6_000 }
}

pub(crate) fn route() -> Route {
    let path = |path| FieldPath::parse_single(path).unwrap();
    let millis = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap());
    let program = r#"parts = split(string!(.message), " ")
        n = to_int!(parts[1])
        . = {"t": to_int!(parts[2]), "g": mod(n, 3), "v": n}"#;
    let window = Window {
        size: millis(SIZE),
        lateness: millis(LATENESS),
        idle: millis(IDLE),
        ahead: millis(1_000),
        time: Some(path("t")),
        group_by: vec![("g".to_owned(), path("g"))],
        aggregates: [("n", "count"), ("sum", "sum v"), ("most", "max v"), ("p50", "p50 v")]
            .map(|(name, text)| (name.to_owned(), text.parse().unwrap()))
            .to_vec(),
        late: Late::Sink(LATE),
        max_groups: 100,
        max_bytes: 1 << 20,
    };
    Route {
        filter: Some(FilterPattern::parse("event").unwrap()),
        transform: Some(Program::compile(program).unwrap()),
        window: Some(Arc::new(window)),
        ..Route::new("windows", ROWS)
    }
}

/// One group of a window of a shard: the shard, the end, the group.
type Row = (Place, String, i64);

/// What the sinks of the route were given.
#[derive(Default)]
pub(crate) struct Windows {
    /// Each version of each row.
    rows: BTreeMap<Row, BTreeSet<String>>,
    /// Late events, by their numbers.
    late: BTreeSet<(Place, i64)>,
}

/// What they must be given.
#[derive(Default)]
struct Oracle {
    rows: BTreeMap<Row, Vec<i64>>,
    late: BTreeSet<(Place, i64)>,
}

impl Oracle {
    fn of(stream: &Stream) -> Self {
        let mut oracle = Self::default();
        for (place, shard) in &stream.shards {
            oracle.shard(place, &shard.records);
        }
        oracle
    }

    fn shard(&mut self, place: &Place, records: &[RawRecord]) {
        for Event { number, end, .. } in events(records) {
            let Some(end) = end else {
                self.late.insert((place.clone(), number));
                continue;
            };
            let row = (place.clone(), format!("{end:015}"), group(number));
            self.rows.entry(row).or_default().push(number);
        }
    }
}

/// An event of a shard.
struct Event {
    position: Position,
    number: i64,
    /// Where its window ends, unless it came too late for it.
    end: Option<i64>,
}

fn group(number: i64) -> i64 {
    number % 3
}

/// The events of a shard, in order.
fn events(records: &[RawRecord]) -> Vec<Event> {
    let mut mark: Option<(i64, i64, i64)> = None;
    let mut events = Vec::new();
    let members = records.iter().flat_map(|record| deaggregate(record).records);
    for user in members {
        let arrival = user.arrival.0;
        if let Some((seen, through, arrived)) = &mut mark
            && arrival - *arrived >= IDLE
        {
            *seen = (*seen).max(*through + LATENESS);
        }
        let text = std::str::from_utf8(&user.data).unwrap_or_default();
        let Some(text) = text.strip_prefix("event ") else { continue };
        let mut words = text.split(' ').map(str::parse::<i64>);
        let (Some(Ok(number)), Some(Ok(time))) = (words.next(), words.next()) else { continue };
        let end = time - time.rem_euclid(SIZE) + SIZE;
        let late = mark.is_some_and(|(seen, ..)| end <= seen - LATENESS);
        if !late {
            let (seen, through) = mark.map_or((time, end), |(seen, through, _)| (seen, through));
            mark = Some((seen.max(time), through.max(end), arrival));
        }
        events.push(Event { position: user.position, number, end: (!late).then_some(end) });
    }
    events
}

/// What a checkpoint waits for before an event, beside the event itself: its delivery as a late one, or
/// all rows of its window and of those that end before it, for windows are delivered in the order of
/// their ends. Of windows that something before the event is in, or that end before such a one, nothing:
/// the checkpoint would have waited before.
pub(crate) fn needs(stream: &Stream, place: &Place, next: &Position) -> Vec<Part> {
    let events = events(&stream.shard(place).records);
    let Some(index) = events.iter().position(|event| event.position == *next) else {
        return Vec::new();
    };
    let Some(last) = events[index].end else { return vec![Part::Late(next.clone())] };
    let delivered = events[..index].iter().filter_map(|event| event.end).max();
    let row = |event: &Event| {
        let end = event.end.filter(|end| *end <= last && Some(*end) > delivered)?;
        Some(Part::Row(end, group(event.number)))
    };
    events[index..].iter().filter_map(row).collect()
}

fn json(event: &OutputEvent) -> serde_json::Value {
    serde_json::from_slice(&event.json).unwrap()
}

/// The end and the group of a row.
fn row(json: &serde_json::Value) -> (i64, i64) {
    let end: EpochMillis = json["window_end"].as_str().unwrap().parse().unwrap();
    (end.0, json["g"].as_i64().unwrap())
}

/// A row as it must look.
fn text(values: &[i64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let (count, sum) = (values.len(), values.iter().sum::<i64>());
    let rank = values.len().div_ceil(2) - 1;
    format!("{count} {sum} {} {}", sorted[sorted.len() - 1], sorted[rank])
}

impl Windows {
    fn row(&mut self, event: &OutputEvent) {
        let json = json(event);
        let (end, group) = row(&json);
        let row = (Place::of_event(&event.id), format!("{end:015}"), group);
        let text = format!("{} {} {} {}", json["n"], json["sum"], json["most"], json["p50"]);
        self.rows.entry(row).or_default().insert(text);
    }

    fn late(&mut self, event: &OutputEvent) {
        let json = json(event);
        self.late.insert((Place::of_event(&event.id), json["v"].as_i64().unwrap()));
    }

    /// Whether everything is there that must be.
    pub(crate) fn complete(&self, stream: &Stream) -> bool {
        let oracle = Oracle::of(stream);
        !stream.windowed
            || oracle.rows.keys().all(|row| self.rows.contains_key(row))
                && oracle.late.is_subset(&self.late)
    }

    /// WN-1, once everything has come to rest.
    pub(crate) fn check(&self, stream: &Stream) -> Result<(), Breach> {
        if !stream.windowed {
            return Ok(());
        }
        let oracle = Oracle::of(stream);
        let broken = |what: String| Err(Invariant::WindowIsWhole.broken(what));
        for ((place, end, group), versions) in &self.rows {
            let key = (place.clone(), end.clone(), *group);
            let expect = oracle.rows.get(&key).map(|values| text(values)).unwrap_or_default();
            if versions.iter().any(|version| *version != expect) {
                let what = format!("{place}, window to {end}, group {group}");
                return broken(format!("{what}: {versions:?} instead of {expect:?}"));
            }
        }
        if let Some((place, end, group)) =
            oracle.rows.keys().find(|row| !self.rows.contains_key(*row))
        {
            return broken(format!("{place}, window to {end}, group {group} was never delivered"));
        }
        if let Some((place, number)) = oracle.late.symmetric_difference(&self.late).next() {
            return broken(format!(
                "event {number} of {place} is late, and was not delivered so, or is not"
            ));
        }
        Ok(())
    }

    pub(crate) fn late_events(&self) -> usize {
        self.late.len()
    }
}

/// The sink of rows, or of late documents: slow, down, or its answer is lost.
#[derive(Clone)]
pub(crate) struct WindowSink {
    pub(crate) world: World,
    pub(crate) worker: WorkerNo,
    pub(crate) late: bool,
}

impl WindowSink {
    async fn take(self, events: Vec<OutputEvent>) -> Result<Vec<Verdict>, SinkError> {
        let down = || SinkError::Unavailable("simulated".to_owned());
        match self.world.begin(self.worker, Port::Sink).await {
            Fate::Through => {}
            Fate::Throttled | Fate::Unavailable => return Err(down()),
        }
        let pause = {
            let mut state = self.world.lock();
            let faults = state.faults;
            let slow = state.rng.random_bool(faults.sink_slow);
            Duration::from_millis(if slow { state.rng.random_range(1_000..25_000) } else { 0 })
        };
        sleep(pause).await;
        let lost = {
            let mut state = self.world.lock();
            let faults = state.faults;
            if state.rng.random_bool(faults.sink_down) {
                return Err(down());
            }
            for event in &events {
                if self.late {
                    state.windows.late(event);
                    state.count("late document");
                } else {
                    state.windows.row(event);
                    state.count("row of a window");
                }
            }
            state.rng.random_bool(faults.sink_answer_lost)
        };
        self.world.answer().await;
        if lost { Err(down()) } else { Ok(vec![Verdict::Accepted; events.len()]) }
    }
}

#[async_trait]
impl Sink for WindowSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        // No limits of attempts here, as for dead letters.
        let grant = self.world.lock().audit.begins_delivery(self.worker, events, true);
        let answer = self.world.wire(self.clone().take(events.to_vec())).await;
        let part = |event: &OutputEvent| {
            if self.late {
                return Part::Late(event.id.position.clone());
            }
            let (end, group) = row(&json(event));
            Part::Row(end, group)
        };
        self.world.lock().audit.hears(grant, events, part, &answer);
        answer
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}
