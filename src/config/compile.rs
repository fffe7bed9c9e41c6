//! From settings to something that runs: patterns, schemas and programs are compiled, names are
//! resolved, relations are checked.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use super::{
    ConfigProblem, ConfigProblems, DeadLetterSettings, FieldSetting, Layers, RouteSettings,
    Setting, Settings, ValidateOn, checks,
    place::{Places, around},
    source::merge,
    typing::{Draft, draft},
};
use crate::{
    codec::DecodeLimits,
    etl::{
        FieldPath, FieldTest, FieldValue, Program, Route, SchemaCheck, SchemaTarget, Validation,
        filter::FilterPattern, unreachable,
    },
    sinks::{Column, columns_of_schema},
};

/// Settings whose parts fit together.
pub struct Compiled {
    /// The settings.
    pub settings: Settings,
    /// The routes, compiled; their sinks are indices into the names of `settings.sinks`, in order.
    pub routes: Vec<Route>,
    /// Index of the dead-letter sink.
    pub dead_letters: usize,
    /// Caps on decoding.
    pub limits: DecodeLimits,
    /// What works, but surely not as it was meant.
    pub warnings: Vec<ConfigProblem>,
    /// Hash of everything that decides what becomes of an event: settings, schemas, programs. It
    /// does not depend on the layer or the spelling of a value.
    pub hash: String,
}

/// What decides what becomes of an event. How AWS is reached is the deployment's business, and how
/// fast and by whom shards are read changes no event.
const DECISIVE: [&str; 6] = [
    "streams",
    "routes",
    "sinks",
    "dead_letter",
    "consumer.max_decompressed",
    "consumer.max_events_per_record",
];

/// Reads the layers and types them. `listed` are the effective values, one by one.
///
/// # Errors
/// Everything that is wrong with files, keys and single values, at once.
pub fn load(layers: &Layers) -> Result<(Settings, Vec<Setting>), ConfigProblems> {
    let Draft { settings, listed, problems, .. } =
        draft(merge(layers).map_err(ConfigProblems::new)?);
    if problems.is_empty() { Ok((settings, listed)) } else { Err(ConfigProblems::new(problems)) }
}

/// Reads the layers as [`load`] does, and compiles them. Relative paths of schemas and programs
/// begin at [`Layers::base`].
///
/// # Errors
/// Everything that is wrong, at once: what could not be typed does not hide what does not compile.
pub fn compile(layers: &Layers) -> Result<Compiled, ConfigProblems> {
    let base = layers.base();
    let Draft { settings, listed, places, problems } =
        draft(merge(layers).map_err(ConfigProblems::new)?);
    let mut compiler = Compiler::new(&settings, &places, &base, problems);
    for (key, message) in checks::findings(&settings, &places) {
        compiler.problem(key, message);
    }
    let routes = compiler.routes();
    let dead_letters = compiler.sink("dead_letter.sink", &settings.dead_letter.sink).unwrap_or(0);
    if let Some(fallback) = &settings.dead_letter.fallback {
        compiler.sink("dead_letter.fallback", fallback);
    }
    let columns = compiler.columns();
    if !compiler.problems.is_empty() {
        return Err(ConfigProblems::new(compiler.problems));
    }
    let warnings = compiler.warnings(&routes);
    let hash = compiler.hash(&listed);
    let settings = with_columns(settings, columns);
    let limits = DecodeLimits {
        max_decompressed: usize::try_from(settings.consumer.max_decompressed.as_u64())
            .unwrap_or(usize::MAX),
        max_events: settings.consumer.max_events_per_record,
    };
    Ok(Compiled { settings, routes, dead_letters, limits, warnings, hash })
}

pub(super) struct Compiler<'s> {
    settings: &'s Settings,
    places: &'s Places,
    base: &'s Path,
    /// Texts of schemas and programs.
    texts: Sha256,
    problems: Vec<ConfigProblem>,
    /// Keys and tables whose values are stand-ins: what is wrong with those is nobody's fault.
    stand_ins: HashSet<String>,
}

