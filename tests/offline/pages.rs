//! The blocks of README and `docs/`: configurations pass `check`, commands run, or stand here with why not.
//! `docs/pipeline.md` has a test of its own, [`crate::chapter`].

#[path = "../pages/mod.rs"]
mod all;

use std::{collections::BTreeSet, fs, path::PathBuf};

use toml::{Table, Value};

use crate::{
    blocks::{blocks, shell},
    program::{Dir, program, seen},
};

/// Commands that are run in other words.
const INSTEAD: [(&str, &str); 1] =
    [("cargo run --release -- demo", "shardwright demo --seconds 3")];

/// Commands that are not run, by their first words, and why.
const NOT_RUN: [(&str, &str); 6] = [
    ("cargo test", "this is it"),
    ("curl -X POST http://127.0.0.1:9464/", "needs a running worker: `operations` sends the same"),
    ("docker ", "needs a Docker engine, and the better part of an hour for the build"),
    ("shardwright run ", "needs AWS: `operations` runs it on the embedded servers"),
    ("shardwright check --online", "needs AWS: `operations` runs it on the embedded servers"),
    ("shardwright leases ", "needs a lease table: `leases` runs it on the embedded servers"),
];

/// All pages without the chapter.
fn pages() -> Vec<PathBuf> {
    let mut found = all::pages();
    found.retain(|page| !page.ends_with(crate::chapter::CHAPTER));
    found
}

/// What a fragment leaves out: a stream, a route to each of its sinks, dead letters.
fn framed(block: &str) -> Table {
    let mut all: Table = block.parse().unwrap();
    let mut add = |missing: &str, text: &str| {
        if !all.contains_key(missing) {
            all.extend(text.parse::<Table>().unwrap());
        }
    };
    add("application", "application = \"orders\"");
    add("streams", "[[streams]]\nname = \"app-logs\"");
    add("dead_letter", "[dead_letter]\nsink = \"frame\"");
    let sinks = all.entry("sinks").or_insert_with(|| Table::new().into());
    let sinks = sinks.as_table_mut().unwrap();
    sinks.extend("[frame]\ntype = \"file\"\npath = \"frame\"".parse::<Table>().unwrap());
    if !all.contains_key("routes") {
        let names: Vec<String> = all["sinks"].as_table().unwrap().keys().cloned().collect();
        let route = |name: String| {
            let route = format!("name = {name:?}\nsink = {name:?}\nalso = true");
            Value::from(route.parse::<Table>().unwrap())
        };
        all.insert("routes".to_owned(), names.into_iter().map(route).collect::<Vec<_>>().into());
    }
    all
}

/// The texts that stand under keys of this name, and in tables of this name.
fn texts<'a>(value: &'a Value, wanted: &dyn Fn(&str) -> bool, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| texts(item, wanted, found)),
        Value::Table(table) => {
            for (key, value) in table {
                match value {
                    Value::String(text) if wanted(key) => found.push(text),
                    Value::Table(table) if wanted(key) => {
                        found.extend(table.values().filter_map(Value::as_str));
                    }
                    _ => texts(value, wanted, found),
                }
            }
        }
        _ => {}
    }
}

fn named(all: &Value, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut found = Vec::new();
    texts(all, &wanted, &mut found);
    found
}

/// Puts a configuration, and the files it names, into a folder.
fn lay_out(block: &str, dir: &Dir) -> Value {
    let all = framed(block);
    dir.file("shardwright.toml", all.to_string());
    let all = Value::from(all);
    for schema in named(&all, |key| key == "validate") {
        dir.file(schema, "{}");
    }
    for program in named(&all, |key| key == "transform") {
        dir.file(program, ".");
    }
    all
}

#[test]
fn every_configuration_passes_check() {
    let mut seen_blocks = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (_, lines) in blocks(&text).into_iter().filter(|(info, _)| *info == "toml") {
            let dir = Dir::new();
            let block = lines.join("\n");
            let all = lay_out(&block, &dir);
            let mut check = program(&["check", "--config", "shardwright.toml"]);
            check.current_dir(dir.path(""));
            check
                .envs(named(&all, |key| key.ends_with("_env")).iter().map(|name| (name, "secret")));
            let seen = seen(check.output().unwrap());
            assert_eq!(seen.code, 0, "{}:\n{block}\n{}{}", page.display(), seen.out, seen.err);
            seen_blocks += 1;
        }
    }
    assert!(seen_blocks > 12, "only {seen_blocks} configurations found");
}

/// The commands of a block. In `text` and `console` they stand behind a prompt, among what they print.
fn commands<'a>(info: &str, lines: &[&'a str]) -> Vec<&'a str> {
    let lines = lines.iter().copied();
    match info {
        "sh" => lines.filter(|line| !line.is_empty()).collect(),
        "console" | "text" => lines.filter_map(|line| line.strip_prefix("$ ")).collect(),
        "json" | "toml" | "sql" => Vec::new(),
        other => panic!("a block of {other:?}: say here what is to be done with it"),
    }
}

#[test]
fn every_command_runs() {
    let mut run = 0;
    let mut left = BTreeSet::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let dir = Dir::new();
        for (info, lines) in blocks(&text) {
            if info == "toml" {
                lay_out(&lines.join("\n"), &dir);
            }
            for command in commands(info, &lines) {
                if let Some((start, _)) =
                    NOT_RUN.iter().find(|(start, _)| command.starts_with(start))
                {
                    left.insert(*start);
                    continue;
                }
                let instead = INSTEAD.iter().find(|(written, _)| *written == command);
                let output = shell(instead.map_or(command, |(_, run)| run), &dir.path(""));
                let seen = seen(output);
                assert_eq!(seen.code, 0, "{}: {command}\n{}", page.display(), seen.out);
                run += 1;
            }
        }
    }
    assert!(run >= 3, "only {run} commands run");
    let listed = NOT_RUN.iter().map(|(start, _)| *start).collect();
    assert_eq!(left, listed, "what is left out stands on a page");
}
