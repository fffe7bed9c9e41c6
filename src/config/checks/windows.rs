//! What goes together with the window of a route.

use super::Checks;
use crate::config::{RetrySettings, Settings, SinkEntry, schema};

impl Checks<'_> {
    pub(super) fn windows(&mut self, settings: &Settings) {
        for (index, route) in settings.routes.iter().enumerate() {
            let key = format!("routes[{index}]");
            if route.window.is_none() {
                self.no_window(&key);
                continue;
            }
            if let Some(entry) = settings.sinks.get(&route.sink) {
                self.sink_of_rows(&format!("{key}.sink"), entry);
            }
            let late = settings.sinks.get(&route.window_late);
            let message = "names a sink that writes objects, each with the events of one range of the \
                shard; what is late is decided anew after a crash, so name a sink of another type";
            let fine = late.is_none_or(|entry| entry.sink.objects().is_none());
            self.that(fine, format!("{key}.window_late"), message);
        }
    }

    /// A row belongs to many events: it is not given up for the age of one, and has no place among
    /// them.
    fn sink_of_rows(&mut self, key: &str, entry: &SinkEntry) {
        let RetrySettings { maximum_retry_attempts, maximum_record_age, .. } = &entry.retry;
        let message = "names a sink that gives events up (maximum_retry_attempts, \
            maximum_record_age): a row of a window belongs to many of them, so its sink must be tried \
            for ever";
        let fine = maximum_retry_attempts.is_none() && maximum_record_age.is_none();
        self.that(fine, key, message);
        let message = "names a sink that writes objects, each with the events of one range of the \
            shard; a row of a window belongs to many events and is in no range, so name a sink of \
            another type";
        self.that(entry.sink.objects().is_none(), key, message);
    }

    fn no_window(&mut self, route: &str) {
        for key in schema::ROUTE.iter().map(|key| key.name) {
            let of_windows = key.starts_with("window_") || key == "group_by" || key == "aggregates";
            let key = format!("{route}.{key}");
            let stray = of_windows && self.places.exactly(&key).is_some();
            self.that(!stray, key, "needs a window, as in window = \"60s\"");
        }
    }
}
