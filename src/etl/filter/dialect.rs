//! AWS's regular expressions, translated for the `regex` crate.
//!
//! AWS allows a subset: ASCII letters and digits, space, ``: _ # = @ / ; , -``, the operators
//! `^ $ ? [ ] { } | * + .` and a backslash before these, `\d \D \s \S \w \W` and `\xhh`. Groups are
//! not part of it. Class escapes are ASCII; `.` and negated classes take one whole character of
//! any script. Checking here gives errors a column, and keeps syntax that only the `regex` crate
//! knows (nested classes, `--`, repeated repetitions) from changing the meaning.

use super::{cursor::Cursor, error::PatternError};

/// Translates the expression under the cursor up to its end.
pub(super) fn translate(body: &mut Cursor<'_>) -> Result<String, PatternError> {
    let mut out = String::new();
    let mut repeatable = false;
    loop {
        if let Some(repetition) = repetition(body, repeatable)? {
            out.push_str(&repetition);
            repeatable = false;
            continue;
        }
        let start = body.offset();
        let Some(next) = body.bump() else {
            return Ok(out);
        };
        repeatable = next != '|';
        match next {
            '\\' => match escape(body, start)? {
                Item::Char(c) => push_literal(&mut out, c),
                Item::Set(set) => out.push_str(set),
            },
            '[' => class(body, start, &mut out)?,
            '^' | '$' | '|' | '.' => out.push(next),
            _ if is_allowed(next) => push_literal(&mut out, next),
            _ => return Err(not_allowed(body, start, next)),
        }
    }
}

/// One member of a class, or one escape outside.
enum Item {
    Char(char),
    Set(&'static str),
}

/// Reads `*`, `+`, `?` or a counted repetition, with the `?` that makes it lazy.
fn repetition(body: &mut Cursor<'_>, repeatable: bool) -> Result<Option<String>, PatternError> {
    let start = body.offset();
    let simple = ["*", "+", "?"].into_iter().find(|token| body.eat(token));
    let Some(mut text) = simple.map(str::to_owned).or_else(|| counted(body)) else {
        return Ok(None);
    };
    if !repeatable {
        let reason = format!("failed to compile regular expression: `{text}` repeats nothing");
        return Err(body.error_at(start, reason));
    }
    if body.eat("?") {
        text.push('?');
    }
    Ok(Some(text))
}

/// Reads `{n}`, `{n,}`, `{n,m}` or `{,m}`. A brace that is none of these is a literal.
fn counted(body: &mut Cursor<'_>) -> Option<String> {
    let inner = body.rest().strip_prefix('{')?;
    let (bounds, _) = inner.split_once('}')?;
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let normal = match bounds.split_once(',') {
        None if !bounds.is_empty() && is_number(bounds) => bounds.to_owned(),
        Some(("", max)) if !max.is_empty() && is_number(max) => format!("0,{max}"),
        Some((min, max)) if !min.is_empty() && is_number(min) && is_number(max) => {
            bounds.to_owned()
        }
        _ => return None,
    };
    body.until('}');
    Some(format!("{{{normal}}}"))
}

/// Reads what follows a backslash, which stood at `start`.
fn escape(body: &mut Cursor<'_>, start: usize) -> Result<Item, PatternError> {
    let set = match body.bump() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\x0B\x0C\r ]",
        Some('S') => r"[^\t\n\x0B\x0C\r ]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('x') => return hexadecimal(body, start),
        Some(c) if is_allowed(c) && !c.is_ascii_alphanumeric() => return Ok(Item::Char(c)),
        Some(c) if c.is_ascii_alphanumeric() => {
            return Err(body.error_at(start, format!("the escape `\\{c}` is not supported")));
        }
        Some(c) => return Err(not_allowed(body, start, c)),
        None => return Err(body.error_at(start, "a backslash must escape something")),
    };
    Ok(Item::Set(set))
}

fn hexadecimal(body: &mut Cursor<'_>, start: usize) -> Result<Item, PatternError> {
    let mut code = 0;
    for _ in 0..2 {
        let Some(digit) = body.bump().and_then(|c| c.to_digit(16)) else {
            return Err(body.error_at(start, "`\\x` needs two hexadecimal digits"));
        };
        code = code * 16 + digit;
    }
    Ok(Item::Char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// Reads a character class, whose bracket stood at `start`.
fn class(body: &mut Cursor<'_>, start: usize, out: &mut String) -> Result<(), PatternError> {
    out.push('[');
    if body.eat("^") {
        out.push('^');
    }
    let mut empty = true;
    while empty || !body.eat("]") {
        empty = false;
        if let Some(name) = posix_class(body)? {
            out.push_str(&name);
            continue;
        }
        let low = match class_item(body, start)? {
            Item::Set(set) => {
                out.push_str(set);
                continue;
            }
            Item::Char(c) => c,
        };
        push_literal(out, low);
        // A minus before the closing bracket is itself.
        if body.rest().starts_with("-]") || !body.eat("-") {
            continue;
        }
        let Item::Char(high) = class_item(body, start)? else {
            let reason = "failed to compile regular expression: a range must end in a character";
            return Err(body.error(reason));
        };
        out.push('-');
        push_literal(out, high);
    }
    out.push(']');
    Ok(())
}

fn class_item(body: &mut Cursor<'_>, class_start: usize) -> Result<Item, PatternError> {
    let start = body.offset();
    match body.bump() {
        Some('\\') => escape(body, start),
        Some(c) if is_allowed(c) => Ok(Item::Char(c)),
        Some(c) => Err(not_allowed(body, start, c)),
        None => Err(body.error_at(class_start, "this `[` is never closed")),
    }
}

/// Reads `[:alpha:]` and the like inside a class.
fn posix_class(body: &mut Cursor<'_>) -> Result<Option<String>, PatternError> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let inner = body.rest().strip_prefix("[:");
    let Some((name, _)) = inner.and_then(|rest| rest.split_once(":]")) else {
        return Ok(None);
    };
    if !NAMES.contains(&name) {
        return Err(body.error("failed to compile regular expression: unknown class"));
    }
    let text = format!("[:{name}:]");
    body.eat(&text);
    Ok(Some(text))
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || " :_#=@/;,-^$?[]{}|\\*+.".contains(c)
}

fn not_allowed(body: &Cursor<'_>, start: usize, c: char) -> PatternError {
    let hint =
        if c.is_ascii() { format!("; write `\\x{:02x}`", u32::from(c)) } else { String::new() };
    body.error_at(start, format!("`{c}` is not allowed in a regular expression{hint}"))
}

fn push_literal(out: &mut String, c: char) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}
