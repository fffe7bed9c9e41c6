//! Data to standard output, talk to standard error.
//!
//! `println!` and `eprintln!` panic when the reader of a pipe has gone or the disk is full. Here
//! neither ends the program: lost talk is not missed, and data that cannot be written is a value.

use std::{
    fmt,
    io::{self, BufWriter, StdoutLock, Write},
    process::ExitCode,
};

use super::FOUND;

/// Says a line.
pub(super) fn say(line: impl fmt::Display) {
    tell(&format!("{line}\n"));
}

/// Says what went wrong.
pub(super) fn complain(message: impl fmt::Display) {
    say(format_args!("shardwright: {message}"));
}

/// Puts text on standard error as it is, in one write: lines of other threads stay whole.
pub(super) fn tell(text: &str) {
    // Where nobody listens there is nobody to tell that nobody listens.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Standard output did not take the data.
#[derive(Debug, thiserror::Error)]
#[error("standard output: {0}")]
pub(super) struct Unwritten(#[from] io::Error);

impl Unwritten {
    /// Whether the reader of the pipe has gone: one that has seen enough, such as `head`.
    pub(super) fn is_closed_pipe(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }

    /// The exit code of a command that only prints.
    pub(super) fn exit(&self) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        complain(self);
        ExitCode::from(FOUND)
    }
}

/// Prints text, whole.
pub(super) fn print(text: &str) -> Result<(), Unwritten> {
    let mut data = Data::new();
    data.write(text.as_bytes())?;
    data.flush()
}

/// Standard output.
pub(super) struct Data(BufWriter<StdoutLock<'static>>);

impl Data {
    pub(super) fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Unwritten> {
        Ok(self.0.write_all(bytes)?)
    }

    /// Hands on what is held back. A reader that waits for one line must get it.
    pub(super) fn flush(&mut self) -> Result<(), Unwritten> {
        Ok(self.0.flush()?)
    }
}