impl<'s> Compiler<'s> {
    fn new(
        settings: &'s Settings,
        places: &'s Places,
        base: &'s Path,
        problems: Vec<ConfigProblem>,
    ) -> Self {
        let stand_ins = problems.iter().map(|problem| problem.key.clone()).collect();
        Self { settings, places, base, texts: Sha256::new(), problems, stand_ins }
    }

    pub(super) fn problem(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        if !around(&key).any(|part| self.stand_ins.contains(part)) {
            let place = self.places.nearest(&key);
            self.problems.push(ConfigProblem { place, key, message: message.into() });
        }
    }

    fn routes(&mut self) -> Vec<Route> {
        let mut compiled = Vec::with_capacity(self.settings.routes.len());
        for (index, route) in self.settings.routes.iter().enumerate() {
            compiled.extend(self.route(&format!("routes[{index}]"), route));
        }
        compiled
    }

    fn route(&mut self, key: &str, route: &RouteSettings) -> Option<Route> {
        let filter = match route.filter.as_deref().map(FilterPattern::parse) {
            Some(Err(error)) => {
                self.problem(format!("{key}.filter"), error.render());
                None
            }
            Some(Ok(pattern)) => Some(pattern),
            None => None,
        };
        let fields = route.fields.iter().filter_map(|(path, values)| {
            let path = self.path(&format!("{key}.where"), path)?;
            Some(FieldTest::new(path, values.iter().map(field_value).collect()))
        });
        let fields = fields.collect();
        let validation = self.validation(key, route);
        let transform = self.file(&format!("{key}.transform"), route.transform.as_ref(), |text| {
            Program::compile(text).map_err(|error| error.to_string())
        });
        let window = self.window(key, route);
        let sink = self.sink(&format!("{key}.sink"), &route.sink)?;
        Some(Route {
            name: route.name.clone(),
            filter,
            log_groups: globs(&route.log_groups),
            fields,
            default: route.default,
            also: route.also,
            validation,
            transform,
            window: window.map(Arc::new),
            sink,
        })
    }

    fn validation(&mut self, key: &str, route: &RouteSettings) -> Validation {
        let at = format!("{key}.required_keys");
        let required_keys =
            route.required_keys.iter().filter_map(|path| self.path(&at, path)).collect();
        let schema = self.file(&format!("{key}.validate"), route.validate.as_ref(), |text| {
            SchemaCheck::compile(text).map_err(|error| error.to_string())
        });
        let target = match route.validate_on {
            ValidateOn::Message => SchemaTarget::Message,
            ValidateOn::Event => SchemaTarget::Event,
        };
        Validation {
            max_event_size: route.max_event_size,
            known_log_groups: globs(&route.known_log_groups),
            oldest_event: route.oldest_event,
            newest_event: route.newest_event,
            required_keys,
            schema: schema.map(|schema| (schema, target)),
        }
    }

    fn path(&mut self, key: &str, path: &str) -> Option<FieldPath> {
        FieldPath::parse(path).map_err(|error| self.problem(key, error.to_string())).ok()
    }

