//! What takes dead letters: it must never refuse one, or have a second that does not.

use super::Checks;
use crate::{
    config::{DeadLetterSettings, Settings},
    sinks::ObjectFormat,
};

impl Checks<'_> {
    pub(super) fn letters(&mut self, settings: &Settings) {
        let DeadLetterSettings { sink, fallback } = &settings.dead_letter;
        self.that(
            fallback.as_ref() != Some(sink),
            "dead_letter.fallback",
            "is dead_letter.sink itself: name another one",
        );
        let has_columns = |name: &String| {
            let objects = settings.sinks.get(name).and_then(|entry| entry.sink.objects());
            objects.is_some_and(|(config, _)| config.format == ObjectFormat::Parquet)
        };
        let message = "writes columns, and a letter that does not fit them would make its shard wait: \
            name a sink that takes any, such as a file sink";
        match fallback {
            None => self.that(
                !has_columns(sink),
                "dead_letter.sink",
                format!("{message}, here or in dead_letter.fallback"),
            ),
            Some(fallback) => self.that(!has_columns(fallback), "dead_letter.fallback", message),
        }
    }
}
