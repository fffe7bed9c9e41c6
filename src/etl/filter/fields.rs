//! How AWS splits a message into fields for space-delimited patterns.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'m> {
    /// Byte offset of the field in the message, its opening mark included.
    pub(super) start: usize,
    /// The text, without the marks around it.
    pub(super) text: &'m str,
}

/// The fields of `message` in order: runs without white space, and what stands between `"…"` or
/// `[…]` where a field starts. Such a field ends at its closing mark; a mark that is never closed
/// is ordinary text.
pub(super) fn fields(message: &str) -> impl Iterator<Item = Field<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let start = message.len() - rest.len();
        let (text, after) = marked(rest).unwrap_or_else(|| word(rest));
        rest = after;
        Some(Field { start, text })
    })
}

fn marked(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('"') {
        return inner.split_once('"');
    }
    text.strip_prefix('[')?.split_once(']')
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_split_at_white_space_and_marks() {
        let check = |message: &str, expect: &[&str]| {
            let texts: Vec<_> = fields(message).map(|field| field.text).collect();
            assert_eq!(texts, expect, "{message:?}");
        };
        check("", &[]);
        check(" \t\r\n", &[]);
        check("a  b\tc\n", &["a", "b", "c"]);
        check(r#"a "two words" c"#, &["a", "two words", "c"]);
        check("[10/Oct/2000:13:25 -0700] x", &["10/Oct/2000:13:25 -0700", "x"]);
        check(r#"a "b"c [d]e"#, &["a", "b", "c", "d", "e"]);
        check(r#""" [] x"#, &["", "", "x"]);
        check(r#"x "y z"#, &["x", "\"y", "z"]);
        check("x [y z", &["x", "[y", "z"]);
        check(r#"k="a b" x[1 2]"#, &["k=\"a", "b\"", "x[1", "2]"]);
        check("é ü", &["é", "ü"]);
    }

    #[test]
    fn a_field_knows_where_it_starts() {
        let starts: Vec<_> = fields(r#"  a "b c" d"#).map(|field| field.start).collect();
        assert_eq!(starts, [2, 4, 10]);
    }
}
