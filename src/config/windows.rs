//! The windows of routes: from settings to something that runs.

use std::{collections::HashSet, time::Duration};

use super::{RouteSettings, compile::Compiler};
use crate::etl::{
    FieldPath,
    window::{Aggregate, LONGEST, Late, RESERVED, SHORTEST, Window},
};

/// What `window_late` says for the dead letters.
const DEAD_LETTER: &str = "dead-letter";
/// Most windows of one route that may be open at a time, each with its own memory.
const MOST_OPEN: u32 = 60;

impl Compiler<'_> {
    /// The window of a route, if it has one and nothing is wrong with it.
    pub(super) fn window(&mut self, key: &str, route: &RouteSettings) -> Option<Window> {
        let size = route.window?;
        self.window_limits(key, size, route);
        let time = route.window_time.as_deref();
        let time = time.and_then(|path| self.field(&format!("{key}.window_time"), path));
        let (group_by, aggregates) = (self.groups(key, route), self.aggregates(key, route));
        self.window_names(key, &group_by, &aggregates);
        let late = match &*route.window_late {
            DEAD_LETTER => Late::DeadLetter,
            sink => Late::Sink(self.sink(&format!("{key}.window_late"), sink)?),
        };
        Some(Window {
            size,
            lateness: route.window_lateness,
            idle: route.window_idle.unwrap_or(size + route.window_lateness),
            ahead: route.window_ahead,
            time,
            group_by,
            aggregates,
            late,
            max_groups: route.window_max_groups,
            max_bytes: usize::try_from(route.window_max_bytes.as_u64()).unwrap_or(usize::MAX),
        })
    }

    fn window_limits(&mut self, key: &str, size: Duration, route: &RouteSettings) {
        let RouteSettings { window_lateness: lateness, window_idle, window_ahead, .. } = route;
        if !(SHORTEST..=LONGEST).contains(&size) {
            let message = "must be from 1s to 15m: the checkpoint waits for it, and after a crash its \
                records are read again";
            self.problem(format!("{key}.window"), message);
        } else if *lateness > LONGEST || *lateness > size * MOST_OPEN {
            let message = format!("must be at most 15m, and {MOST_OPEN} windows");
            self.problem(format!("{key}.window_lateness"), message);
        }
        if *window_ahead > LONGEST {
            self.problem(format!("{key}.window_ahead"), "must be at most 15m");
        }
        if window_idle.is_some_and(|idle| idle < SHORTEST) {
            self.problem(format!("{key}.window_idle"), "must be at least 1s");
        }
        if route.window_max_groups == 0 {
            self.problem(format!("{key}.window_max_groups"), "must be at least 1");
        }
        if route.window_max_bytes.as_u64() < 1024 {
            self.problem(format!("{key}.window_max_bytes"), "must be at least 1KiB");
        }
    }

    fn field(&mut self, key: &str, path: &str) -> Option<FieldPath> {
        FieldPath::parse_single(path).map_err(|error| self.problem(key, error.to_string())).ok()
    }

    /// The fields that make the groups, by the last part of their paths.
    fn groups(&mut self, key: &str, route: &RouteSettings) -> Vec<(String, FieldPath)> {
        let key = format!("{key}.group_by");
        let field = |path: &String| {
            let name = path.rsplit(['.', '\'', ']', '[']).find(|part| !part.is_empty());
            Some((name.unwrap_or(path).to_owned(), self.field(&key, path)?))
        };
        route.group_by.iter().filter_map(field).collect()
    }

    fn aggregates(&mut self, key: &str, route: &RouteSettings) -> Vec<(String, Aggregate)> {
        let key = format!("{key}.aggregates");
        let mut aggregates = Vec::with_capacity(route.aggregates.len());
        for (name, text) in &route.aggregates {
            match text.parse() {
                Ok(aggregate) => aggregates.push((name.clone(), aggregate)),
                Err(error) => self.problem(&*key, format!("{name}: {error}")),
            }
        }
        aggregates
    }

    /// Each name of a row is one field.
    fn window_names(
        &mut self,
        key: &str,
        group_by: &[(String, FieldPath)],
        aggregates: &[(String, Aggregate)],
    ) {
        let mut names: HashSet<&str> = RESERVED.into_iter().collect();
        let groups = group_by.iter().map(|(name, _)| ("group_by", name));
        for (own, name) in groups.chain(aggregates.iter().map(|(name, _)| ("aggregates", name))) {
            if !names.insert(name) {
                let message = format!("the row has a field {name:?} already");
                self.problem(format!("{key}.{own}"), message);
            }
        }
    }
}
