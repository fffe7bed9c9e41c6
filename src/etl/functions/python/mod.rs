//! Python literals: what `print`, `repr` and `str` write of dicts, lists, tuples, sets, strings,
//! bytes and numbers, as `ast.literal_eval` reads them.
//!
//! Beyond that, `true`, `false` and `null` are read as in JSON, since people mix the two. Not read:
//! `nan` and `inf` (no literals in Python either), complex numbers, comments, calls such as
//! `Decimal('1')`, `f'…'` strings and `\N{…}` escapes.

mod number;
mod text;

use vrl::value::{KeyString, ObjectMap, Value};

/// Deepest nesting, as that of JSON: poisonous input must not exhaust the stack.
const DEEPEST: usize = 128;

/// Why a text is not a Python literal, and where. It shows nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Python literal at character {character}: {reason}")]
pub(super) struct PythonError {
    /// The character, from 1.
    pub(super) character: usize,
    reason: &'static str,
}

/// Reads one literal, with white space around it.
///
/// Tuples and sets become arrays. The key of a dict becomes text, as in `json.dumps`; of two equal
/// ones the last wins. A whole number beyond 64 bits becomes the text of its digits: a float would
/// lose some.
pub(super) fn parse(text: &str) -> Result<Value, PythonError> {
    let mut reader = Reader { text, at: 0 };
    let read = reader.value(0).and_then(|value| {
        reader.skip_space();
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err("something follows the literal"),
        }
    });
    read.map_err(|reason| {
        let before = text.get(..reader.at).unwrap_or(text);
        PythonError { character: before.chars().count() + 1, reason }
    })
}

type Read<T> = Result<T, &'static str>;

/// Where the reader stands when it fails is where the problem is.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c'));
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        self.skip_space();
        if depth > DEEPEST {
            return Err("nested too deeply");
        }
        match self.peek() {
            None => Err("a value is missing"),
            Some('{') => self.braces(depth),
            Some('[') => {
                self.bump();
                self.items("]", depth).map(Value::Array)
            }
            Some('(') => self.parentheses(depth),
            Some('\'' | '"') => self.strings(),
            Some('0'..='9' | '.' | '+' | '-') => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => self.word(),
            Some(_) => Err("a value cannot begin so"),
        }
    }

    /// Values up to the closing bracket, with commas between and perhaps behind them.
    fn items(&mut self, close: &str, depth: usize) -> Read<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            self.skip_space();
            if self.eat(close) {
                return Ok(items);
            }
            items.push(self.value(depth + 1)?);
            self.comma_before(close)?;
        }
    }

    /// A comma, or the closing bracket, which is left to be read.
    fn comma_before(&mut self, close: &str) -> Read<()> {
        self.skip_space();
        match self.eat(",") || self.rest().starts_with(close) {
            true => Ok(()),
            false => Err("a comma or a closing bracket is missing"),
        }
    }

    /// A tuple, or one value in parentheses.
    fn parentheses(&mut self, depth: usize) -> Read<Value> {
        self.bump();
        self.skip_space();
        if self.eat(")") {
            return Ok(Value::Array(Vec::new()));
        }
        let first = self.value(depth + 1)?;
        self.skip_space();
        if self.eat(")") {
            return Ok(first);
        }
        self.comma_before(")")?;
        let mut items = vec![first];
        items.append(&mut self.items(")", depth)?);
        Ok(Value::Array(items))
    }

    /// A dict or a set.
    fn braces(&mut self, depth: usize) -> Read<Value> {
        self.bump();
        self.skip_space();
        if self.eat("}") {
            return Ok(Value::Object(ObjectMap::new()));
        }
        let first = self.value(depth + 1)?;
        self.skip_space();
        if !self.rest().starts_with(':') {
            self.comma_before("}")?;
            let mut items = vec![first];
            items.append(&mut self.items("}", depth)?);
            return Ok(Value::Array(items));
        }
        let mut members = ObjectMap::new();
        let mut key = first;
        loop {
            self.skip_space();
            if !self.eat(":") {
                return Err("a colon is missing behind the key");
            }
            let value = self.value(depth + 1)?;
            members.insert(key_text(&key)?, value);
            self.comma_before("}")?;
            self.skip_space();
            if self.eat("}") {
                return Ok(Value::Object(members));
            }
            key = self.value(depth + 1)?;
        }
    }

    /// A name: a constant, or the prefix of a string.
    fn word(&mut self) -> Read<Value> {
        let start = self.at;
        let word = self.take_while(|c| c.is_alphanumeric() || c == '_');
        if self.rest().starts_with(['\'', '"']) {
            self.at = start;
            return self.strings();
        }
        match word {
            "True" | "true" => Ok(Value::Boolean(true)),
            "False" | "false" => Ok(Value::Boolean(false)),
            "None" | "null" => Ok(Value::Null),
            "set" if self.eat("()") => Ok(Value::Array(Vec::new())),
            _ => {
                self.at = start;
                Err("a name is no literal, except True, False and None")
            }
        }
    }
}

/// A key as `json.dumps` writes it.
fn key_text(key: &Value) -> Read<KeyString> {
    Ok(match key {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| "a key is not text")?.into(),
        Value::Integer(integer) => integer.to_string().into(),
        Value::Float(float) => format!("{float:?}").into(),
        Value::Boolean(flag) => flag.to_string().into(),
        Value::Null => "null".into(),
        _ => return Err("a tuple or a container cannot be a key here"),
    })
}

#[cfg(test)]
mod tests;
