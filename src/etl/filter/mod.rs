//! The filter pattern language of `CloudWatch` Logs (metric and subscription filters,
//! `FilterLogEvents`, Live Tail), as AWS behaves rather than as its documentation says.
//!
//! The first character of a pattern chooses its kind: `{` JSON (`json`: `selector`s into the
//! message, read by `raw`), `[` space-delimited (`delimited`, `fields`), `%` a regular expression
//! (`regexes`, `dialect`), anything else `terms`. The first two share boolean `logic` and the
//! `comparison` of values (`number`, `wildcard`). All parsers read from one `cursor` and answer
//! `error`s that know their column.
//!
//! Source: the AWS page "Filter pattern syntax for metric filters, subscription filters, filter
//! log events, and Live Tail", corrected by captures of `TestMetricFilter`.

mod comparison;
mod cursor;
mod delimited;
mod dialect;
mod error;
mod fields;
mod json;
mod logic;
pub(super) mod number;
pub(super) mod raw;
mod regexes;
pub(super) mod selector;
mod terms;
#[cfg(test)]
mod tests;
mod wildcard;

use std::{fmt, str::FromStr};

use serde_json::value::RawValue;

use self::{
    cursor::Cursor, delimited::Delimited, json::JsonPattern, regexes::SearchRegex, terms::Terms,
};

pub use self::error::PatternError;

/// Characters in a pattern (AWS limit of `filterPattern`).
pub const MAX_CHARS: usize = 1024;

/// A parsed filter pattern. Equal patterns match the same messages.
///
/// `Display` writes a canonical form that parses to an equal pattern. It may be longer than the
/// pattern was, so for one that is near [`MAX_CHARS`] it can exceed what [`FilterPattern::parse`]
/// accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterPattern {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Everything,
    Terms(Terms),
    Regex(SearchRegex),
    Json(JsonPattern),
    Delimited(Delimited),
}

impl FilterPattern {
    /// Parses a pattern; an empty one matches everything.
    ///
    /// # Errors
    /// What AWS rejects, and patterns over [`MAX_CHARS`] characters.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        if let Some((offset, _)) = pattern.char_indices().nth(MAX_CHARS) {
            let reason = format!("a pattern may hold at most {MAX_CHARS} characters");
            return Err(PatternError::new(pattern, offset, reason));
        }
        Self::parse_any_length(pattern)
    }

    fn parse_any_length(pattern: &str) -> Result<Self, PatternError> {
        let mut cursor = Cursor::new(pattern);
        let kind = match cursor.peek() {
            None => Kind::Everything,
            Some('{') => Kind::Json(JsonPattern::parse(&mut cursor)?),
            Some('[') => Kind::Delimited(Delimited::parse(&mut cursor)?),
            Some('%') => Kind::Regex(SearchRegex::parse(&mut cursor)?),
            Some(_) => Kind::Terms(Terms::parse(&mut cursor)?),
        };
        cursor.skip_space();
        if cursor.at_end() {
            return Ok(Self { kind });
        }
        Err(cursor.error("nothing may follow the end of the pattern"))
    }

    /// Whether this is the empty pattern, which matches everything.
    pub fn is_everything(&self) -> bool {
        self.kind == Kind::Everything
    }

    /// Whether the message of a log event passes the filter.
    pub fn matches(&self, message: &str) -> bool {
        self.matches_with(message, || raw::root(message))
    }

    /// [`Self::matches`] where others want the message's root too: it is asked for only by JSON
    /// patterns.
    pub(super) fn matches_with<'m>(
        &self,
        message: &str,
        root: impl FnOnce() -> Option<&'m RawValue>,
    ) -> bool {
        match &self.kind {
            Kind::Everything => true,
            Kind::Terms(terms) => terms.matches(message),
            Kind::Regex(regex) => regex.is_match(message),
            Kind::Json(json) => json.matches(root()),
            Kind::Delimited(delimited) => delimited.matches(message),
        }
    }

    /// The values a matching message yields, in the order of the message, as `extractedValues` of
    /// `TestMetricFilter`: the fields of a space-delimited pattern under `$name`, or `$N` for the
    /// Nth field without a name. The other kinds extract nothing. `None` if the message does not
    /// match.
    pub fn extract(&self, message: &str) -> Option<Vec<(String, String)>> {
        match &self.kind {
            Kind::Delimited(delimited) => delimited.extract(message),
            _ => self.matches(message).then(Vec::new),
        }
    }
}

impl FromStr for FilterPattern {
    type Err = PatternError;

    fn from_str(pattern: &str) -> Result<Self, PatternError> {
        Self::parse(pattern)
    }
}

impl fmt::Display for FilterPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Everything => Ok(()),
            Kind::Terms(terms) => write!(f, "{terms}"),
            Kind::Regex(regex) => write!(f, "{regex}"),
            Kind::Json(json) => write!(f, "{json}"),
            Kind::Delimited(delimited) => write!(f, "{delimited}"),
        }
    }
}
