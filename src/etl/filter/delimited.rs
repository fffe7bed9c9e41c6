//! Space-delimited patterns: `[ip, user, ..., status = 4* || status = 5*, bytes > 1000]`.

use std::{collections::HashSet, fmt};

use super::{
    comparison::Comparison,
    cursor::Cursor,
    error::PatternError,
    fields::{Field, fields},
    logic::Logic,
};

/// Entries for the fields of a message, from both ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Delimited {
    before: Vec<Entry>,
    /// The entries after `...`, which are counted from the last field. Without `...` the last
    /// entry takes the rest of the line. `[]` is `[...]`.
    after: Option<Vec<Entry>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Entry {
    name: Option<String>,
    condition: Option<Logic<Comparison>>,
}

impl Delimited {
    /// Reads the pattern from its opening bracket on.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, PatternError> {
        cursor.eat("[");
        let mut pattern = Self { before: Vec::new(), after: None };
        cursor.skip_space();
        if cursor.eat("]") {
            pattern.after = Some(Vec::new());
            return Ok(pattern);
        }
        let mut names = HashSet::new();
        loop {
            cursor.skip_space();
            let start = cursor.offset();
            if cursor.eat("...") {
                if pattern.after.replace(Vec::new()).is_some() {
                    return Err(cursor.error_at(start, "`...` may stand only once"));
                }
            } else {
                let entry = entry(cursor)?;
                if !entry.name.as_ref().is_none_or(|name| names.insert(name.clone())) {
                    return Err(cursor.error_at(start, "this name is already taken"));
                }
                pattern.after.as_mut().unwrap_or(&mut pattern.before).push(entry);
            }
            cursor.skip_space();
            if cursor.eat("]") {
                return Ok(pattern);
            }
            if !cursor.eat(",") {
                return Err(cursor.error("expected `,` or `]`"));
            }
        }
    }

    pub(super) fn matches(&self, message: &str) -> bool {
        self.matching_fields(message).is_some()
    }

    /// The fields of a matching message: `$name`, or `$N` for the Nth field without a name.
    pub(super) fn extract(&self, message: &str) -> Option<Vec<(String, String)>> {
        let fields = self.matching_fields(message)?;
        let mut labels: Vec<Option<&String>> = vec![None; fields.len()];
        for (label, entry) in labels.iter_mut().zip(&self.before) {
            *label = entry.name.as_ref();
        }
        let after = self.after.iter().flatten();
        for (label, entry) in labels.iter_mut().rev().zip(after.rev()) {
            *label = entry.name.as_ref();
        }
        let named = labels.into_iter().zip(fields).enumerate().map(|(position, (label, field))| {
            let key = label.map_or_else(|| format!("${}", position + 1), |name| format!("${name}"));
            (key, field.text.to_owned())
        });
        Some(named.collect())
    }

    fn matching_fields<'m>(&self, message: &'m str) -> Option<Vec<Field<'m>>> {
        let fields = match &self.after {
            Some(after) => {
                let fields: Vec<_> = fields(message).collect();
                (fields.len() >= self.before.len() + after.len()).then_some(fields)?
            }
            None => self.fixed_fields(message)?,
        };
        let from_start = self.before.iter().zip(&fields);
        let from_end = self.after.iter().flatten().rev().zip(fields.iter().rev());
        let fits = from_start.chain(from_end).all(|(entry, field)| entry.accepts(field.text));
        fits.then_some(fields)
    }

    /// As many fields as entries; the last is the rest of the line as it stands, if more than one
    /// field remains for it.
    fn fixed_fields<'m>(&self, message: &'m str) -> Option<Vec<Field<'m>>> {
        let count = self.before.len();
        let mut fields: Vec<_> = fields(message).take(count + 1).collect();
        if fields.len() > count {
            fields.pop();
            let last = fields.last_mut()?;
            last.text = message.get(last.start..)?;
        }
        (fields.len() == count).then_some(fields)
    }
}

impl Entry {
    fn accepts(&self, text: &str) -> bool {
        let Some(condition) = &self.condition else {
            return true;
        };
        condition.holds(&|comparison| comparison.accepts_field(text))
    }
}

fn entry(cursor: &mut Cursor<'_>) -> Result<Entry, PatternError> {
    if matches!(cursor.peek(), Some(',' | ']')) {
        return Ok(Entry::default());
    }
    // Read ahead: the name is a part of the condition, if there is one.
    let rest = cursor.rest().trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let name = rest.split(|c| !is_name(c)).next().unwrap_or_default();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Err(cursor.error("expected a field name, `...` or nothing"));
    }
    let owned = Some(name.to_owned());
    let after = rest.strip_prefix(name).unwrap_or_default().trim_start();
    if cursor.rest().starts_with(name) && (after.is_empty() || after.starts_with([',', ']'])) {
        cursor.eat(name);
        return Ok(Entry { name: owned, condition: None });
    }
    let condition = Logic::parse(cursor, &mut |cursor| own_comparison(cursor, name))?;
    Ok(Entry { name: owned, condition: Some(condition) })
}

/// A comparison of the entry's own variable. AWS takes another case for the same name.
fn own_comparison(cursor: &mut Cursor<'_>, own: &str) -> Result<Comparison, PatternError> {
    let start = cursor.offset();
    let name = cursor.take_while(is_name);
    if name.is_empty() {
        return Err(cursor.error(format!("expected a condition on `{own}`")));
    }
    if !name.eq_ignore_ascii_case(own) {
        let reason = format!("a condition may only use its own field, here `{own}`");
        return Err(cursor.error_at(start, reason));
    }
    Comparison::parse(cursor)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

impl fmt::Display for Delimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before.iter().map(Some);
        let ellipsis = self.after.iter().map(|_| None);
        let after = self.after.iter().flatten().map(Some);
        f.write_str("[")?;
        for (position, entry) in before.chain(ellipsis).chain(after).enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            match entry {
                Some(entry) => write!(f, "{entry}")?,
                None => f.write_str("...")?,
            }
        }
        f.write_str("]")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        match &self.condition {
            None => f.write_str(name),
            Some(condition) => {
                condition.write(f, &|f, comparison| write!(f, "{name} {comparison}"))
            }
        }
    }
}
