//! The reading position in a pattern, shared by the parsers of all kinds.

use std::fmt::{self, Write as _};

use super::error::PatternError;

/// Regular expressions in one pattern (AWS quota).
const MAX_REGEXES: usize = 2;
/// Wildcard selectors in one JSON pattern (AWS quota).
const MAX_WILDCARDS: usize = 3;

/// A position in the pattern, and what has been counted so far against the AWS quotas.
pub(super) struct Cursor<'a> {
    pattern: &'a str,
    rest: &'a str,
    /// Byte offset in `pattern` at which `rest` ends.
    end: usize,
    regexes: usize,
    wildcards: usize,
}

impl<'a> Cursor<'a> {
    /// Starts behind leading white space and stops before trailing white space. Offsets still
    /// count from the start of the pattern as given.
    pub(super) fn new(pattern: &'a str) -> Self {
        let kept = pattern.trim_end();
        Self { pattern, rest: kept.trim_start(), end: kept.len(), regexes: 0, wildcards: 0 }
    }

    pub(super) fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    /// Steps over `text` if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(text) else {
            return false;
        };
        self.rest = rest;
        true
    }

    pub(super) fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Reads the longest run of characters that `keep` accepts, possibly empty.
    pub(super) fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    /// Reads text up to `mark` and steps over the mark; the answer reads the text alone and
    /// keeps its offsets. `None` if the mark does not come any more.
    pub(super) fn until(&mut self, mark: char) -> Option<Cursor<'a>> {
        let (body, rest) = self.rest.split_once(mark)?;
        let end = self.offset() + body.len();
        self.rest = rest;
        Some(Cursor { pattern: self.pattern, rest: body, end, regexes: 0, wildcards: 0 })
    }

    /// Reads text between two `mark`s, of which the first comes next. A backslash protects the
    /// mark and itself; before anything else it is an ordinary character.
    pub(super) fn quoted(&mut self, mark: char) -> Result<String, PatternError> {
        let start = self.offset();
        let mut text = String::new();
        self.bump();
        loop {
            match self.bump() {
                None => return Err(self.error_at(start, "this quote is never closed")),
                Some('\\') => match self.peek().filter(|next| *next == mark || *next == '\\') {
                    Some(protected) => {
                        text.push(protected);
                        self.bump();
                    }
                    None => text.push('\\'),
                },
                Some(next) if next == mark => return Ok(text),
                Some(next) => text.push(next),
            }
        }
    }

    /// Counts one regular expression against the quota.
    pub(super) fn count_regex(&mut self) -> Result<(), PatternError> {
        self.regexes += 1;
        if self.regexes > MAX_REGEXES {
            return Err(self.error("a pattern may hold at most 2 regular expressions"));
        }
        Ok(())
    }

    /// Counts one wildcard selector against the quota.
    pub(super) fn count_wildcard(&mut self) -> Result<(), PatternError> {
        self.wildcards += 1;
        if self.wildcards > MAX_WILDCARDS {
            return Err(self.error("a pattern may hold at most 3 wildcard selectors"));
        }
        Ok(())
    }

    /// An error at the current position.
    pub(super) fn error(&self, reason: impl Into<Box<str>>) -> PatternError {
        self.error_at(self.offset(), reason)
    }

    /// An error at `offset`, which an earlier [`Cursor::offset`] answered.
    pub(super) fn error_at(&self, offset: usize, reason: impl Into<Box<str>>) -> PatternError {
        PatternError::new(self.pattern, offset, reason)
    }
}

/// Writes what [`Cursor::quoted`] reads back.
pub(super) fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str, mark: char) -> fmt::Result {
    f.write_char(mark)?;
    for c in text.chars() {
        if c == mark || c == '\\' {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char(mark)
}
