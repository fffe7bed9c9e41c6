//! JSON patterns: `{ $.level = "ERROR" && ($.latency > 500 || $.retry IS TRUE) }`.

use std::fmt;

use serde_json::value::RawValue;

use super::{
    comparison::Comparison,
    cursor::Cursor,
    error::PatternError,
    logic::Logic,
    raw::{self, Scalar},
    selector::Selector,
};

/// An expression over the members of a message that is one JSON object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPattern {
    expression: Logic<Test>,
}

#[derive(Debug, Clone, PartialEq)]
struct Test {
    selector: Selector,
    predicate: Predicate,
}

#[derive(Debug, Clone, PartialEq)]
enum Predicate {
    Compare(Comparison),
    /// `!=` behind a wildcard: the part before the wildcard exists and no value compares equal.
    NoneEqual(Comparison),
    IsNull,
    IsBool(bool),
    NotExists,
}

impl JsonPattern {
    /// Reads the pattern from its opening brace on.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        cursor.eat("{");
        let expression = Logic::parse(cursor, &mut test)?;
        if cursor.eat("}") {
            return Ok(Self { expression });
        }
        Err(cursor.error("expected `&&`, `||` or `}`"))
    }

    /// `root` is the message's; messages that are not exactly one JSON object never match.
    pub(super) fn matches(&self, root: Option<&RawValue>) -> bool {
        root.is_some_and(|root| self.expression.holds(&|test| test.holds(root)))
    }
}

impl Test {
    fn holds(&self, root: &RawValue) -> bool {
        let any = |test: &dyn Fn(&RawValue) -> bool| self.selector.any(root, test);
        match &self.predicate {
            Predicate::Compare(comparison) => any(&|value| accepts(comparison, value)),
            Predicate::NoneEqual(equal) => {
                self.selector.prefix_exists(root) && !any(&|value| accepts(equal, value))
            }
            Predicate::IsNull => any(&|value| self.is_null(value)),
            Predicate::IsBool(expect) => {
                any(&|value| matches!(raw::scalar(value), Scalar::Bool(it) if it == *expect))
            }
            Predicate::NotExists => !any(&|_| true),
        }
    }

    /// An array that directly holds a null counts as null, but not as one of the values of a
    /// wildcard (observed on AWS).
    fn is_null(&self, value: &RawValue) -> bool {
        value.get() == "null" || (!self.selector.has_wildcard() && raw::holds_null(value))
    }
}

/// Only strings and numbers compare, also with `!=`.
fn accepts(comparison: &Comparison, value: &RawValue) -> bool {
    match raw::scalar(value) {
        Scalar::Number(text) => comparison.accepts_number(text),
        Scalar::String(text) => comparison.accepts_string(&text),
        Scalar::Null | Scalar::Bool(_) | Scalar::Container => false,
    }
}

fn test(cursor: &mut Cursor<'_>) -> Result<Test, PatternError> {
    let selector = Selector::parse(cursor)?;
    cursor.skip_space();
    let predicate = match cursor.peek() {
        Some('=' | '!' | '<' | '>') => comparison(cursor, &selector)?,
        _ => keywords(cursor)?,
    };
    Ok(Test { selector, predicate })
}

fn comparison(cursor: &mut Cursor<'_>, selector: &Selector) -> Result<Predicate, PatternError> {
    let start = cursor.offset();
    let text = cursor.rest();
    let comparison = Comparison::parse(cursor)?;
    let written = text.strip_suffix(cursor.rest()).unwrap_or_default();
    let value = written.trim_start_matches(['=', '!', '<', '>']).trim();
    if value.eq_ignore_ascii_case("null") {
        return Err(cursor.error_at(start, "null is tested with `IS NULL`; quote it for the text"));
    }
    if comparison.is_not_equal() && selector.has_wildcard() {
        return Ok(Predicate::NoneEqual(comparison.into_equal()));
    }
    Ok(Predicate::Compare(comparison))
}

fn keywords(cursor: &mut Cursor<'_>) -> Result<Predicate, PatternError> {
    const EXPECTED: &str = "expected an operator, `IS NULL`, `IS TRUE`, `IS FALSE` or `NOT EXISTS`";
    let start = cursor.offset();
    let first = keyword(cursor);
    let second = keyword(cursor);
    match (first.as_str(), second.as_str()) {
        ("IS", "NULL") => Ok(Predicate::IsNull),
        ("IS", "TRUE") => Ok(Predicate::IsBool(true)),
        ("IS", "FALSE") => Ok(Predicate::IsBool(false)),
        ("NOT", "EXISTS") => Ok(Predicate::NotExists),
        _ => Err(cursor.error_at(start, EXPECTED)),
    }
}

fn keyword(cursor: &mut Cursor<'_>) -> String {
    cursor.skip_space();
    cursor.take_while(|c| c.is_alphanumeric() || c == '_').to_ascii_uppercase()
}

impl fmt::Display for JsonPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ ")?;
        self.expression.write(f, &|f, test| write!(f, "{test}"))?;
        f.write_str(" }")
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.selector)?;
        match &self.predicate {
            Predicate::Compare(comparison) => write!(f, "{comparison}"),
            Predicate::NoneEqual(equal) => write!(f, "!{equal}"),
            Predicate::IsNull => f.write_str("IS NULL"),
            Predicate::IsBool(true) => f.write_str("IS TRUE"),
            Predicate::IsBool(false) => f.write_str("IS FALSE"),
            Predicate::NotExists => f.write_str("NOT EXISTS"),
        }
    }
}
