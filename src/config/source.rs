//! Reading the layers: files and environment become one tree of values, with the place of each key.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use config::{Config, ConfigError, Map, Source, Value, ValueKind};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ConfigProblem, Place,
    place::{Places, join, line_at},
    schema,
};

/// The defaults, compiled in: every key with its documentation.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// How the environment variables of the configuration begin. The command line's own
/// (`SHARDWRIGHT_CONFIG`) have one underscore.
const PREFIX: &str = "SHARDWRIGHT__";
/// Elements of a list that the environment may name: an index makes the list that long.
const MOST_ELEMENTS: usize = 100;

/// The layers of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Files, the later ones win.
    pub files: Vec<PathBuf>,
    /// The environment to read `SHARDWRIGHT__…` from; `None` is the process's own.
    pub environment: Option<HashMap<String, String>>,
}

impl Layers {
    /// Where relative paths of schemas and programs begin: the folder of the last file.
    pub fn base(&self) -> PathBuf {
        self.files.last().and_then(|file| file.parent()).map(PathBuf::from).unwrap_or_default()
    }
}

/// The layers, merged.
pub(super) struct Merged {
    pub(super) root: Map<String, Value>,
    /// The defaults alone.
    pub(super) defaults: Map<String, Value>,
    pub(super) places: Places,
    /// Unknown tables and variables, which are not in `root`.
    pub(super) problems: Vec<ConfigProblem>,
}

/// Reads and merges the layers.
///
/// # Errors
/// Files that cannot be read or are no TOML: then nothing else can be said.
pub(super) fn merge(layers: &Layers) -> Result<Merged, Vec<ConfigProblem>> {
    let mut places = Places::default();
    let mut problems = Vec::new();
    let mut unreadable = Vec::new();
    let defaults = DeTable::parse(DEFAULTS).expect("a test reads the defaults");
    let defaults = Layer(values(defaults.get_ref()));
    let mut builder = Config::builder().add_source(defaults.clone());
    for path in &layers.files {
        let name = path.display().to_string();
        match add_file(path, &name, &mut places) {
            Ok(mut layer) => {
                layer.0.retain(|key, _| known(key, || places.nearest(key), &mut problems));
                builder = builder.add_source(layer);
            }
            Err(problem) => unreadable.push(problem),
        }
    }
    for (name, value) in environment(layers, &mut problems) {
        let Some(key) = key_of(&name) else {
            problems.push(unknown(&name, Place::Variable(name.clone())));
            continue;
        };
        if known(&key, || Place::Variable(name.clone()), &mut problems) {
            places.add_variable(&key, &name);
            let set = builder.set_override(key, value);
            builder = set.expect("the key is a path: key_of has checked it");
        }
    }
    if !unreadable.is_empty() {
        return Err(unreadable);
    }
    let merged = builder.build().expect("our layers do not fail, and merging them cannot");
    let root = merged.cache.into_table().expect("the root of a configuration is a table");
    Ok(Merged { root, defaults: defaults.0, places, problems })
}

/// Whether the top level knows this key.
fn known(key: &str, place: impl Fn() -> Place, problems: &mut Vec<ConfigProblem>) -> bool {
    let first = key.split(['.', '[']).next().unwrap_or(key);
    let known = schema::TOP.iter().any(|top| top.name == key) || schema::TABLES.contains(&first);
    // A quoted key may look like a path; the merge would take it for one.
    let quoted = key.contains(['.', '[']) && matches!(place(), Place::Line { .. });
    if !known || quoted {
        problems.push(unknown(key, place()));
        return false;
    }
    true
}

fn unknown(key: &str, place: Place) -> ConfigProblem {
    let names: Vec<&str> = schema::TOP.iter().map(|top| top.name).chain(schema::TABLES).collect();
    let message = format!("unknown key; the top level has {}", names.join(", "));
    // A variable that names no key at all.
    let key = if key.starts_with(PREFIX) { String::new() } else { key.to_owned() };
    ConfigProblem { place, key, message }
}

