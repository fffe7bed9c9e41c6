//! `docs/pipeline.md`: its files and commands, and that they print what stands there.

use std::{fs, path::Path};

use crate::{
    blocks::{blocks, shell},
    program::{Dir, seen},
};

pub(crate) const CHAPTER: &str = "docs/pipeline.md";

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
            let printed = seen(shell(command, &dir.path(""))).out;
            assert_eq!(printed, said, "{command}");
            commands += 1;
        }
    }
    assert!(commands > 10, "{commands}");
}
