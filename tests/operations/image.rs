//! What the image is built of, without a Docker engine: `deploy/check-image` builds and runs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder that holds what `.dockerignore` lets into the build.
fn context() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ignore = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let taken: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(taken.len() > 2, "{taken:?}");
    let mut copy = Command::new("cp");
    copy.arg("-r").arg("--parents").args(taken).arg(dir.path()).current_dir(root());
    assert!(copy.status().unwrap().success());
    dir
}

#[test]
fn cargo_takes_the_manifest_as_the_build_leaves_it() {
    let context = context();
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let edit = dockerfile.lines().find_map(|line| line.strip_prefix("RUN sed ")).unwrap();
    let edit = format!("sed {}", edit.trim_end_matches('\\'));
    let shell = Command::new("sh").args(["-c", &edit]).current_dir(context.path()).status();
    assert!(shell.unwrap().success(), "{edit}");
    // It reads the manifest as a build does, and then has nothing to do.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--bin", "none", "--locked", "--offline"]).current_dir(context.path());
    let said = String::from_utf8(cargo.output().unwrap().stderr).unwrap();
    assert!(said.contains("no bin target named"), "{said}");
}

#[test]
fn every_file_that_is_compiled_in_is_there() {
    let context = context();
    let (mut files, mut included) = (vec![context.path().join("src")], 0);
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // Tests are not compiled into an image.
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|end| end != "rs") || name.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("include_str!(\"").skip(1) {
            let file: PathBuf = path.parent().unwrap().join(rest.split('"').next().unwrap());
            assert!(file.exists(), "{}: .dockerignore leaves it out", file.display());
            included += 1;
        }
    }
    assert!(included >= 4, "only {included} found");
}
