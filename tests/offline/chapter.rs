//! `docs/pipeline.md`: its files and commands, and that they print what stands there.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::program::{Dir, seen};

const CHAPTER: &str = "docs/pipeline.md";

/// The fenced blocks: what stands behind the opening fence, and the lines.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut lines = text.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            blocks.push((info, lines.by_ref().take_while(|line| *line != "```").collect()));
        }
    }
    blocks
}

/// What a command prints on both outputs, as a shell in this folder sees it.
fn printed(command: &str, dir: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_shardwright")).parent().unwrap();
    let path = format!("{}:{}", program.display(), env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(dir).env("PATH", path);
    shell.env_remove("SHARDWRIGHT_CONFIG").stdin(Stdio::null());
    seen(shell.output().unwrap()).out
}

#[test]
fn the_chapter_prints_what_it_says() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(CHAPTER)).unwrap();
    let dir = Dir::new();
    let mut commands = 0;
    for (info, lines) in blocks(&text) {
        if let Some((_, file)) = info.split_once(' ') {
            dir.file(file, lines.join("\n") + "\n");
            continue;
        }
        assert_eq!(info, "console", "a block that is neither a file nor commands");
        let mut expect = lines.into_iter().peekable();
        while let Some(line) = expect.next() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {line}"));
            let mut said = String::new();
            while let Some(line) = expect.next_if(|line| !line.starts_with("$ ")) {
                said.push_str(line);
                said.push('\n');
            }
            assert_eq!(printed(command, &dir.path("")), said, "{command}");
            commands += 1;
        }
    }
    assert!(commands > 10, "{commands}");
}
