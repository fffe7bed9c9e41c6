//! Where each key was set: file and line, or environment variable.

use std::{collections::BTreeMap, fmt, iter};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where a key was set. They sort as a person reads: file by file and line by line, then the
/// environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file.
    Line {
        /// The file, as it was named.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A file as a whole.
    File(String),
    /// Nowhere: nobody set it.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Variable(name) | Self::File(name) => f.write_str(name),
            Self::Nowhere => f.write_str("default"),
        }
    }
}

/// The places of all keys and tables that somebody set; the last layer that sets a key wins.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    keys: BTreeMap<String, Place>,
    last_file: Option<String>,
}

impl Places {
    /// Notes the keys of a file.
    pub(super) fn add_file(&mut self, name: &str, text: &str, table: &DeTable<'_>) {
        self.last_file = Some(name.to_owned());
        self.add_table(&Lines { file: name, text }, "", table);
    }

    /// Notes a key that an environment variable sets.
    pub(super) fn add_variable(&mut self, key: &str, name: &str) {
        self.set(key, Place::Variable(name.to_owned()));
    }

    /// Where exactly this key was set.
    pub(super) fn exactly(&self, key: &str) -> Option<&Place> {
        self.keys.get(key)
    }

    /// Whether an environment variable set this key.
    pub(super) fn is_variable(&self, key: &str) -> bool {
        matches!(self.exactly(key), Some(Place::Variable(_)))
    }

    /// Where a person should look for this key: where it was set, or the nearest table around it,
    /// or else the last file.
    pub(super) fn nearest(&self, key: &str) -> Place {
        let set = around(key).find_map(|part| self.keys.get(part).cloned());
        set.or_else(|| self.last_file.clone().map(Place::File)).unwrap_or(Place::Nowhere)
    }

    fn add_table(&mut self, lines: &Lines<'_>, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            self.add(lines, &join(prefix, name.get_ref()), name.span().start, value);
        }
    }

    fn add(&mut self, lines: &Lines<'_>, key: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => {
                self.keys.insert(key.to_owned(), lines.place(at));
                self.add_table(lines, key, table);
            }
            DeValue::Array(items) => {
                self.set(key, lines.place(at));
                for (index, item) in items.iter().enumerate() {
                    self.add(lines, &format!("{key}[{index}]"), item.span().start, item);
                }
            }
            _ => self.set(key, lines.place(at)),
        }
    }

    /// A value replaces all that an earlier layer had below its key.
    fn set(&mut self, key: &str, place: Place) {
        let below =
            |other: &str| other.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '[']));
        self.keys.retain(|other, _| !below(other));
        self.keys.insert(key.to_owned(), place);
    }
}

struct Lines<'t> {
    file: &'t str,
    text: &'t str,
}

impl Lines<'_> {
    fn place(&self, at: usize) -> Place {
        Place::Line { file: self.file.to_owned(), line: line_at(self.text, at) }
    }
}

/// The line, from 1, of a byte of a text.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}

/// A key and the tables around it, from within: `routes[1].sink`, `routes[1]`, `routes`.
pub(super) fn around(key: &str) -> impl Iterator<Item = &str> {
    iter::successors(Some(key), |part| part.rfind(['.', '[']).and_then(|end| part.get(..end)))
}

/// `name` within `prefix`.
pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "application = \"a\"\n\n[lease]\nfailover_time = \"10s\"\n\n[[routes]]\nname = \"one\"\n\n[[routes]]\nname = \"two\"\nsink = \"x\"\n";

    fn places(texts: &[(&str, &str)]) -> Places {
        let mut places = Places::default();
        for (name, text) in texts {
            places.add_file(name, text, DeTable::parse(text).unwrap().get_ref());
        }
        places
    }

    #[test]
    fn finds_keys_in_tables_and_arrays() {
        let places = places(&[("a.toml", TEXT)]);
        for (key, place) in [
            ("application", "a.toml:1"),
            ("lease.failover_time", "a.toml:4"),
            ("routes[0].name", "a.toml:7"),
            ("routes[1].sink", "a.toml:11"),
            ("routes[1].absent", "a.toml:9"),
            ("lease.absent", "a.toml:3"),
            ("absent", "a.toml"),
        ] {
            assert_eq!(places.nearest(key).to_string(), place, "{key}");
        }
        assert_eq!(places.exactly("lease.absent"), None);
    }

    #[test]
    fn the_last_layer_that_sets_a_key_wins() {
        let later = "lease.table = \"t\"\nroutes = [{ name = \"other\" }]";
        let mut places = places(&[("a.toml", TEXT), ("b.toml", later)]);
        places.add_variable("lease.failover_time", "SHARDWRIGHT__LEASE__FAILOVER_TIME");
        for (key, place) in [
            ("application", "a.toml:1"),
            ("lease.table", "b.toml:1"),
            ("lease.failover_time", "SHARDWRIGHT__LEASE__FAILOVER_TIME"),
            ("routes[0].name", "b.toml:2"),
            ("routes[1].sink", "b.toml:2"), // gone with the list that the later file replaced
        ] {
            assert_eq!(places.nearest(key).to_string(), place, "{key}");
        }
    }

    #[test]
    fn places_sort_by_the_number_of_the_line() {
        let line = |line| Place::Line { file: "a".to_owned(), line };
        let mut places = [Place::Nowhere, Place::Variable("V".to_owned()), line(10), line(9)];
        places.sort();
        let shown: Vec<String> = places.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a:9", "a:10", "V", "default"]);
    }
}
