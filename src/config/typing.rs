//! From a tree of values to settings. Each key is read on its own, so that one bad value does not
//! hide the next: it is reported, and the default stands in for it.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::{
    ConfigProblem, Setting, Settings, SinkEntry,
    kind::found,
    place::{Places, join},
    redact::may_be_secret,
    schema::{self, Absent, Key},
    source::Merged,
};

/// Settings, perhaps with problems: then defaults stand where values were bad.
pub(super) struct Draft {
    pub(super) settings: Settings,
    /// All effective values, by key.
    pub(super) listed: Vec<Setting>,
    pub(super) places: Places,
    pub(super) problems: Vec<ConfigProblem>,
}

type Table = Map<String, Value>;

/// Types what the layers hold.
pub(super) fn draft(merged: Merged) -> Draft {
    let Merged { mut root, defaults, places, problems } = merged;
    let mut typing = Typing { places, defaults, listed: Vec::new(), problems };
    let top = typing.keys("", schema::TOP, &mut root, &Table::new());
    let text = |key: &str| top.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let settings = Settings {
        application: text("application").unwrap_or_default(),
        worker_id: text("worker_id"),
        aws: typing.section("aws", schema::AWS, &mut root),
        lease: typing.section("lease", schema::LEASE, &mut root),
        consumer: typing.section("consumer", schema::CONSUMER, &mut root),
        shutdown: typing.section("shutdown", schema::SHUTDOWN, &mut root),
        admin: typing.section("admin", schema::ADMIN, &mut root),
        log: typing.section("log", schema::LOG, &mut root),
        otlp: typing.section("otlp", schema::OTLP, &mut root),
        emf: typing.section("emf", schema::EMF, &mut root),
        streams: typing.list("streams", schema::STREAM, &mut root),
        routes: typing.list("routes", schema::ROUTE, &mut root),
        sinks: typing.sinks(&mut root),
        dead_letter: typing.section("dead_letter", schema::DEAD_LETTER, &mut root),
    };
    let Typing { places, mut listed, problems, .. } = typing;
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    Draft { settings, listed, places, problems }
}

struct Typing {
    places: Places,
    defaults: Table,
    listed: Vec<Setting>,
    problems: Vec<ConfigProblem>,
}

impl Typing {
    fn problem(&mut self, key: &str, message: String) {
        let place = self.places.nearest(key);
        self.problems.push(ConfigProblem { place, key: key.to_owned(), message });
    }

    /// Whether this should have been a table and is none; then all its keys are missing.
    fn has_problem(&self, table: &str) -> bool {
        !table.is_empty() && self.problems.iter().any(|problem| problem.key == table)
    }

    fn section<T: DeserializeOwned + Default>(
        &mut self,
        name: &str,
        keys: &[Key],
        root: &mut Table,
    ) -> T {
        let defaults = self.defaults.get(name).cloned();
        let defaults = defaults.and_then(|value| value.into_table().ok()).unwrap_or_default();
        let mut table = self.table(name, &format!("[{name}]"), root.remove(name));
        let typed = self.keys(name, keys, &mut table, &defaults);
        self.unknown(name, &format!("[{name}]"), &[keys], &table);
        self.typed(name, typed).unwrap_or_default()
    }

