//! Numbers.

use vrl::{compiler::prelude::NotNan, value::Value};

use super::{Read, Reader};

impl Reader<'_> {
    pub(super) fn number(&mut self) -> Read<Value> {
        let start = self.at;
        let negative = self.rest().starts_with('-');
        self.take_while(|c| matches!(c, '+' | '-'));
        if self.at > start + 1 {
            self.at = start;
            return Err("more than one sign");
        }
        self.skip_space();
        let from = self.at;
        self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        // The sign of an exponent; that of a hexadecimal `0x1e+1` would begin another value.
        let mantissa = self.text.get(from..self.at).unwrap_or_default();
        let decimal = mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let radix = mantissa.get(..2).is_some_and(|start| radix(start).is_some());
        if decimal
            && !radix
            && mantissa.ends_with(['e', 'E'])
            && self.rest().starts_with(['+', '-'])
        {
            self.bump();
            self.take_while(|c| c.is_ascii_digit() || c == '_');
        }
        let digits = self.text.get(from..self.at).unwrap_or_default();
        number_of(digits, negative).inspect_err(|_| self.at = start)
    }
}

fn radix(prefix: &str) -> Option<u32> {
    match prefix {
        "0x" | "0X" => Some(16),
        "0o" | "0O" => Some(8),
        "0b" | "0B" => Some(2),
        _ => None,
    }
}

fn number_of(written: &str, negative: bool) -> Read<Value> {
    const BAD: &str = "not a number";
    let sign = if negative { "-" } else { "" };
    if let Some((prefix, digits)) = written.split_at_checked(2)
        && let Some(radix) = radix(prefix)
    {
        let digits = digits.strip_prefix('_').unwrap_or(digits);
        let digits = without_underscores(digits, radix).ok_or(BAD)?;
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        let integer = i64::from_str_radix(&format!("{sign}{digits}"), radix);
        return match (all, integer) {
            (false, _) => Err(BAD),
            (true, Ok(integer)) => Ok(Value::Integer(integer)),
            (true, Err(_)) => Err("a number beyond 64 bits must be decimal"),
        };
    }
    let digits = without_underscores(written, 10).ok_or(BAD)?;
    if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) {
        let significant = digits.trim_start_matches('0');
        if digits.len() > 1 && digits.starts_with('0') && !significant.is_empty() {
            return Err("a whole number cannot begin with 0");
        }
        let text = format!("{sign}{}", if significant.is_empty() { "0" } else { significant });
        return Ok(text.parse().map_or_else(|_| Value::from(text.as_str()), Value::Integer));
    }
    let float_like =
        digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let float: f64 = format!("{sign}{digits}").parse().map_err(|_| BAD)?;
    match NotNan::new(float) {
        Ok(float) if float_like && float.is_finite() => Ok(Value::Float(float)),
        Ok(float) if float_like && float.is_infinite() => Err("a number is too large"),
        _ => Err(BAD),
    }
}

/// Digits without the underscores between them; `None` where one is not between two digits.
fn without_underscores(written: &str, radix: u32) -> Option<String> {
    let mut parts = written.split('_').peekable();
    while let Some(part) = parts.next() {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_digit(radix));
        let Some(next) = parts.peek() else { break };
        if !digit(part.chars().next_back()) || !digit(next.chars().next()) {
            return None;
        }
    }
    Some(written.replace('_', ""))
}
