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

/// Colours, on a terminal only.
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(io::stdout().is_terminal() && !unwanted)
    }

    fn paint(&self, colour: u8, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    pub(super) fn green(&self, text: &str) -> String {
        self.paint(32, text)
    }

    pub(super) fn yellow(&self, text: &str) -> String {
        self.paint(33, text)
    }

    pub(super) fn red(&self, text: &str) -> String {
        self.paint(31, text)
    }

    /// A JSON document with its keys and texts told apart.
    pub(super) fn json(&self, json: &str) -> String {
        if self.0 { in_colour(json) } else { json.to_owned() }
    }

    /// What is missing in red, what is new in green.
    pub(super) fn diff(&self, text: &str) -> String {
        let line = |line: &str| match line.as_bytes().first() {
            Some(b'-') => self.paint(31, line),
            Some(b'+') => self.paint(32, line),
            Some(b'@') => self.paint(36, line),
            _ => line.to_owned(),
        };
        text.lines().map(|text| line(text) + "\n").collect()
    }
}

/// Puts colours into JSON: keys blue, texts green, numbers and words yellow.
fn in_colour(json: &str) -> String {
    let mut painted = String::with_capacity(json.len() * 2);
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => text_length(rest),
            '{' | '}' | '[' | ']' | ',' | ':' | ' ' => first.len_utf8(),
            _ => rest.find([',', '}', ']', ' ']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        let colour = match first {
            '"' if after.trim_start().starts_with(':') => "34",
            '"' => "32",
            '{' | '}' | '[' | ']' | ',' | ':' | ' ' => "",
            _ => "33",
        };
        match colour {
            "" => painted.push_str(token),
            _ => painted.extend(["\x1b[", colour, "m", token, "\x1b[0m"]),
        }
        rest = after;
    }
    painted
}

/// The length of the JSON text that stands here, with its quotes.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_nothing_but_colours() {
        let json = r#"{"a":"b\"}:,","c":[1,-2.5e3,true,null],"d\\":"é"}"#;
        let painted = in_colour(json);
        let mut plain = painted.clone();
        for code in ["\x1b[34m", "\x1b[32m", "\x1b[33m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, json);
        assert!(
            painted.contains("\x1b[34m\"a\"\x1b[0m:\x1b[32m\"b\\\"}:,\"\x1b[0m,"),
            "{painted:?}"
        );
        assert_eq!(Paint(false).json(json), json);
    }
}
