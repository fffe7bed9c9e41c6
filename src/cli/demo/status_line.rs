//! The last line of a terminal.

use std::{
    fmt,
    io::{self, IsTerminal},
};

use crate::cli::talk::{say, tell};

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