fn add_file(path: &Path, name: &str, places: &mut Places) -> Result<Layer, ConfigProblem> {
    let problem = |place, message| ConfigProblem { place, key: String::new(), message };
    let text = std::fs::read_to_string(path).map_err(|error| {
        problem(Place::File(name.to_owned()), format!("cannot read the file: {error}"))
    })?;
    match DeTable::parse(&text) {
        Ok(table) => {
            places.add_file(name, &text, table.get_ref());
            Ok(Layer(values(table.get_ref())))
        }
        Err(error) => {
            let line = line_at(&text, error.span().map_or(0, |span| span.start));
            let place = Place::Line { file: name.to_owned(), line };
            Err(problem(place, format!("not TOML: {}", error.message())))
        }
    }
}

/// The variables with our prefix, by name.
fn environment(layers: &Layers, problems: &mut Vec<ConfigProblem>) -> BTreeMap<String, String> {
    if let Some(given) = &layers.environment {
        let ours = given.iter().filter(|(name, _)| name.starts_with(PREFIX));
        return ours.map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    let mut found = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        match value.into_string() {
            Ok(value) => {
                found.insert(name.to_owned(), value);
            }
            Err(_) => problems.push(ConfigProblem {
                place: Place::Variable(name.to_owned()),
                key: key_of(name).unwrap_or_default(),
                message: "expected UTF-8".to_owned(),
            }),
        }
    }
    found
}

/// `SHARDWRIGHT__STREAMS__0__NAME` is `streams[0].name`.
fn key_of(variable: &str) -> Option<String> {
    let mut key = String::new();
    for part in variable.strip_prefix(PREFIX)?.split("__") {
        let part = part.to_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        key = match part.parse::<usize>() {
            Ok(index) if index < MOST_ELEMENTS && !key.is_empty() => format!("{key}[{index}]"),
            Err(_) if !part.is_empty() && part.chars().all(plain) => join(&key, &part),
            _ => return None,
        };
    }
    Some(key)
}

/// Values that are read already, as a layer.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

fn values(table: &DeTable<'_>) -> Map<String, Value> {
    table.iter().map(|(key, item)| (key.get_ref().to_string(), value(item))).collect()
}

fn value(item: &Spanned<DeValue<'_>>) -> Value {
    let kind = match item.get_ref() {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Boolean(flag) => ValueKind::Boolean(*flag),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| float(number.as_str()), ValueKind::I64),
        DeValue::Float(number) => float(number.as_str()),
        // A time without quotes is as good as one with.
        DeValue::Datetime(time) => ValueKind::String(time.to_string()),
        DeValue::Array(items) => ValueKind::Array(items.iter().map(value).collect()),
        DeValue::Table(table) => ValueKind::Table(values(table)),
    };
    Value::new(None, kind)
}

/// No key takes one; it is kept for the message.
fn float(text: &str) -> ValueKind {
    ValueKind::Float(text.parse().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_keys() {
        for (variable, key) in [
            ("SHARDWRIGHT__LEASE__FAILOVER_TIME", Some("lease.failover_time")),
            ("SHARDWRIGHT__APPLICATION", Some("application")),
            ("SHARDWRIGHT__STREAMS__0__NAME", Some("streams[0].name")),
            ("SHARDWRIGHT__SINKS__DEAD-LETTERS__TYPE", Some("sinks.dead-letters.type")),
            ("SHARDWRIGHT__STREAMS__4000000000__NAME", None),
            ("SHARDWRIGHT__0", None),
            ("SHARDWRIGHT__", None),
            ("SHARDWRIGHT__LEASE____TABLE", None),
            ("SHARDWRIGHT__A.B", None),
            ("SHARDWRIGHT_CONFIG", None),
        ] {
            assert_eq!(key_of(variable).as_deref(), key, "{variable}");
        }
    }
}
