//! The floors of `src/lib.rs` as a test: who may use whom, and how long a file may be.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The modules, lowest floor first. A module uses modules of lower floors and itself.
const FLOORS: [&[&str]; 9] = [
    &["model"],
    &["codec"],
    &["etl", "ports", "generate"],
    &["metrics"],
    &["leasing"],
    &["consumer"],
    &["worker", "aws"],
    &["sinks", "embedded"],
    &["config", "admin", "logging", "telemetry", "shutdown", "app", "cli"],
];

/// Uses within one floor, and from `config` to the adapters' own settings, are decided one by one.
const ALSO: [(&str, &str); 13] = [
    ("admin", "leasing"),
    ("logging", "config"),
    ("app", "admin"),
    ("app", "config"),
    ("app", "shutdown"),
    ("app", "telemetry"),
    ("config", "telemetry"),
    ("cli", "app"),
    ("cli", "config"),
    ("cli", "logging"),
    ("cli", "shutdown"),
    ("cli", "telemetry"),
    ("cli", "embedded"),
];

/// Lines of a file of `src`, without its test module; files that hold nothing but tests may be longer.
const MOST_LINES: usize = 450;

fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
    }
    found
}

fn module_of(path: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path.strip_prefix(src).unwrap().components().next().unwrap();
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name.contains("tests") || name.contains("testing") || name == "fixtures.rs"
    })
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

fn uses(text: &str) -> Vec<String> {
    // `use crate::{a::…, b::…}` as rustfmt writes it, and paths in the code.
    let mut found = Vec::new();
    let mut depth = 0;
    for line in text.lines().map(str::trim) {
        if line.starts_with("//") {
            continue;
        }
        if line.starts_with("use crate::{") || depth > 0 {
            let inner = line.trim_start_matches("use crate::{");
            if depth <= 1 {
                let mut level = 0;
                for part in inner.split_inclusive([',', '{', '}']) {
                    let name: String = part
                        .trim()
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect();
                    if level == 0 && !name.is_empty() {
                        found.push(name);
                    }
                    level += part.matches('{').count();
                    level = level.saturating_sub(part.matches('}').count());
                }
            }
            depth += line.matches('{').count();
            depth -= line.matches('}').count().min(depth);
            continue;
        }
        for (index, _) in line.match_indices("crate::") {
            let rest = &line[index + "crate::".len()..];
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

#[test]
fn modules_use_lower_floors_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if module == "lib" || module == "main" || is_test_file(&path) {
            continue;
        }
        let floor = floor_of(&module).unwrap_or_else(|| panic!("{module} stands on no floor"));
        for used in uses(code(&text)) {
            let Some(other) = floor_of(&used) else { continue };
            let allowed =
                used == module || other < floor || ALSO.contains(&(module.as_str(), used.as_str()));
            if !allowed {
                wrong.push(format!("{}: uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run upwards or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn only_adapters_name_the_sdk_and_only_one_file_names_the_inflater() {
    for (path, text) in sources() {
        let module = module_of(&path);
        let code = code(&text);
        let adapter = ["aws", "sinks"].contains(&module.as_str());
        let demo = path.ends_with("cli/demo/servers.rs");
        assert!(adapter || demo || !code.contains("aws_sdk_"), "{} names the SDK", path.display());
        let gzip = path.ends_with("codec/gunzip.rs") || module == "sinks";
        assert!(gzip || !code.contains("flate2::"), "{} names flate2", path.display());
    }
}

#[test]
fn files_stay_readable() {
    for (path, text) in sources() {
        let lines = code(&text).lines().count();
        let long = lines > MOST_LINES && !is_test_file(&path);
        assert!(
            !long,
            "{} has {lines} lines, more than {MOST_LINES}: one idea a file",
            path.display()
        );
    }
}
