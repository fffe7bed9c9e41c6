//! Reading the layers, and turning them into settings.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use config::{Config, Environment, File, FileFormat, Value, ValueKind};
use serde::de::DeserializeOwned;

use super::{ConfigProblem, ConfigProblems, Setting, Settings, SinkEntry, locate::line_of};

/// The defaults, compiled in: every key with its documentation.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// What the origin of a value is called when it comes from [`DEFAULTS`].
const DEFAULT_ORIGIN: &str = "default";
const ENV_PREFIX: &str = "SHARDWRIGHT";

/// The layers of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Files, the later ones win.
    pub files: Vec<PathBuf>,
    /// The environment to read `SHARDWRIGHT__…` from; `None` is the process's own.
    pub environment: Option<HashMap<String, String>>,
}

/// The merged values, with where each came from.
pub(super) struct Merged {
    pub(super) root: Value,
    texts: Vec<(String, String)>,
}

/// Reads the layers and types them.
///
/// # Errors
/// Everything that is wrong, at once: files that cannot be read, bad TOML, unknown keys, bad values.
pub fn load(layers: &Layers) -> Result<(Settings, Vec<Setting>), ConfigProblems> {
    let merged = merge(layers)?;
    let settings = merged.settings()?;
    let listed = super::provenance::effective(&merged.root);
    Ok((settings, listed))
}

fn merge(layers: &Layers) -> Result<Merged, ConfigProblems> {
    let mut problems = Vec::new();
    let mut texts = Vec::new();
    let mut builder = Config::builder().add_source(named(DEFAULTS, DEFAULT_ORIGIN));
    for path in &layers.files {
        match read(path) {
            Ok(text) => {
                let name = path.display().to_string();
                builder = builder.add_source(named(&text, &name));
                texts.push((name, text));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigProblems(problems));
    }
    let environment = Environment::with_prefix(ENV_PREFIX)
        .prefix_separator("__")
        .separator("__")
        .source(layers.environment.clone());
    let merged = builder.add_source(environment).build().map_err(|error| {
        ConfigProblems(vec![ConfigProblem {
            place: String::new(),
            key: String::new(),
            message: error.to_string(),
        }])
    })?;
    Ok(Merged { root: merged.cache, texts })
}

fn named(text: &str, name: &str) -> Named {
    Named { text: text.to_owned(), name: name.to_owned() }
}

/// A TOML text whose values carry the name of their file. The `config` crate's own file source
/// names them by its own idea of the path.
#[derive(Clone, Debug)]
struct Named {
    text: String,
    name: String,
}

impl config::Source for Named {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, config::ConfigError> {
        let values = File::from_str(&self.text, FileFormat::Toml).collect()?;
        Ok(values.into_iter().map(|(key, value)| (key, renamed(value, &self.name))).collect())
    }
}

fn renamed(value: Value, name: &String) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => ValueKind::Table(
            table.into_iter().map(|(key, value)| (key, renamed(value, name))).collect(),
        ),
        ValueKind::Array(array) => {
            ValueKind::Array(array.into_iter().map(|value| renamed(value, name)).collect())
        }
        scalar => scalar,
    };
    Value::new(Some(name), kind)
}

fn read(path: &Path) -> Result<String, ConfigProblem> {
    let problem =
        |place: String, message: String| ConfigProblem { place, key: String::new(), message };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| problem(name.clone(), format!("cannot read the file: {error}")))?;
    match toml::de::DeTable::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.matches('\n').count() + 1);
            Err(problem(format!("{name}:{line}"), error.message().to_owned()))
        }
    }
}

impl Merged {
    /// Types each section on its own, so that one bad value does not hide the next.
    fn settings(&self) -> Result<Settings, ConfigProblems> {
        let mut problems = Vec::new();
        let Ok(mut sections) = self.root.clone().into_table() else {
            return Err(ConfigProblems::default());
        };
        let mut take = |key: &str| sections.remove(key);
        let settings = Settings {
            application: self.section("application", take("application"), &mut problems),
            worker_id: self.section("worker_id", take("worker_id"), &mut problems),
            aws: self.section("aws", take("aws"), &mut problems),
            lease: self.section("lease", take("lease"), &mut problems),
            consumer: self.section("consumer", take("consumer"), &mut problems),
            shutdown: self.section("shutdown", take("shutdown"), &mut problems),
            admin: self.section("admin", take("admin"), &mut problems),
            log: self.section("log", take("log"), &mut problems),
            streams: self.list("streams", take("streams"), &mut problems),
            routes: self.list("routes", take("routes"), &mut problems),
            sinks: self.sinks(take("sinks"), &mut problems),
            dead_letter: self.section("dead_letter", take("dead_letter"), &mut problems),
        };
        let known = "unknown key; the top level has application, worker_id, aws, lease, consumer, shutdown, admin, log, streams, routes, sinks, dead_letter";
        for key in sections.keys() {
            problems.push(self.problem(key, known.to_owned()));
        }
        if problems.is_empty() {
            return Ok(settings);
        }
        problems.sort();
        Err(ConfigProblems(problems))
    }