    /// Reads and compiles a file that a key names.
    fn file<T>(
        &mut self,
        key: &str,
        path: Option<&PathBuf>,
        compile: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let path = self.base.join(path?);
        let shown = path.display();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                self.texts.update(format!("{key}={}\n", text.len()));
                self.texts.update(&text);
                match compile(&text) {
                    Ok(compiled) => return Some(compiled),
                    Err(error) => self.problem(key, format!("{shown}: {error}")),
                }
            }
            Err(error) => self.problem(key, format!("cannot read {shown}: {error}")),
        }
        None
    }

    /// The columns that the schemas of sinks have, by the names of the sinks.
    fn columns(&mut self) -> BTreeMap<String, BTreeMap<String, Column>> {
        let mut columns = BTreeMap::new();
        for (name, entry) in &self.settings.sinks {
            let schema = entry.sink.objects().and_then(|(config, _)| config.schema.as_ref());
            let key = format!("sinks.{name}.schema");
            if let Some(found) = self.file(&key, schema, columns_of_schema) {
                columns.insert(name.clone(), found);
            }
        }
        columns
    }

    pub(super) fn sink(&mut self, key: &str, name: &str) -> Option<usize> {
        let found = self.settings.sinks.keys().position(|sink| sink == name);
        if found.is_none() {
            let known: Vec<&str> = self.settings.sinks.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            self.problem(key, format!("there is no sink named {name:?}; there are: {known}"));
        }
        found
    }

    /// Routes that can never match, dead letters that nobody takes, secrets in the clear. There are as many
    /// routes as settings once nothing is wrong.
    fn warnings(&self, routes: &[Route]) -> Vec<ConfigProblem> {
        let warnings = unreachable(routes).into_iter().filter_map(|(later, earlier)| {
            let key = format!("routes[{later}]");
            let earlier = &routes.get(earlier)?.name;
            let message =
                format!("never takes an event: route {earlier:?} before it leaves nothing for it");
            Some(ConfigProblem { place: self.places.nearest(&key), key, message })
        });
        let clear = checks::sent_in_the_clear(self.settings)
            .into_iter()
            .map(|(key, message)| ConfigProblem { place: self.places.nearest(&key), key, message });
        warnings.chain(self.oversized_letters()).chain(clear).collect()
    }

    /// A dead letter is larger than its record: a sink with a limit may never take it.
    fn oversized_letters(&self) -> Option<ConfigProblem> {
        let DeadLetterSettings { sink, fallback } = &self.settings.dead_letter;
        let limit = self.settings.sinks.get(sink)?.sink.limit()?;
        let message = format!(
            "takes nothing above {limit}, and a letter that is larger would make its shard wait: name \
             a sink without a limit, such as a file sink, in dead_letter.fallback"
        );
        let key = "dead_letter.sink".to_owned();
        let place = self.places.nearest(&key);
        fallback.is_none().then_some(ConfigProblem { place, key, message })
    }

    /// The first 12 hex digits: enough to tell configurations apart, short enough to read.
    fn hash(self, listed: &[Setting]) -> String {
        let mut hash = Sha256::new();
        for setting in listed {
            if around(&setting.key).any(|part| DECISIVE.contains(&part)) {
                setting.hash_into(&mut hash);
            }
        }
        hash.update(self.texts.finalize());
        let mut shown = String::with_capacity(12);
        for byte in hash.finalize().iter().take(6) {
            // Writing into a string cannot fail.
            let _ = write!(shown, "{byte:02x}");
        }
        shown
    }
}

/// Gives sinks the columns of their schemas; those that are configured stay as they are.
fn with_columns(
    mut settings: Settings,
    columns: BTreeMap<String, BTreeMap<String, Column>>,
) -> Settings {
    for (name, found) in columns {
        let entry = settings.sinks.get_mut(&name);
        let Some(config) = entry.and_then(|entry| entry.sink.objects_mut()) else { continue };
        for (name, column) in found {
            config.columns.entry(name).or_insert(column);
        }
    }
    settings
}

fn globs(globs: &[String]) -> Vec<WildMatch> {
    globs.iter().map(|glob| WildMatch::new(glob)).collect()
}

fn field_value(setting: &FieldSetting) -> FieldValue {
    match setting {
        FieldSetting::Flag(flag) => FieldValue::Flag(*flag),
        FieldSetting::Whole(number) => FieldValue::Number(number.to_string()),
        FieldSetting::Fraction(number) => FieldValue::Number(number.to_string()),
        FieldSetting::Text(text) => FieldValue::Text(text.clone()),
    }
}
