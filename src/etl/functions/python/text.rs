//! Strings and bytes.

use vrl::value::Value;

use super::{Read, Reader};

const NO_STRING: &str = "a string cannot begin so";
const LONE_SURROGATE: &str = "half of a surrogate pair is no character";

impl Reader<'_> {
    /// A string, and those that follow it: Python joins them.
    pub(super) fn strings(&mut self) -> Read<Value> {
        let mut joined = Vec::new();
        let mut kind = None;
        loop {
            let start = self.at;
            let prefix = self.take_while(|c| c.is_ascii_alphabetic()).to_ascii_lowercase();
            let (bytes, raw) = match prefix.as_str() {
                "" | "u" => (false, false),
                "r" => (false, true),
                "b" => (true, false),
                "br" | "rb" => (true, true),
                _ => {
                    self.at = start;
                    return Err(NO_STRING);
                }
            };
            if *kind.get_or_insert(bytes) != bytes {
                self.at = start;
                return Err("text and bytes do not join");
            }
            self.string(bytes, raw, &mut joined)?;
            let end = self.at;
            self.skip_space();
            let mut ahead = Reader { text: self.text, at: self.at };
            ahead.take_while(|c| c.is_ascii_alphabetic());
            if !ahead.rest().starts_with(['\'', '"']) {
                self.at = end;
                return Ok(Value::Bytes(joined.into()));
            }
        }
    }

    fn string(&mut self, bytes: bool, raw: bool, out: &mut Vec<u8>) -> Read<()> {
        let start = self.at;
        let quotes = ["'''", "\"\"\"", "'", "\""];
        let quote = quotes.into_iter().find(|quote| self.eat(quote)).ok_or(NO_STRING)?;
        loop {
            let here = self.at;
            if self.eat(quote) {
                return Ok(());
            }
            match self.bump() {
                None => {
                    self.at = start;
                    return Err("the string does not end");
                }
                Some('\n') if quote.len() == 1 => {
                    self.at = here;
                    return Err("a line ends within the string");
                }
                Some('\\') => {
                    let escaped = if raw { self.raw_escape(out) } else { self.escape(bytes, out) };
                    escaped.inspect_err(|_| self.at = here)?;
                }
                Some(c) if bytes && !c.is_ascii() => {
                    self.at = here;
                    return Err("bytes hold only ASCII characters and escapes");
                }
                Some(c) => push(out, c),
            }
        }
    }

    /// In a raw string a backslash stays, and keeps a quote behind it from ending the string.
    fn raw_escape(&mut self, out: &mut Vec<u8>) -> Read<()> {
        out.push(b'\\');
        match self.bump() {
            Some(c) => push(out, c),
            None => return Err("the string does not end"),
        }
        Ok(())
    }

    /// What follows a backslash.
    fn escape(&mut self, bytes: bool, out: &mut Vec<u8>) -> Read<()> {
        let plain = match self.bump() {
            None => return Err("the string does not end"),
            Some('\n') => return Ok(()),
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('v') => '\x0b',
            Some(c @ ('\\' | '\'' | '"')) => c,
            Some(digit @ '0'..='7') => {
                let mut code = u32::from(digit) - u32::from('0');
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    self.bump();
                    code = code * 8 + digit;
                }
                return code_point(code, bytes, out);
            }
            Some('x') => return code_point(self.hex(2)?, bytes, out),
            Some('u') if !bytes => return self.unicode(out),
            Some('U') if !bytes => return code_point(self.hex(8)?, false, out),
            Some('N') if !bytes => return Err("characters by their name are not read"),
            Some(other) => {
                out.push(b'\\');
                push(out, other);
                return Ok(());
            }
        };
        push(out, plain);
        Ok(())
    }

    /// `\uXXXX`, and a second one if both are a surrogate pair, as programs in other languages write.
    fn unicode(&mut self, out: &mut Vec<u8>) -> Read<()> {
        let code = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&code) || !self.eat("\\u") {
            return code_point(code, false, out);
        }
        match self.hex(4)? {
            low @ 0xdc00..0xe000 => {
                code_point(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), false, out)
            }
            _ => Err(LONE_SURROGATE),
        }
    }

    fn hex(&mut self, digits: usize) -> Read<u32> {
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.bump().and_then(|c| c.to_digit(16)) else {
                return Err("an escape lacks hexadecimal digits");
            };
            code = code << 4 | digit;
        }
        Ok(code)
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// A character by its number; in bytes, a byte.
fn code_point(code: u32, bytes: bool, out: &mut Vec<u8>) -> Read<()> {
    if bytes {
        out.push(u8::try_from(code).map_err(|_| "an escape is larger than a byte")?);
        return Ok(());
    }
    match char::from_u32(code) {
        Some(c) => push(out, c),
        None if (0xd800..0xe000).contains(&code) => return Err(LONE_SURROGATE),
        None => return Err("an escape is beyond Unicode"),
    }
    Ok(())
}
