//! Routes: which events go through which checks to which sink.

use std::sync::Arc;

use wildmatch::WildMatch;

use super::{
    FieldTest, Program, Validation, filter::FilterPattern, view::EventView, window::Window,
};
use crate::model::LogEvent;

/// One route of a pipeline. It takes the events that meet all its conditions; one without conditions
/// takes all that come to it.
pub struct Route {
    /// Its name, for counters and dead letters.
    pub name: String,
    /// Condition: the message matches.
    pub filter: Option<FilterPattern>,
    /// Condition: the event is of one of these log groups (`*` and `?` are wildcards).
    pub log_groups: Vec<WildMatch>,
    /// Condition: the message is a JSON object whose fields hold these values.
    pub fields: Vec<FieldTest>,
    /// Condition: no route before this one has taken the event.
    pub default: bool,
    /// Whether later routes see an event that this one takes.
    pub also: bool,
    /// What an event must satisfy.
    pub validation: Validation,
    /// The program that makes the event that is delivered.
    pub transform: Option<Program>,
    /// What its documents are aggregated into, instead of being delivered each by itself.
    pub window: Option<Arc<Window>>,
    /// Index of the sink, unless the program names another; of the rows, where there is a window.
    pub sink: usize,
}

impl Route {
    /// A route that takes everything and delivers it as it is.
    pub fn new(name: impl Into<String>, sink: usize) -> Self {
        Self {
            name: name.into(),
            filter: None,
            log_groups: Vec::new(),
            fields: Vec::new(),
            default: false,
            also: false,
            validation: Validation::default(),
            transform: None,
            window: None,
            sink,
        }
    }

    /// Whether this route takes an event. `taken` says that an earlier one has.
    pub(super) fn takes(&self, view: &EventView<'_>, taken: bool) -> bool {
        let LogEvent { source, message, .. } = view.event;
        !(self.default && taken)
            && (self.log_groups.is_empty()
                || self.log_groups.iter().any(|glob| glob.matches(&source.log_group)))
            && self.fields.iter().all(|field| field.holds(view.root()))
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches_with(message.as_str(), || view.root()))
    }

    /// Whether it looks into messages. If not, they need not be read.
    pub(super) fn reads_messages(&self) -> bool {
        self.filter.is_some()
            || !self.fields.is_empty()
            || self.validation.reads_messages()
            || self.transform.is_some()
            || self.window.is_some()
    }

    /// Whether this route takes all events that `other` takes, as far as the conditions say without
    /// looking into filter patterns: two different ones might always match together.
    fn takes_all_of(&self, other: &Self) -> bool {
        let all = WildMatch::new("*");
        let groups = self.log_groups.is_empty()
            || self.log_groups.contains(&all)
            || (!other.log_groups.is_empty()
                && other
                    .log_groups
                    .iter()
                    .all(|glob| self.log_groups.iter().any(|mine| glob_covers(mine, glob))));
        let fields =
            self.fields.iter().all(|mine| other.fields.iter().any(|field| mine.covers(field)));
        let filter = self
            .filter
            .as_ref()
            .is_none_or(|mine| mine.is_everything() || other.filter.as_ref() == Some(mine));
        groups && fields && filter
    }
}

/// The routes that can never match, each with the earlier route that leaves nothing for it, by index.
pub fn unreachable(routes: &[Route]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (later, route) in routes.iter().enumerate() {
        let mut also_before = false;
        for (earlier, taker) in routes.iter().enumerate().take(later) {
            // A default route lets go what `also` routes before it have taken.
            let keeps = !(taker.also || taker.default && also_before);
            if (keeps || route.default) && taker.takes_all_of(route) {
                found.push((later, earlier));
                break;
            }
            also_before |= taker.also;
        }
    }
    found
}

/// Whether a glob matches all that another does. A `*` of the other can only be matched by a `*`,
/// which takes any characters as it takes this one; a `?` would take it for one character.
fn glob_covers(glob: &WildMatch, other: &WildMatch) -> bool {
    let (glob_text, other_text) = (glob.to_string(), other.to_string());
    glob_text == other_text || (!glob_text.contains('?') && glob.matches(&other_text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etl::{FieldPath, FieldValue};

    fn groups(globs: &[&str]) -> Route {
        let log_groups = globs.iter().map(|glob| WildMatch::new(glob)).collect();
        Route { log_groups, ..Route::new("r", 0) }
    }

    fn filter(pattern: &str) -> Route {
        Route { filter: Some(FilterPattern::parse(pattern).unwrap()), ..Route::new("r", 0) }
    }

    fn field(values: &[&str]) -> Route {
        let values = values.iter().map(|text| FieldValue::Text((*text).to_owned())).collect();
        let test = FieldTest::new(FieldPath::parse("type").unwrap(), values);
        Route { fields: vec![test], ..Route::new("r", 0) }
    }

    fn check(routes: &[Route], expect: &[(usize, usize)]) {
        assert_eq!(unreachable(routes), expect);
    }

    fn all() -> Route {
        Route::new("r", 0)
    }

    fn also() -> Route {
        Route { also: true, ..all() }
    }

    fn default() -> Route {
        Route { default: true, ..all() }
    }

    #[test]
    fn a_route_that_takes_everything_leaves_nothing_for_the_next() {
        check(
            &[all(), all(), groups(&["/a"]), filter("x"), field(&["x"])],
            &[(1, 0), (2, 0), (3, 0), (4, 0)],
        );
        check(&[groups(&["/a"]), filter("x"), field(&["x"]), all()], &[]);
    }

    #[test]
    fn conditions_are_compared_one_by_one() {
        let hides = |earlier: Route, later: Route, expect: bool| {
            check(&[earlier, later], if expect { &[(1, 0)] } else { &[] });
        };
        hides(filter(""), all(), true);
        hides(groups(&["/a*"]), groups(&["/a", "/ab*", "/a*c?"]), true);
        hides(groups(&["/a*"]), groups(&["/a", "/b"]), false);
        hides(groups(&["*"]), groups(&["/b"]), true);
        hides(groups(&["*"]), all(), true);
        hides(groups(&["/?"]), groups(&["/*"]), false);
        hides(groups(&["/?"]), groups(&["/?"]), true);
        hides(filter("x"), filter("x"), true);
        hides(filter("x"), filter("y"), false);
        hides(filter("x"), all(), false);
        hides(field(&["x", "y"]), field(&["y"]), true);
        hides(field(&["y"]), field(&["x", "y"]), false);
        hides(field(&["y"]), all(), false);
    }

    #[test]
    fn also_and_default_are_minded() {
        check(&[also(), all()], &[]);
        check(&[also(), default()], &[(1, 0)]);
        check(&[all(), default()], &[(1, 0)]);
        check(&[filter("x"), default(), all()], &[(2, 1)]);
        // What the first has taken goes past the default route.
        check(&[Route { also: true, ..filter("x") }, default(), all()], &[]);
        check(&[Route { also: true, ..filter("x") }, default(), default()], &[(2, 1)]);
    }
}
