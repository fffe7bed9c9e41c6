//! From settings to something that runs: patterns, schemas and programs are compiled, names are
//! resolved, relations are checked.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wildmatch::WildMatch;

use super::{ConfigProblem, ConfigProblems, RouteSettings, Setting, Settings};
use crate::{
    aws::StreamTarget,
    codec::DecodeLimits,
    etl::{Program, Route, SchemaCheck, filter::FilterPattern},
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
    /// Hash of everything that decides what becomes of an event: settings, schemas, programs.
    pub hash: String,
}

/// Compiles settings. `listed` are the same settings one by one, for the hash; relative paths begin
/// at `base`, the folder of the configuration file.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn compile(
    settings: Settings,
    listed: &[Setting],
    base: &Path,
) -> Result<Compiled, ConfigProblems> {
    let mut compiler = Compiler::new(&settings, listed, base);
    compiler.relations();
    compiler.streams();
    let routes = compiler.routes();
    let dead_letters = compiler.dead_letters();
    let hash = compiler.hash();
    let limits = DecodeLimits {
        max_decompressed: usize_of(settings.consumer.max_decompressed.as_u64()),
        max_events: settings.consumer.max_events_per_record,
    };
    if compiler.problems.is_empty() {
        return Ok(Compiled { settings, routes, dead_letters, limits, hash });
    }
    Err(ConfigProblems(compiler.problems))
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

struct Compiler<'s> {
    settings: &'s Settings,
    listed: &'s [Setting],
    base: &'s Path,
    hash: Sha256,
    problems: Vec<ConfigProblem>,
}

impl<'s> Compiler<'s> {
    fn new(settings: &'s Settings, listed: &'s [Setting], base: &'s Path) -> Self {
        let mut hash = Sha256::new();
        for setting in listed {
            hash.update(format!("{}={}\n", setting.key, setting.value));
        }
        Self { settings, listed, base, hash, problems: Vec::new() }
    }

    fn problem(&mut self, key: impl Into<String>, message: impl Into<String>) {
        let key = key.into();
        let inside =
            |setting: &&Setting| setting.key == key || setting.key.starts_with(&format!("{key}."));
        let place = self.listed.iter().find(inside).map(|setting| setting.origin.clone());
        let place = place.unwrap_or_default();
        self.problems.push(ConfigProblem { place, key, message: message.into() });
    }

    /// Values that must fit each other.
    fn relations(&mut self) {
        let Settings { application, lease, consumer, shutdown, worker_id, .. } = self.settings;
        if application.is_empty() {
            self.problem(
                "application",
                "missing: name the application, as in application = \"orders\"",
            );
        }
        if worker_id.as_ref().is_some_and(|id| id.is_empty() || id.starts_with("shardId-")) {
            self.problem("worker_id", "must not be empty or look like a shard id");
        }
        if lease.failover_time.as_millis() < 1000 {
            self.problem(
                "lease.failover_time",
                "must be at least 1s: three renewals must fit into it",
            );
        }
        if lease.scan_interval.is_zero() || lease.scan_interval > lease.failover_time {
            self.problem("lease.scan_interval", "must be above 0s and at most lease.failover_time");
        }
        if lease.max_leases_per_worker == 0 {
            self.problem("lease.max_leases_per_worker", "must be at least 1");
        }
        if consumer.poll_interval.is_zero() || consumer.poll_interval > consumer.idle_poll_interval
        {
            self.problem(
                "consumer.poll_interval",
                "must be above 0s and at most consumer.idle_poll_interval",
            );
        }
        if consumer.retry_min.is_zero() || consumer.retry_min > consumer.retry_max {
            self.problem("consumer.retry_min", "must be above 0s and at most consumer.retry_max");
        }
        if consumer.in_flight_bytes.as_u64() < 1024 * 1024 {
            self.problem("consumer.in_flight_bytes", "must be at least 1MiB");
        }
        if shutdown.drain_timeout.is_zero() {
            self.problem("shutdown.drain_timeout", "must be above 0s");
        }
    }

    fn streams(&mut self) {
        if self.settings.streams.is_empty() {
            self.problem(
                "streams",
                "missing: name a stream, as in [[streams]] name = \"app-logs\"",
            );
        }
        for (index, stream) in self.settings.streams.iter().enumerate() {
            let key = format!("streams[{index}]");
            match (&stream.name, &stream.arn) {
                (Some(name), None) if !name.is_empty() => {}
                (None, Some(arn)) => {
                    if let Err(problem) = StreamTarget::arn(arn) {
                        self.problem(format!("{key}.arn"), problem.to_string());
                    }
                }
                _ => self.problem(key, "needs either name or arn"),
            }
        }
    }

    fn routes(&mut self) -> Vec<Route> {
        let routes = &self.settings.routes;
        if routes.is_empty() {
            self.problem(
                "routes",
                "missing: say where events go, as in [[routes]] name = \"all\", sink = \"out\"",
            );
        }
        let mut compiled = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
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
        let validate = self.file(&format!("{key}.validate"), route.validate.as_ref(), |text| {
            SchemaCheck::compile(text).map_err(|error| error.to_string())
        });
        let transform = self.file(&format!("{key}.transform"), route.transform.as_ref(), |text| {
            Program::compile(text).map_err(|error| error.to_string())
        });
        let sink = self.sink(&format!("{key}.sink"), &route.sink)?;
        let log_groups = route.log_groups.iter().map(|glob| WildMatch::new(glob)).collect();
        let name = route.name.clone();
        Some(Route { name, filter, log_groups, also: route.also, validate, transform, sink })
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
                self.hash.update(&text);
                match compile(&text) {
                    Ok(compiled) => return Some(compiled),
                    Err(error) => self.problem(key, format!("{shown}: {error}")),
                }
            }
            Err(error) => self.problem(key, format!("cannot read {shown}: {error}")),
        }
        None
    }

    fn dead_letters(&mut self) -> usize {
        let name = &self.settings.dead_letter.sink;
        if name.is_empty() {
            self.problem(
                "dead_letter.sink",
                "missing: name the sink for what cannot be processed, as in [dead_letter] sink = \"parked\"",
            );
            return 0;
        }
        self.sink("dead_letter.sink", name).unwrap_or(0)
    }

    fn sink(&mut self, key: &str, name: &str) -> Option<usize> {
        let found = self.settings.sinks.keys().position(|sink| sink == name);
        if found.is_none() {
            let known: Vec<&str> = self.settings.sinks.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            self.problem(key, format!("there is no sink named {name:?}; there are: {known}"));
        }
        found
    }

    /// The first 12 hex digits: enough to tell configurations apart, short enough to read.
    fn hash(&self) -> String {
        let digest = self.hash.clone().finalize();
        let mut hash = String::with_capacity(12);
        for byte in digest.iter().take(6) {
            // Writing into a string cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        hash
    }
}
