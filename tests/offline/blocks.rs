//! The fenced blocks of a page, and a shell for the commands in them.

use std::{
    env,
    path::Path,
    process::{Command, Output, Stdio},
};

/// The fenced blocks: what stands behind the opening fence, and the lines.
pub(crate) fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut lines = text.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            blocks.push((info, block.collect()));
        }
    }
    blocks
}

/// What a command comes to and prints, both outputs as one, as a shell in this folder sees it.
pub(crate) fn shell(command: &str, dir: &Path) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_shardwright")).parent().unwrap();
    let path = format!("{}:{}", program.display(), env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 2>&1; {command}")]).current_dir(dir).env("PATH", path);
    shell.env_remove("SHARDWRIGHT_CONFIG").stdin(Stdio::null()).output().unwrap()
}
