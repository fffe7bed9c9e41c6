//! The line of a key in a TOML file.

use toml::de::{DeTable, DeValue};

/// The line (from 1) where `key` stands in `text`, or of the nearest table around it. `None` when
/// the file has no part of the path.
///
/// Keys are written as `lease.failover_time` and `routes[1].sink`.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let offset = offset_of(document.get_ref(), &segments(key))?;
    let before = text.get(..offset)?;
    Some(before.matches('\n').count() + 1)
}

enum Segment<'k> {
    Key(&'k str),
    Index(usize),
}

fn segments(key: &str) -> Vec<Segment<'_>> {
    key.split(['.', '[', ']'])
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_or(Segment::Key(part), Segment::Index))
        .collect()
}

fn offset_of(table: &DeTable<'_>, path: &[Segment<'_>]) -> Option<usize> {
    let (Segment::Key(first), rest) = path.split_first()? else { return None };
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    let here = name.span().start;
    Some(inner(value.get_ref(), rest).unwrap_or(here))
}

fn inner(value: &DeValue<'_>, path: &[Segment<'_>]) -> Option<usize> {
    match (value, path.split_first()?) {
        (DeValue::Table(table), _) => offset_of(table, path),
        (DeValue::Array(array), (Segment::Index(index), rest)) => {
            let element = array.get(*index)?;
            Some(inner(element.get_ref(), rest).unwrap_or(element.span().start))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "application = \"a\"\n\n[lease]\nfailover_time = \"10s\"\n\n[[routes]]\nname = \"one\"\n\n[[routes]]\nname = \"two\"\nsink = \"x\"\n";

    #[test]
    fn finds_keys_in_tables_and_arrays() {
        for (key, line) in [
            ("application", Some(1)),
            ("lease.failover_time", Some(4)),
            ("routes[0].name", Some(7)),
            ("routes[1].sink", Some(11)),
            ("routes[1].absent", Some(9)),
            ("lease.absent", Some(3)),
            ("absent", None),
        ] {
            assert_eq!(line_of(TEXT, key), line, "{key}");
        }
    }
}
