//! Regular expressions between percent signs.

use std::fmt;

use regex::Regex;

use super::{cursor::Cursor, dialect, error::PatternError};

/// A compiled `%…%`, searched for anywhere in the text.
#[derive(Debug, Clone)]
pub(super) struct SearchRegex {
    source: String,
    regex: Regex,
}

impl SearchRegex {
    /// Reads a regular expression between percent signs, of which the first comes next.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        let start = cursor.offset();
        cursor.count_regex()?;
        cursor.eat("%");
        let Some(mut body) = cursor.until('%') else {
            return Err(cursor.error_at(start, "this regular expression is never closed by `%`"));
        };
        if body.at_end() {
            return Err(cursor.error_at(start, "a regular expression must not be empty"));
        }
        let source = body.rest().to_owned();
        let translated = dialect::translate(&mut body)?;
        let regex = Regex::new(&translated).map_err(|error| {
            let reason = format!("failed to compile regular expression: {}", summary(&error));
            cursor.error_at(start, reason)
        })?;
        Ok(Self { source, regex })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The last line of a syntax error; the lines before it draw the translated source.
fn summary(error: &regex::Error) -> String {
    let full = error.to_string();
    let line = full.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

impl PartialEq for SearchRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Display for SearchRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}%", self.source)
    }
}
