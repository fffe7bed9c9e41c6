//! Cases: an input and what is expected of it, two files beside each other.
//!
//! `NAME.input.jsonl`, or another ending for another [`Form`], and `NAME.expect.jsonl`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// One case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// Its files' path below the folder, without their endings.
    pub(super) name: String,
    pub(super) input: PathBuf,
    /// May be missing: then there is nothing to hold the input against yet.
    pub(super) expect: PathBuf,
}

/// Finds the cases of a folder and the folders in it, by name.
///
/// # Errors
/// A folder that cannot be read, a case with two inputs, an expectation without an input.
pub(super) fn cases(folder: &Path) -> Result<Vec<Case>, String> {
    let mut files = Vec::new();
    collect(folder, &mut files).map_err(|(path, error)| format!("{}: {error}", path.display()))?;
    let mut found: BTreeMap<String, Case> = BTreeMap::new();
    for input in &files {
        let Some(stem) = stem(input, ".input") else { continue };
        let expect = input.with_file_name(format!("{stem}.expect.jsonl"));
        let below = input.strip_prefix(folder).unwrap_or(input).with_file_name(stem);
        let name = below.display().to_string();
        let case = Case { name: name.clone(), input: input.clone(), expect };
        if let Some(other) = found.insert(name, case) {
            let other = other.input.display();
            return Err(format!("{}: the case has another input, {other}", input.display()));
        }
    }
    for file in files.iter().filter(|file| stem(file, ".expect").is_some()) {
        if !found.values().any(|case| case.expect == *file) {
            return Err(format!("{}: there is no input beside it", file.display()));
        }
    }
    Ok(found.into_values().collect())
}

/// The name of a case in the name of a file: what is before this part.
fn stem<'f>(file: &'f Path, part: &str) -> Option<&'f str> {
    let (stem, ending) = file.file_name()?.to_str()?.rsplit_once(part)?;
    (!stem.is_empty() && (ending.is_empty() || ending.starts_with('.'))).then_some(stem)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (folder.to_owned(), error);
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(failed)?.collect();
    let mut paths: Vec<PathBuf> =
        entries.map_err(failed)?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn a_case_is_two_files_with_one_name() {
        let files = ["b.input.jsonl", "b.expect.jsonl", "a.b.input", "sub/c.input.gz", "README.md"];
        let folder = folder(&files);
        let found = cases(folder.path()).unwrap();
        let names: Vec<&str> = found.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["a.b", "b", "sub/c"]);
        assert_eq!(found[0].expect, folder.path().join("a.b.expect.jsonl"));
        assert_eq!(found[2].input, folder.path().join("sub/c.input.gz"));
    }

    #[test]
    fn files_without_their_other_half_are_said() {
        let check = |files: &[&str], expect: &str| {
            let error = cases(folder(files).path()).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check(&["a.expect.jsonl"], "a.expect.jsonl: there is no input beside it");
        check(&["a.input.txt", "a.input.jsonl"], "the case has another input");
        assert!(cases(Path::new("no such folder")).unwrap_err().contains("no such folder"));
    }
}
