//! The reference of all keys, as a page: what `config/default.toml` says of them, by tables.
//!
//! That file is the one source: it is compiled in, and a test holds it complete and its defaults true.
//! The [`schema`] adds which keys are required, and which values are defaults rather than examples.

use std::fmt::Write;

use super::{
    schema::{self, Absent, Key},
    source::DEFAULTS,
};

/// What stands between a value and its comment.
const REMARK: &str = " # ";

const HEAD: &str = "\
# Configuration reference

Every key, made by `shardwright config --reference` from [config/default.toml](../config/default.toml). A value with
*e.g.* is an example: without the key nothing is set.
";

/// The page in Markdown.
pub fn reference() -> String {
    let mut page = Page { text: HEAD.to_owned(), ..Page::default() };
    for line in DEFAULTS.lines() {
        page.line(line);
    }
    page.end_paragraph();
    page.end_key();
    page.text
}

/// A key and what is known of it so far.
struct Entry {
    name: String,
    value: String,
    meaning: String,
    /// As the file says it: `false` where the line is commented out.
    set: bool,
}

#[derive(Default)]
struct Page {
    text: String,
    /// Comments that belong to what comes next.
    comment: Vec<String>,
    /// The table, as in `lease` and `sinks.archive`.
    table: String,
    /// The table's header is commented out: comments stand behind the values.
    optional: bool,
    /// The type of the sink.
    kind: String,
    key: Option<Entry>,
    in_rows: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        let (set, rest) = match line.strip_prefix('#') {
            Some(rest) => (false, rest.strip_prefix(' ').unwrap_or(rest)),
            None => (true, line),
        };
        if rest.trim().is_empty() {
            self.end_key();
            if set {
                self.end_paragraph();
            }
        } else if let Some(header) = header(rest) {
            self.begin_table(header, !set);
        } else if let Some((name, value)) = pair(rest) {
            self.begin_key(name, value, set);
        } else if let Some(more) = self.continued(rest) {
            self.more(more);
        } else {
            self.end_key();
            self.comment.push(rest.to_owned());
        }
    }

    /// The comment that goes on from the line before, in a table whose comments stand behind values.
    fn continued<'a>(&self, rest: &'a str) -> Option<&'a str> {
        let more = rest.trim_start().strip_prefix("# ")?;
        (self.optional && self.key.is_some()).then_some(more)
    }

    fn more(&mut self, more: &str) {
        if let Some(key) = &mut self.key {
            if !key.meaning.is_empty() {
                key.meaning.push(' ');
            }
            key.meaning.push_str(more);
        }
    }

    fn begin_table(&mut self, header: &str, optional: bool) {
        self.end_key();
        self.in_rows = false;
        self.optional = optional;
        header.trim_matches(['[', ']']).clone_into(&mut self.table);
        self.kind.clear();
        if !self.is_sink() {
            self.begin_chapter(&format!("`{header}`"));
        }
    }

    fn is_sink(&self) -> bool {
        self.table.starts_with("sinks.")
    }

    fn begin_chapter(&mut self, title: &str) {
        self.write(&format!("\n## {title}\n"));
        self.end_paragraph();
    }

    fn begin_key(&mut self, name: &str, rest: &str, set: bool) {
        self.end_key();
        let (value, remark) = match rest.split_once(REMARK) {
            Some((value, remark)) if self.optional => (value, remark.to_owned()),
            _ => (rest, String::new()),
        };
        if self.is_sink() && name == "type" {
            value.trim().trim_matches('"').clone_into(&mut self.kind);
            // The keys of every sink stand at the one that has no others.
            let every = self.kind == "stdout";
            let title = if every { "Every sink".into() } else { format!("Sink `{}`", self.kind) };
            self.begin_chapter(&title);
        } else if self.optional {
            self.end_paragraph();
        }
        let meaning = if self.optional { remark } else { self.comment.join(" ") };
        if !self.optional {
            self.comment.clear();
        }
        let value = value.trim().to_owned();
        self.key = Some(Entry { name: name.to_owned(), value, meaning, set });
    }

    /// Writes the comment as a paragraph of its own.
    fn end_paragraph(&mut self) {
        if !self.comment.is_empty() {
            self.end_key();
            self.in_rows = false;
            let paragraph = std::mem::take(&mut self.comment).join("\n");
            self.write(&format!("\n{paragraph}\n"));
        }
    }

    /// Writes the key as a row.
    fn end_key(&mut self) {
        let Some(key) = self.key.take() else { return };
        if !self.in_rows {
            self.write("\n| Key | Default | |\n|---|---|---|\n");
            self.in_rows = true;
        }
        let mut known = self.keys().into_iter().flatten();
        let absent = known.find(|known| known.name == key.name).map(|known| known.absent);
        let default = match absent {
            _ if key.set => format!("`{}`", key.value),
            Some(Absent::Default(_)) => format!("`{}`", key.value),
            Some(Absent::Missing(_)) => format!("required, e.g. `{}`", key.value),
            Some(Absent::Fine) | None => format!("*e.g.* `{}`", key.value),
        };
        let row = format!("| `{}` | {default} | {} |\n", key.name, key.meaning.replace('|', "\\|"));
        self.write(&row);
    }

    /// The lists of keys that the table takes.
    fn keys(&self) -> Vec<&'static [Key]> {
        match self.table.as_str() {
            "" => vec![schema::TOP],
            "streams" => vec![schema::STREAM],
            "routes" => vec![schema::ROUTE],
            "dead_letter" => vec![schema::DEAD_LETTER],
            _ if self.is_sink() => {
                const TYPE: &[Key] = &[schema::SINK_TYPE];
                let kind = &self.kind;
                vec![TYPE, schema::sink_keys(kind), schema::batch_keys(kind), schema::RETRY]
            }
            // What these say of a key is set in the file, or has no default.
            _ => Vec::new(),
        }
    }

    fn write(&mut self, text: &str) {
        // Writing into a string cannot fail.
        let _ = self.text.write_str(text);
    }
}

/// The header of a table, `[lease]` or `[[streams]]`.
fn header(line: &str) -> Option<&str> {
    (line.starts_with('[') && line.ends_with(']')).then_some(line)
}

/// A key and what stands behind it.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(" = ")?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then_some((name, value))
}
