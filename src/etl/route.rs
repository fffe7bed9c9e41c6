//! Routes: which events go through which checks to which sink.

use wildmatch::WildMatch;

use super::{Program, SchemaCheck, filter::FilterPattern};
use crate::model::LogEvent;

/// One route of a pipeline.
pub struct Route {
    /// Its name, for counters and dead letters.
    pub name: String,
    /// Only events whose message matches; all when absent.
    pub filter: Option<FilterPattern>,
    /// Only events of these log groups (`*` and `?` are wildcards); all when empty.
    pub log_groups: Vec<WildMatch>,
    /// Whether later routes see an event that this one takes.
    pub also: bool,
    /// The message must satisfy this schema.
    pub validate: Option<SchemaCheck>,
    /// The program that makes the event that is delivered.
    pub transform: Option<Program>,
    /// Index of the sink.
    pub sink: usize,
}

impl Route {
    /// Whether this route takes an event.
    pub fn takes(&self, event: &LogEvent) -> bool {
        let group = &event.source.log_group;
        (self.log_groups.is_empty() || self.log_groups.iter().any(|glob| glob.matches(group)))
            && self.filter.as_ref().is_none_or(|filter| filter.matches(&event.message))
    }
}
