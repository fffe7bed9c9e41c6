//! Explaining records one after the other, with the windows that they make: as a shard is read whose
//! reading comes to an end behind the last one.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Explanation, Outcome, Pipeline, SourceRecord, Stage, Unplaced, Windowed,
    window::{Closed, Late, Placed, Tumbling, Window},
};

/// Explains records in their order.
pub struct Explainer<'p> {
    pipeline: &'p Pipeline,
    /// The windows of each shard and route.
    windows: BTreeMap<(String, String, usize), Tumbling>,
    /// The last record of each shard.
    last: BTreeMap<(String, String), SourceRecord>,
}

impl<'p> Explainer<'p> {
    /// An explainer that has seen nothing.
    pub fn new(pipeline: &'p Pipeline) -> Self {
        Self { pipeline, windows: BTreeMap::new(), last: BTreeMap::new() }
    }

    /// Processes a record and explains what came of it: its events and their routes in order, then the
    /// rows of the windows that it closes.
    pub fn explain(&mut self, record: &SourceRecord) -> Vec<Explanation> {
        let mut processed = self.pipeline.process(record);
        let windowed = std::mem::take(&mut processed.windowed);
        let (source, arrival) = (&record.source, record.record.arrival);
        let shard = (source.stream.to_string(), source.shard.to_string());
        self.last.insert(shard.clone(), record.clone());
        let mut rows = Vec::new();
        for (route, _, window, _) in self.pipeline.windows() {
            let key = (shard.0.clone(), shard.1.clone(), route);
            let new = || Tumbling::new(Arc::clone(window), None);
            let tumbling = self.windows.entry(key).or_insert_with(new);
            rows.extend(tumbling.begin(arrival).into_iter().map(|closed| (route, closed)));
        }
        let said: Vec<_> = windowed
            .iter()
            .filter_map(|one| Some((one.event, one.route, self.placed(&shard, one, record)?)))
            .collect();
        for ((_, _, route), tumbling) in self.of(&shard) {
            rows.extend(tumbling.end(arrival).into_iter().map(|closed| (*route, closed)));
        }
        let mut found = self.pipeline.explained(record, processed, &said);
        found.extend(rows.into_iter().flat_map(|(route, closed)| self.rows(&shard, route, closed)));
        found
    }

    /// Closes all windows, as at the end of a shard.
    pub fn finish(&mut self) -> Vec<Explanation> {
        let shards: Vec<_> = self.last.keys().cloned().collect();
        let mut found = Vec::new();
        for shard in shards {
            let closed: Vec<_> = self
                .of(&shard)
                .flat_map(|((_, _, route), tumbling)| {
                    tumbling.finish().into_iter().map(|closed| (*route, closed))
                })
                .collect();
            found.extend(
                closed.into_iter().flat_map(|(route, closed)| self.rows(&shard, route, closed)),
            );
        }
        found
    }

    fn of(
        &mut self,
        shard: &(String, String),
    ) -> impl Iterator<Item = (&(String, String, usize), &mut Tumbling)> {
        let (stream, shard) = shard;
        self.windows.iter_mut().filter(move |((s, id, _), _)| s == stream && id == shard)
    }

    fn placed(
        &mut self,
        shard: &(String, String),
        one: &Windowed,
        record: &SourceRecord,
    ) -> Option<Explanation> {
        let key = (shard.0.clone(), shard.1.clone(), one.route);
        let tumbling = self.windows.get_mut(&key)?;
        let route = self.pipeline.route_name(Some(one.route));
        // What is replayed is in no window.
        let why = match record.replayed {
            Some(_) => Unplaced::Replayed,
            None => match tumbling.place(&one.item, record.record.arrival) {
                Placed::In(end) => {
                    let reason = Some(format!("in the window that ends at {end}"));
                    let new = Explanation::new(Outcome::Windowed);
                    return Some(Explanation { route, reason, ..new });
                }
                Placed::Late => Unplaced::Late,
                Placed::Ahead => Unplaced::Ahead,
                // Nothing was delivered before.
                Placed::Full(_) | Placed::Delivered => Unplaced::Full,
            },
        };
        let reason = Some(why.reason().to_owned());
        let late = matches!(why, Unplaced::Late | Unplaced::Replayed);
        let window = self.window(one.route)?;
        Some(match (window.late, &one.json) {
            (Late::Sink(sink), Some(json)) if late => Explanation {
                route,
                reason,
                sink: self.pipeline.sink_name(sink),
                output: serde_json::from_slice(json).ok(),
                ..Explanation::new(Outcome::Delivered)
            },
            _ => Explanation {
                route,
                reason,
                stage: Some(Stage::Window),
                ..Explanation::new(Outcome::DeadLettered)
            },
        })
    }

    fn window(&self, route: usize) -> Option<Arc<Window>> {
        let mut windows = self.pipeline.windows();
        windows.find(|(number, ..)| *number == route).map(|(_, _, window, _)| Arc::clone(window))
    }

    fn rows(&self, shard: &(String, String), route: usize, closed: Closed) -> Vec<Explanation> {
        let Some(record) = self.last.get(shard) else { return Vec::new() };
        let rows = self.pipeline.rows(record, route, closed);
        rows.iter().map(|row| self.pipeline.delivery(row).1).collect()
    }
}