    fn list<T: DeserializeOwned>(&mut self, name: &str, keys: &[Key], root: &mut Table) -> Vec<T> {
        let shown = format!("[[{name}]]");
        let items = match root.remove(name) {
            None => Vec::new(),
            Some(Value { kind: ValueKind::Array(items), .. }) => items,
            Some(other) => {
                self.problem(name, format!("expected {shown} tables; found {}", found(&other)));
                Vec::new()
            }
        };
        let mut typed = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let key = format!("{name}[{index}]");
            let mut table = self.table(&key, &shown, Some(item));
            let values = self.keys(&key, keys, &mut table, &Table::new());
            self.unknown(&key, &shown, &[keys], &table);
            typed.extend(self.typed(&key, values));
        }
        typed
    }

    fn sinks(&mut self, root: &mut Table) -> BTreeMap<String, SinkEntry> {
        let table = self.table("sinks", "for each sink: [sinks.NAME]", root.remove("sinks"));
        // In order, for the problems' sake.
        let table: BTreeMap<String, Value> = table.into_iter().collect();
        let mut sinks = BTreeMap::new();
        for (name, entry) in table {
            let entry = self.sink(&join("sinks", &name), entry);
            sinks.extend(entry.map(|entry| (name, entry)));
        }
        sinks
    }

    /// A sink. One of an unknown type stays as one that does nothing wrong, so that what refers to
    /// it is not reported too.
    fn sink(&mut self, key: &str, entry: Value) -> Option<SinkEntry> {
        let shown = format!("[{key}]");
        let mut table = self.table(key, &shown, Some(entry));
        let mut own = self.keys(key, &[schema::SINK_TYPE], &mut table, &Table::new());
        let kind = own.get("type").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let batch_keys = schema::batch_keys(&kind);
        let batch = self.keys(key, batch_keys, &mut table, &Table::new());
        let retry = self.keys(key, schema::RETRY, &mut table, &Table::new());
        if kind.is_empty() {
            own.insert("type".to_owned(), "file".into());
            own.insert("path".to_owned(), ".".into());
        } else {
            let keys = schema::sink_keys(&kind);
            own.extend(self.keys(key, keys, &mut table, &Table::new()));
            let known = [&[schema::SINK_TYPE], batch_keys, schema::RETRY, keys];
            self.unknown(key, &shown, &known, &table);
        }
        Some(SinkEntry {
            batch: self.typed(key, batch)?,
            retry: self.typed(key, retry)?,
            sink: self.typed(key, own)?,
        })
    }

    /// The table at a key; an empty one when it is something else.
    fn table(&mut self, key: &str, shown: &str, value: Option<Value>) -> Table {
        match value {
            None => Table::new(),
            Some(Value { kind: ValueKind::Table(table), .. }) => table,
            Some(other) => {
                self.problem(key, format!("expected a table {shown}; found {}", found(&other)));
                Table::new()
            }
        }
    }

    /// Reads these keys, and takes them out of the table.
    fn keys(
        &mut self,
        prefix: &str,
        keys: &[Key],
        table: &mut Table,
        defaults: &Table,
    ) -> toml::Table {
        let mut typed = toml::Table::new();
        for key in keys {
            let path = join(prefix, key.name);
            let value = match table.remove(key.name).map(|value| self.read(&path, key, &value)) {
                Some(Ok(value)) => Some(value),
                Some(Err(message)) => {
                    self.problem(&path, message);
                    stand_in(key, defaults)
                }
                None => {
                    if let Absent::Missing(example) = key.absent
                        && !self.has_problem(prefix)
                    {
                        self.problem(&path, format!("missing: {example}"));
                    }
                    stand_in(key, defaults)
                }
            };
            if let Some(value) = value {
                let origin = self.places.exactly(&path).map(ToString::to_string);
                let origin = origin.unwrap_or_else(|| "default".to_owned());
                self.listed.push(Setting::new(path, &value, origin));
                typed.insert(key.name.to_owned(), value);
            }
        }
        typed
    }

    fn read(&self, path: &str, key: &Key, value: &Value) -> Result<toml::Value, String> {
        let read = match &value.kind {
            ValueKind::String(text) if self.places.is_variable(path) => key.kind.parse(text),
            _ => key.kind.read(value),
        };
        // Not what was found: it may be the secret in another spelling.
        read.map_err(|why| match may_be_secret(path, value) {
            true => format!("expected {}", key.kind.expected()),
            false => why,
        })
    }

    /// Reports what is left in a table.
    fn unknown(&mut self, prefix: &str, shown: &str, known: &[&[Key]], left: &Table) {
        let names: Vec<&str> = known.iter().copied().flatten().map(|key| key.name).collect();
        for name in left.keys() {
            let message = format!("unknown key; {shown} has {}", names.join(", "));
            self.problem(&join(prefix, name), message);
        }
    }

    /// Tests hold the tables of keys and the structs together, so this cannot go wrong for a value
    /// that was read, except that a number may not fit this machine.
    fn typed<T: DeserializeOwned>(&mut self, key: &str, table: toml::Table) -> Option<T> {
        let typed = toml::Value::Table(table).try_into();
        typed.map_err(|error: toml::de::Error| self.problem(key, error.message().to_owned())).ok()
    }
}

/// What stands where a value is absent or bad.
fn stand_in(key: &Key, defaults: &Table) -> Option<toml::Value> {
    match key.absent {
        Absent::Fine => defaults.get(key.name).and_then(|value| key.kind.read(value).ok()),
        Absent::Default(text) => key.kind.parse(text).ok(),
        // The type of a sink decides what else it may hold: nothing can stand in for that.
        Absent::Missing(_) if key.name == schema::SINK_TYPE.name => None,
        Absent::Missing(_) => Some(String::new().into()),
    }
}
