//! An event as the texts of a row.

use super::column::Column;
use crate::model::OutputEvent;

/// The texts of one event, `None` for NULL, in the order of the columns.
pub(super) type Row = Vec<Option<String>>;

/// One event as a row.
pub(super) fn row(columns: &[Column], event: &OutputEvent) -> Row {
    columns.iter().map(|column| column.render(event)).collect()
}

/// Rows as COPY's text format (PostgreSQL's manual, COPY).
pub(super) fn copy_text(rows: &[Row]) -> Vec<u8> {
    let mut text = Vec::with_capacity(length(rows));
    for row in rows {
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                text.push(b'\t');
            }
            match value {
                None => text.extend_from_slice(b"\\N"),
                Some(value) => escape(value, &mut text),
            }
        }
        text.push(b'\n');
    }
    text
}

/// About as many bytes as the text has.
fn length(rows: &[Row]) -> usize {
    rows.iter().flatten().map(|value| value.as_ref().map_or(0, String::len) + 8).sum()
}

/// What is plain is copied as a whole.
fn escape(value: &str, text: &mut Vec<u8>) {
    let mut rest = value.as_bytes();
    while let Some(plain) =
        rest.iter().position(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'\t'))
    {
        let (before, special) = rest.split_at(plain);
        text.extend_from_slice(before);
        if let [special, after @ ..] = special {
            let letter = match special {
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                itself => *itself,
            };
            text.extend_from_slice(&[b'\\', letter]);
            rest = after;
        }
    }
    text.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_s_own_characters_are_escaped() {
        let row = vec![Some("a\tb\\c\nd\re".to_owned()), None, Some("\\N".to_owned())];
        assert_eq!(copy_text(&[row]), b"a\\tb\\\\c\\nd\\re\t\\N\t\\\\N\n");
    }
}
