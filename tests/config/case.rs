//! A configuration in a folder of its own, and what the library says of it.

use std::{collections::HashMap, fs};

use shardwright::config::{Compiled, ConfigProblems, Layers, Setting, compile, load};
use tempfile::TempDir;

/// What every configuration needs; a test puts its own lines before or after it.
pub(crate) const BASE: &str = r#"
[[streams]]
name = "app-logs"

[[routes]]
name = "all"
sink = "out"

[sinks.out]
type = "file"
path = "out"

[dead_letter]
sink = "out"
"#;

/// A configuration in a folder of its own.
pub(crate) struct Case {
    pub(crate) dir: TempDir,
    pub(crate) layers: Layers,
}

impl Case {
    pub(crate) fn new(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layers = Layers { files: Vec::new(), environment: Some(HashMap::new()) };
        for (index, text) in files.iter().enumerate() {
            let file = dir.path().join(format!("{index}.toml"));
            fs::write(&file, text).unwrap();
            layers.files.push(file);
        }
        Self { dir, layers }
    }

    /// `BASE` with an application's name, lines before it and lines after it.
    pub(crate) fn around(before: &str, after: &str) -> Self {
        Self::new(&[&format!("application = \"orders\"\n{before}\n{BASE}\n{after}\n")])
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        let environment = self.layers.environment.as_mut().unwrap();
        environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn compile(&self) -> Result<Compiled, ConfigProblems> {
        compile(&self.layers)
    }

    pub(crate) fn hash(&self) -> String {
        self.compile().unwrap_or_else(|problems| panic!("{problems}")).hash
    }

    pub(crate) fn list(&self) -> Vec<Setting> {
        load(&self.layers).unwrap_or_else(|problems| panic!("{problems}")).1
    }

    /// The line that `config` prints for a key.
    pub(crate) fn shown(&self, key: &str) -> String {
        let found = self.list().into_iter().find(|setting| setting.key == key);
        let setting = found.unwrap_or_else(|| panic!("{key} is not listed"));
        self.short(&format!("{} # {}", setting.value, setting.origin))
    }

    /// The problems, a line each, without the folder's name.
    pub(crate) fn problems(&self) -> Vec<String> {
        let Err(problems) = self.compile() else { return Vec::new() };
        problems.iter().map(|problem| self.short(&problem.to_string())).collect()
    }

    pub(crate) fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }

    #[track_caller]
    pub(crate) fn refused(&self, expect: &[&str]) {
        let problems = self.problems();
        assert_eq!(problems.len(), expect.len(), "{problems:#?}");
        for (problem, part) in problems.iter().zip(expect) {
            assert!(problem.starts_with(part), "{problem:?} does not begin with {part:?}");
        }
    }
}
