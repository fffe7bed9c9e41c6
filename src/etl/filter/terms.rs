//! Term patterns: `ERROR -"GET /ping"`, `?timeout ?refused`.

use std::fmt;

use super::{
    cursor::{Cursor, write_quoted},
    error::PatternError,
};

/// Terms look for substrings, case-sensitively and without word boundaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Terms {
    /// Every term must be there, or must not, in any order.
    All(Vec<Term>),
    /// Every item was written with `?`: one of them is enough.
    Any(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    excluded: bool,
    text: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Required,
    Excluded,
    Optional,
}

impl Terms {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        let mut items = Vec::new();
        while !cursor.at_end() {
            items.push(item(cursor)?);
            cursor.skip_space();
        }
        if items.iter().all(|(sign, _)| *sign == Sign::Optional) {
            return Ok(Self::Any(items.into_iter().map(|(_, text)| text).collect()));
        }
        // Beside any other term, optional ones have no effect (observed on AWS).
        let effective = items.into_iter().filter(|(sign, _)| *sign != Sign::Optional);
        let terms = effective.map(|(sign, text)| Term { excluded: sign == Sign::Excluded, text });
        Ok(Self::All(terms.collect()))
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        match self {
            Self::All(terms) => {
                terms.iter().all(|term| message.contains(&term.text) != term.excluded)
            }
            Self::Any(terms) => terms.iter().any(|term| message.contains(term)),
        }
    }
}

fn item(cursor: &mut Cursor<'_>) -> Result<(Sign, String), PatternError> {
    let sign = if cursor.eat("-") {
        Sign::Excluded
    } else if cursor.eat("?") {
        Sign::Optional
    } else {
        Sign::Required
    };
    if cursor.peek() == Some('"') {
        return Ok((sign, quoted(cursor)?));
    }
    let word = cursor.take_while(is_word);
    match cursor.peek() {
        Some(next) if !next.is_whitespace() && !matches!(next, '-' | '?') => {
            let reason = format!("`{next}` cannot stand in a bare term; use double quotes");
            Err(cursor.error(reason))
        }
        _ if word.is_empty() => Err(cursor.error("expected a term after `-` or `?`")),
        _ => Ok((sign, word.to_owned())),
    }
}

fn quoted(cursor: &mut Cursor<'_>) -> Result<String, PatternError> {
    let start = cursor.offset();
    let text = cursor.quoted('"')?;
    if text.is_empty() {
        return Err(cursor.error_at(start, "a quoted term must not be empty"));
    }
    match cursor.peek() {
        Some(next) if !next.is_whitespace() => {
            Err(cursor.error("expected white space after the closing quote"))
        }
        _ => Ok(text),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(terms) => {
                let items = terms.iter().map(|t| (if t.excluded { "-" } else { "" }, &t.text));
                write_items(f, items)
            }
            Self::Any(terms) => write_items(f, terms.iter().map(|text| ("?", text))),
        }
    }
}

fn write_items<'t>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = (&'static str, &'t String)>,
) -> fmt::Result {
    for (position, (sign, text)) in items.enumerate() {
        let gap = if position == 0 { "" } else { " " };
        write!(f, "{gap}{sign}")?;
        if text.chars().all(is_word) {
            f.write_str(text)?;
        } else {
            write_quoted(f, text, '"')?;
        }
    }
    Ok(())
}