    fn section<T: DeserializeOwned + Default>(
        &self,
        key: &str,
        value: Option<Value>,
        problems: &mut Vec<ConfigProblem>,
    ) -> T {
        self.optional(key, value, problems).unwrap_or_default()
    }

    fn list<T: DeserializeOwned>(
        &self,
        key: &str,
        value: Option<Value>,
        problems: &mut Vec<ConfigProblem>,
    ) -> Vec<T> {
        let Some(value) = value else { return Vec::new() };
        let Ok(items) = value.into_array() else {
            problems.push(self.problem(key, format!("expected [[{key}]] tables")));
            return Vec::new();
        };
        let indexed = items.into_iter().enumerate();
        indexed
            .filter_map(|(index, item)| {
                self.optional(&format!("{key}[{index}]"), Some(item), problems)
            })
            .collect()
    }

    fn sinks(
        &self,
        value: Option<Value>,
        problems: &mut Vec<ConfigProblem>,
    ) -> BTreeMap<String, SinkEntry> {
        let Some(value) = value else { return BTreeMap::new() };
        let Ok(entries) = value.into_table() else {
            problems.push(self.problem("sinks", "expected [sinks.NAME] tables".to_owned()));
            return BTreeMap::new();
        };
        let entries = entries.into_iter();
        entries
            .filter_map(|(name, entry)| {
                let key = format!("sinks.{name}");
                let (batch, sink) = split_batch(entry);
                let batch = self.optional(&key, Some(batch), problems)?;
                let sink = self.optional(&key, Some(sink), problems)?;
                Some((name, SinkEntry { batch, sink }))
            })
            .collect()
    }

    fn optional<T: DeserializeOwned>(
        &self,
        key: &str,
        value: Option<Value>,
        problems: &mut Vec<ConfigProblem>,
    ) -> Option<T> {
        let value = value?;
        let mut unknown = BTreeSet::new();
        let mut track = serde_path_to_error::Track::new();
        let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
        let typed = serde_ignored::deserialize(deserializer, |path| {
            unknown.insert(format!("{key}.{path}"));
        });
        for path in unknown {
            problems.push(self.problem(&path, "unknown key".to_owned()));
        }
        match typed {
            Ok(typed) => Some(typed),
            Err(error) => {
                let path = track.path().to_string();
                let full = if path == "." { key.to_owned() } else { format!("{key}.{path}") };
                problems.push(self.problem(&full, error.to_string()));
                None
            }
        }
    }

    /// A problem with the place of its key: the last layer that has it.
    pub(super) fn problem(&self, key: &str, message: String) -> ConfigProblem {
        let place = self
            .texts
            .iter()
            .rev()
            .find_map(|(name, text)| Some(format!("{name}:{}", line_of(text, key)?)))
            .unwrap_or_default();
        ConfigProblem { place, key: key.to_owned(), message }
    }
}

/// The keys that all sinks share, and the sink's own: `deny_unknown_fields` and flattening exclude
/// each other in serde.
fn split_batch(entry: Value) -> (Value, Value) {
    const SHARED: [&str; 3] = ["batch_size", "batch_bytes", "maximum_batching_window"];
    let origin = entry.origin().map(str::to_owned);
    let table = match entry.kind {
        ValueKind::Table(table) => table,
        other => {
            return (
                Value::new(origin.as_ref(), config::Map::<String, Value>::new()),
                Value::new(origin.as_ref(), other),
            );
        }
    };
    let (shared, own): (config::Map<_, _>, config::Map<_, _>) =
        table.into_iter().partition(|(key, _)| SHARED.contains(&key.as_str()));
    (Value::new(origin.as_ref(), shared), Value::new(origin.as_ref(), own))
}
