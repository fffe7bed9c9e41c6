//! Selectors of JSON patterns: `$.detail.items[*].['a.b']`.

use std::fmt;

use serde_json::value::RawValue;

use super::{
    cursor::{Cursor, write_quoted},
    error::PatternError,
    raw,
};

/// A path from the root of the message, with at most one wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::etl) struct Selector {
    prefix: Vec<Step>,
    /// What follows the wildcard, if there is one.
    each: Option<Vec<Step>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

enum Token {
    Step(Step),
    Wildcard,
}

impl Selector {
    /// Reads a path as it stands in a configuration: a selector with or without its `$.`, and nothing
    /// behind it.
    pub(in crate::etl) fn from_path(path: &str) -> Result<Self, PatternError> {
        let text = if path.starts_with("$.") { path.to_owned() } else { format!("$.{path}") };
        let mut cursor = Cursor::new(&text);
        let selector = Self::parse(&mut cursor)?;
        match cursor.at_end() {
            true => Ok(selector),
            false => Err(cursor.error("expected `.` or `[` before the next part of the path")),
        }
    }

    /// The member of this name of the root, whatever is in the name.
    pub(in crate::etl) fn of_key(name: &str) -> Self {
        Self { prefix: vec![Step::Key(name.to_owned())], each: None }
    }

    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        if !cursor.eat("$") {
            return Err(cursor.error("expected a selector such as `$.name`"));
        }
        if !cursor.rest().starts_with('.') {
            return Err(cursor.error("a selector starts with `$.`"));
        }
        let mut selector = Self { prefix: Vec::new(), each: None };
        loop {
            let start = cursor.offset();
            match (token(cursor)?, &mut selector.each) {
                (None, _) => return Ok(selector),
                (Some(Token::Step(step)), None) => selector.prefix.push(step),
                (Some(Token::Step(step)), Some(suffix)) => suffix.push(step),
                (Some(Token::Wildcard), None) => {
                    cursor.count_wildcard()?;
                    selector.each = Some(Vec::new());
                }
                (Some(Token::Wildcard), Some(_)) => {
                    return Err(cursor.error_at(start, "a selector may hold only one wildcard"));
                }
            }
        }
    }

    pub(in crate::etl) fn has_wildcard(&self) -> bool {
        self.each.is_some()
    }

    /// Whether the part before the wildcard, or all of it without one, leads to a value.
    pub(super) fn prefix_exists(&self, root: &RawValue) -> bool {
        descend(root, &self.prefix).is_some()
    }

    /// The value that a selector without a wildcard leads to.
    pub(in crate::etl) fn one<'m>(&self, root: &'m RawValue) -> Option<&'m RawValue> {
        if self.has_wildcard() { None } else { descend(root, &self.prefix) }
    }

    /// Whether any value that the selector leads to passes `test`.
    pub(in crate::etl) fn any(&self, root: &RawValue, test: &dyn Fn(&RawValue) -> bool) -> bool {
        let Some(base) = descend(root, &self.prefix) else {
            return false;
        };
        let Some(suffix) = &self.each else {
            return test(base);
        };
        raw::children(base).into_iter().any(|child| descend(child, suffix).is_some_and(test))
    }
}

fn descend<'m>(root: &'m RawValue, steps: &[Step]) -> Option<&'m RawValue> {
    steps.iter().try_fold(root, |value, step| match step {
        Step::Key(key) => raw::member(value, key),
        Step::Index(index) => raw::element(value, *index),
    })
}

/// Reads one step, or `None` where the selector ends.
fn token(cursor: &mut Cursor<'_>) -> Result<Option<Token>, PatternError> {
    if cursor.eat(".[") {
        return quoted_key(cursor).map(Some);
    }
    if cursor.eat(".*") || cursor.eat("[*]") {
        return Ok(Some(Token::Wildcard));
    }
    if cursor.eat(".") {
        let name = cursor.take_while(is_name);
        if name.is_empty() {
            let reason = "expected a name of letters, digits, `_` and `-`; others as `.['name']`";
            return Err(cursor.error(reason));
        }
        return Ok(Some(Token::Step(Step::Key(name.to_owned()))));
    }
    if cursor.eat("[") {
        return index(cursor).map(Some);
    }
    Ok(None)
}

fn quoted_key(cursor: &mut Cursor<'_>) -> Result<Token, PatternError> {
    if cursor.peek() != Some('\'') {
        return Err(cursor.error("expected a name in single quotes after `.[`"));
    }
    let key = cursor.quoted('\'')?;
    if !cursor.eat("]") {
        return Err(cursor.error("expected `]` after the quoted name"));
    }
    Ok(Token::Step(Step::Key(key)))
}

fn index(cursor: &mut Cursor<'_>) -> Result<Token, PatternError> {
    let start = cursor.offset();
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    let Ok(index) = digits.parse() else {
        return Err(cursor.error_at(start, "expected an index from 0 on, or `*`"));
    };
    if !cursor.eat("]") {
        return Err(cursor.error("expected `]` after the index"));
    }
    Ok(Token::Step(Step::Index(index)))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        write_steps(f, &self.prefix)?;
        let Some(suffix) = &self.each else {
            return Ok(());
        };
        // The first step must start with a dot.
        f.write_str(if self.prefix.is_empty() { ".*" } else { "[*]" })?;
        write_steps(f, suffix)
    }
}

fn write_steps(f: &mut fmt::Formatter<'_>, steps: &[Step]) -> fmt::Result {
    for step in steps {
        match step {
            Step::Key(key) if !key.is_empty() && key.chars().all(is_name) => write!(f, ".{key}")?,
            Step::Key(key) => {
                f.write_str(".[")?;
                write_quoted(f, key, '\'')?;
                f.write_str("]")?;
            }
            Step::Index(index) => write!(f, "[{index}]")?,
        }
    }
    Ok(())
}
