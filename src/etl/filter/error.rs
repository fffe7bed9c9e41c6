//! Why a pattern was rejected, and where.

use std::fmt;

/// A filter pattern that AWS would reject as well.
///
/// `Display` is one line (`column 7: …`); the alternate form `{:#}` is [`PatternError::render`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PatternError {
    pattern: Box<str>,
    offset: usize,
    reason: Box<str>,
}

impl PatternError {
    pub(super) fn new(pattern: &str, offset: usize, reason: impl Into<Box<str>>) -> Self {
        Self { pattern: pattern.into(), offset, reason: reason.into() }
    }

    /// Where the problem starts, in bytes from the start of the pattern as it was given.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Where the problem starts, in characters, the first being 1.
    pub fn column(&self) -> usize {
        let before = self.pattern.char_indices().take_while(|(at, _)| *at < self.offset);
        before.count() + 1
    }

    /// What is wrong, without the place.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Two lines for a terminal: the pattern, and a caret under the problem with the reason.
    pub fn render(&self) -> String {
        // Tabs and newlines would move the caret away from its character.
        let flat: String =
            self.pattern.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let column = self.column();
        format!("{flat}\n{:>column$} column {column}: {}", '^', self.reason)
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&self.render());
        }
        write!(f, "column {}: {}", self.column(), self.reason)
    }
}
