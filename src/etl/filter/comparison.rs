//! Operators and the values behind them: `= 4*`, `!= "x y"`, `>= 500`, `= %5\d\d%`.

use std::{cmp::Ordering, fmt};

use super::{
    cursor::{Cursor, write_quoted},
    error::PatternError,
    number::Number,
    regexes::SearchRegex,
    wildcard::Wildcard,
};

/// An operator with its value, shared by JSON and space-delimited patterns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison {
    op: Op,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// A numeric literal by its text, which is what strings are compared with.
    Number(String),
    /// A bare word without `*`, which equals strings only.
    Word(String),
    /// Text in quotes or with a `*`, which numbers are compared with as text.
    Text(Wildcard),
    Regex(SearchRegex),
}

impl Comparison {
    /// Reads an operator and a value.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        cursor.skip_space();
        let op = Op::parse(cursor)?;
        cursor.skip_space();
        let start = cursor.offset();
        let value = Value::parse(cursor)?;
        if !op.is_equality() && !matches!(value, Value::Number(_)) {
            return Err(cursor.error_at(start, format!("`{op}` compares with a number only")));
        }
        Ok(Self { op, value })
    }

    pub(super) fn is_not_equal(&self) -> bool {
        self.op == Op::NotEqual
    }

    /// The same value under `=`.
    pub(super) fn into_equal(self) -> Self {
        Self { op: Op::Equal, value: self.value }
    }

    /// Compares a JSON number by its source text.
    pub(super) fn accepts_number(&self, text: &str) -> bool {
        let Some(number) = Number::parse(text) else {
            return false;
        };
        match &self.value {
            Value::Number(literal) => self.accepts_numerically(number, literal),
            Value::Word(_) => self.op.accepts_equal(false),
            Value::Text(wildcard) => self.op.accepts_equal(wildcard.matches(&number.shown())),
            Value::Regex(regex) => self.op.accepts_equal(regex.is_match(&number.shown())),
        }
    }

    /// Compares a JSON string: a numeric literal is its text here.
    pub(super) fn accepts_string(&self, text: &str) -> bool {
        self.op.accepts_equal(match &self.value {
            Value::Number(word) | Value::Word(word) => word == text,
            Value::Text(wildcard) => wildcard.matches(text),
            Value::Regex(regex) => regex.is_match(text),
        })
    }

    /// Compares a field of a space-delimited message: numerically if both sides are numbers.
    pub(super) fn accepts_field(&self, text: &str) -> bool {
        match (&self.value, Number::parse(text)) {
            (Value::Number(literal), Some(number)) => self.accepts_numerically(number, literal),
            _ => self.accepts_string(text),
        }
    }

    fn accepts_numerically(&self, number: Number<'_>, literal: &str) -> bool {
        let ordering = Number::parse(literal).and_then(|literal| number.compare(literal));
        ordering.is_some_and(|ordering| self.op.accepts(ordering))
    }
}

impl Op {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        if cursor.rest().starts_with("==") {
            return Err(cursor.error("equality is a single `=`"));
        }
        let spelled = [
            ("!=", Self::NotEqual),
            ("<=", Self::LessOrEqual),
            (">=", Self::GreaterOrEqual),
            ("=", Self::Equal),
            ("<", Self::Less),
            (">", Self::Greater),
        ];
        let op = spelled.into_iter().find(|(token, _)| cursor.eat(token));
        op.map(|(_, op)| op)
            .ok_or_else(|| cursor.error("expected an operator: `=`, `!=`, `<`, `>`, `<=` or `>=`"))
    }

    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::Greater => ordering.is_gt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// For text, which has no order here.
    fn accepts_equal(self, equal: bool) -> bool {
        match self {
            Self::Equal => equal,
            Self::NotEqual => !equal,
            _ => false,
        }
    }
}

impl Value {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        match cursor.peek() {
            Some('"') => return cursor.quoted('"').map(|text| Self::Text(Wildcard { text })),
            Some('%') => return SearchRegex::parse(cursor).map(Self::Regex),
            _ => {}
        }
        let start = cursor.offset();
        let word = cursor.take_while(is_bare);
        if let Some(next) = cursor.peek().filter(|c| !ends_value(*c)) {
            let reason = format!("`{next}` cannot stand in a bare value; use double quotes");
            return Err(cursor.error(reason));
        }
        if word.is_empty() {
            let reason = "expected a value: a number, a word, \"text\" or %regular expression%";
            return Err(cursor.error(reason));
        }
        match Number::parse(word) {
            Some(number) if !number.exponent_in_range() => {
                Err(cursor.error_at(start, "the exponent is out of range"))
            }
            Some(_) => Ok(Self::Number(word.to_owned())),
            None if word.contains('*') => Ok(Self::Text(Wildcard { text: word.to_owned() })),
            None => Ok(Self::Word(word.to_owned())),
        }
    }
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '*' | '+')
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '&' | '|' | ')' | '}' | ']' | ',')
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.op)?;
        match &self.value {
            Value::Number(text) | Value::Word(text) => f.write_str(text),
            Value::Text(wildcard) => write_quoted(f, &wildcard.text, '"'),
            Value::Regex(regex) => write!(f, "{regex}"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::LessOrEqual => "<=",
            Self::GreaterOrEqual => ">=",
        })
    }
}
