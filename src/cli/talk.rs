//! Data to standard output, talk to standard error.
//!
//! `println!` and `eprintln!` panic when the reader of a pipe has gone or the disk is full. Here
//! neither ends the program: lost talk is not missed, and data that cannot be written is a value.

use std::{
    fmt,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
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
fn tell(text: &str) {
    // Where nobody listens there is nobody to tell that nobody listens.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The last line of a terminal, which is written over again and again; on anything else it stays
/// empty.
#[derive(Clone, Copy)]
pub(super) struct StatusLine {
    terminal: bool,
}

/// Goes to the line's beginning and clears it (ECMA-48).
const CLEAR: &str = "\r\x1b[2K";

impl StatusLine {
    pub(super) fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    /// Whether there is a terminal to show something on.
    pub(super) fn is_shown(self) -> bool {
        self.terminal
    }

    /// Shows another text in place of the last.
    pub(super) fn show(self, text: &str) {
        if self.terminal {
            tell(&format!("{CLEAR}{text}"));
        }
    }

    /// Says a line that stays.
    pub(super) fn say(self, line: impl fmt::Display) {
        let clear = if self.terminal { CLEAR } else { "" };
        say(format_args!("{clear}{line}"));
    }
}

/// The columns that a line of the terminal may take: one is left free, as some terminals wrap after
/// the last.
pub(super) fn columns() -> usize {
    // A pseudo-terminal may know its columns and not its rows.
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 79 } else { columns - 1 }
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
