//! What of an event a program mentions, known once it is compiled.

use vrl::{
    compiler::Program,
    path::{OwnedSegment, OwnedTargetPath, PathPrefix},
    value::KeyString,
};

/// The fields that a program mentions below one place of its event. Only a hint of what to read at
/// once: what a program reads without being asked at compile time is found all the same.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mentions {
    /// The place itself is read, with all that is below it.
    whole: bool,
    fields: Vec<(KeyString, Mentions)>,
}

impl Mentions {
    /// Of the event, or of its metadata.
    pub(super) fn of(program: &Program, prefix: PathPrefix) -> Self {
        let info = program.info();
        let mut mentions = Self::default();
        let segments = |path: &'_ OwnedTargetPath| path.prefix == prefix;
        for read in info.target_queries.iter().filter(|path| segments(path)) {
            mentions.at(&read.path.segments).whole = true;
        }
        for written in info.target_assignments.iter().filter(|path| segments(path)) {
            // What is assigned replaces what was there; only what it stands in must be looked into.
            if let Some((_, parents)) = written.path.segments.split_last() {
                mentions.at(parents);
            }
        }
        mentions
    }

    /// Everything is mentioned.
    #[cfg(test)]
    pub(super) fn whole() -> Self {
        Self { whole: true, fields: Vec::new() }
    }

    /// Whether the place is read as a whole.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What is mentioned of a field; `None` if it is not mentioned at all.
    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        if self.whole {
            return Some(self);
        }
        self.fields.iter().find(|(field, _)| **field == *name).map(|(_, mentions)| mentions)
    }

    /// The place that a path leads to, or where it first goes into an array.
    fn at(&mut self, path: &[OwnedSegment]) -> &mut Self {
        let Some((OwnedSegment::Field(name), rest)) = path.split_first() else {
            self.whole |= !path.is_empty();
            return self;
        };
        let known = self.fields.iter().position(|(field, _)| field == name);
        let index = known.unwrap_or_else(|| {
            self.fields.push((name.clone(), Self::default()));
            self.fields.len() - 1
        });
        match self.fields.get_mut(index) {
            Some((_, field)) => field.at(rest),
            None => unreachable!("found or just added"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(source: &str) -> Mentions {
        let compiled = vrl::compiler::compile(source, &vrl::stdlib::all()).unwrap();
        Mentions::of(&compiled.program, PathPrefix::Event)
    }

    fn paths(mentions: &Mentions, prefix: &str, found: &mut Vec<String>) {
        if mentions.whole {
            found.push(format!("{prefix}*"));
        } else if mentions.fields.is_empty() {
            found.push(prefix.to_owned());
        }
        for (name, field) in &mentions.fields {
            paths(field, &format!("{prefix}.{}", name.as_str()), found);
        }
    }

    #[track_caller]
    fn check(source: &str, expect: &[&str]) {
        let mut found = Vec::new();
        paths(&mentions(source), "", &mut found);
        found.sort();
        assert_eq!(found, expect, "{source}");
    }

    #[test]
    fn reads_mention_what_they_read_and_writes_what_they_stand_in() {
        check("true", &[""]);
        check(".a = del(.b)", &[".b*"]);
        check(".m.x = .m.y.z", &[".m.y.z*"]);
        check(".m.x = 1", &[".m"]);
        check(". = {\"a\": .m.a}", &[".m.a*"]);
        check(".m.x = (.m.x + 1) ?? 0", &[".m.x*"]);
        check(".m = object(.m) ?? {}; .m |= {\"a\": 1}", &[".m*"]);
        check(".a = exists(.m.x)", &[".m.x*"]);
        check(".a = .m.items[0].x", &[".m.items*"]);
        check(".m.items[0] = 1", &[".m.items"]);
        check(". = merge(., {\"a\": 1})", &["*"]);
        check(".a = get!(., [\"b\"])", &["*"]);
        check("for_each(object!(.m)) -> |k, _v| { .k = k }", &[".m*"]);
        check("if .a == 1 { .b = .c } else { abort }", &[".a*", ".c*"]);
    }
}
