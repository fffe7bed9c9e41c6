//! The parts of an event under a program: as they came for as long as the program leaves them alone.
//!
//! Reading and freeing trees of values that a program never looks at costs more than running it. So a
//! document is read into VRL's values where the program asks, and only as deep as it must; the rest goes
//! from the event to the result as it is.

use std::{cell::OnceCell, mem, ptr};

use vrl::{
    path::OwnedSegment,
    value::{KeyString, ObjectMap, Value},
};

use super::value;
use crate::etl::{
    document::{Document, Members},
    text::Text,
};

/// A part of an event. To VRL it is what [`Value`] is.
#[derive(Debug)]
pub(super) enum Part<'e> {
    /// It is as it came.
    Document(&'e Document<'e>),
    /// An object that the program has looked into or changed inside.
    Fields(Box<Fields<'e>>),
    /// The program has put it here.
    Value(Value),
}

/// The members of an object.
#[derive(Debug)]
pub(super) struct Fields<'e> {
    /// Sorted by name.
    members: Vec<(Text<'e>, Part<'e>)>,
    /// All of it, if the program has asked for that since it last changed anything.
    whole: OnceCell<Value>,
}

/// Documents as values, each read once. There are no more of them than paths in the program.
#[derive(Debug, Default)]
pub(super) struct Reads<'e>(OnceCell<Box<Read<'e>>>);

#[derive(Debug)]
struct Read<'e> {
    document: &'e Document<'e>,
    value: Value,
    more: Reads<'e>,
}

impl<'e> Reads<'e> {
    fn read(&self, document: &'e Document<'e>) -> &Value {
        let mut reads = self;
        loop {
            let read = reads.0.get_or_init(|| {
                let (value, more) = (Value::from(document), Reads::default());
                Box::new(Read { document, value, more })
            });
            if ptr::eq(read.document, document) {
                return &read.value;
            }
            reads = &read.more;
        }
    }
}

impl<'e> Part<'e> {
    /// Whether it is an object or an array with nothing in it.
    fn is_empty(&self) -> bool {
        match self {
            Self::Document(Document::Object(members)) => members.len() == 0,
            Self::Document(Document::Array(items)) => items.is_empty(),
            Self::Fields(fields) => fields.members.is_empty(),
            Self::Value(Value::Object(members)) => members.is_empty(),
            Self::Value(Value::Array(items)) => items.is_empty(),
            Self::Document(_) | Self::Value(_) => false,
        }
    }

    /// As [`Value::get`].
    pub(super) fn get<'t>(
        &'t self,
        path: &[OwnedSegment],
        reads: &'t Reads<'e>,
    ) -> Option<&'t Value> {
        match self {
            Self::Document(document) => Some(reads.read(follow(document, path)?)),
            Self::Fields(fields) => match path {
                [] => Some(fields.whole()),
                [OwnedSegment::Field(name), rest @ ..] => fields.get(name)?.get(rest, reads),
                [OwnedSegment::Index(_), ..] => None,
            },
            Self::Value(value) => value.get(path),
        }
    }

    /// As [`Value::get_mut`].
    pub(super) fn get_mut(&mut self, path: &[OwnedSegment]) -> Option<&mut Value> {
        match path {
            [OwnedSegment::Field(name), rest @ ..] if self.fields().is_some() => {
                let fields = self.fields()?;
                fields.whole.take();
                fields.get_mut(name)?.get_mut(rest)
            }
            path => self.value().get_mut(path),
        }
    }

    /// As [`Value::insert`].
    pub(super) fn insert(&mut self, path: &[OwnedSegment], value: Value) {
        match path {
            [] => *self = Self::Value(value),
            [OwnedSegment::Field(name), rest @ ..] => match self.fields() {
                Some(fields) => fields.insert(name, rest, value),
                None => drop(self.value().insert(path, value)),
            },
            path => drop(self.value().insert(path, value)),
        }
    }

    /// As [`Value::remove`].
    pub(super) fn remove(&mut self, path: &[OwnedSegment], compact: bool) -> Option<Value> {
        if let [OwnedSegment::Field(name), rest @ ..] = path
            && let Some(fields) = self.fields()
        {
            return fields.remove(name, rest, compact);
        }
        self.value().remove(path, compact)
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// As [`value::write`].
    pub(super) fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Document(document) => {
                document.write(out);
                Ok(())
            }
            Self::Fields(fields) => fields.write(out),
            Self::Value(value) => value::write(value, out),
        }
    }

    /// Its members, if it is an object that is no value yet.
    fn fields(&mut self) -> Option<&mut Fields<'e>> {
        if let Self::Document(Document::Object(members)) = self {
            *self = Self::Fields(Box::new(Fields::of(members)));
        }
        match self {
            Self::Fields(fields) => Some(fields),
            Self::Document(_) | Self::Value(_) => None,
        }
    }

    /// All of it as one value from now on.
    fn value(&mut self) -> &mut Value {
        if !matches!(self, Self::Value(_)) {
            let value = mem::replace(self, Self::Value(Value::Null)).into_value();
            *self = Self::Value(value);
        }
        match self {
            Self::Value(value) => value,
            Self::Document(_) | Self::Fields(_) => unreachable!("it has just become a value"),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Document(document) => document.into(),
            Self::Fields(fields) => {
                let members = fields.members.into_iter();
                object(members.map(|(name, part)| (key(&name), part.into_value())))
            }
            Self::Value(value) => value,
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Document(document) => (*document).into(),
            Self::Fields(fields) => fields.whole().clone(),
            Self::Value(value) => value.clone(),
        }
    }
}

impl<'e> Fields<'e> {
    /// Those of an event, sorted by name.
    pub(super) fn new(members: Vec<(Text<'e>, &'e Document<'e>)>) -> Self {
        let members = members.into_iter().map(|(name, member)| (name, Part::Document(member)));
        Self { members: members.collect(), whole: OnceCell::new() }
    }

    fn of(members: &'e Members<'e>) -> Self {
        let mut parts = Vec::with_capacity(members.len() + 2);
        parts.extend(members.iter().map(|(name, member)| {
            let name = match name {
                Text::Plain(name) => Text::Plain(name),
                name => Text::Borrowed(name.as_str()),
            };
            (name, Part::Document(member))
        }));
        Self { members: parts, whole: OnceCell::new() }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.members.binary_search_by(|(member, _)| member.as_str().cmp(name))
    }

    fn get(&self, name: &str) -> Option<&Part<'e>> {
        Some(&self.members.get(self.place(name).ok()?)?.1)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Part<'e>> {
        let place = self.place(name).ok()?;
        Some(&mut self.members.get_mut(place)?.1)
    }

    fn insert(&mut self, name: &KeyString, path: &[OwnedSegment], value: Value) {
        self.whole.take();
        let place = self.place(name);
        match place.map(|place| self.members.get_mut(place)) {
            Ok(Some((_, part))) => part.insert(path, value),
            Ok(None) => unreachable!("it was found there"),
            Err(place) => {
                let name = Text::Owned(name.as_str().to_owned());
                self.members.insert(place, (name, Part::Value(value.at_path(path))));
            }
        }
    }

    fn remove(&mut self, name: &str, path: &[OwnedSegment], compact: bool) -> Option<Value> {
        self.whole.take();
        let place = self.place(name).ok()?;
        if path.is_empty() {
            return Some(self.members.remove(place).1.into_value());
        }
        let (_, part) = self.members.get_mut(place)?;
        let removed = part.remove(path, compact)?;
        if compact && part.is_empty() {
            self.members.remove(place);
        }
        Some(removed)
    }

    fn whole(&self) -> &Value {
        self.whole.get_or_init(|| {
            object(self.members.iter().map(|(name, part)| (key(name), part.to_value())))
        })
    }

    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let mut before = b'{';
        for (name, part) in &self.members {
            out.push(before);
            before = b',';
            name.write(out);
            out.push(b':');
            part.write(out)?;
        }
        out.extend_from_slice(if self.members.is_empty() { b"{}" } else { b"}" });
        Ok(())
    }
}

fn key(name: &Text<'_>) -> KeyString {
    KeyString::from(name.as_str())
}

fn object(members: impl Iterator<Item = (KeyString, Value)>) -> Value {
    let mut object = ObjectMap::new();
    // Collecting would sort a list first.
    members.for_each(|(name, member)| drop(object.insert(name, member)));
    Value::Object(object)
}

/// The document that a path leads to.
fn follow<'e>(mut document: &'e Document<'e>, path: &[OwnedSegment]) -> Option<&'e Document<'e>> {
    for segment in path {
        document = match (segment, document) {
            (OwnedSegment::Field(name), Document::Object(members)) => members.get(name)?,
            (OwnedSegment::Index(index), Document::Array(items)) => {
                let from_end = || items.len().checked_sub(index.unsigned_abs());
                let place = usize::try_from(*index).ok().or_else(from_end)?;
                items.get(place)?
            }
            _ => return None,
        };
    }
    Some(document)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::etl::document::tests::documents;

    #[derive(Clone, Debug)]
    enum Step {
        Get,
        GetMut,
        Insert(Json),
        Remove(bool),
    }

    fn steps() -> impl Strategy<Value = Vec<(Vec<OwnedSegment>, Step)>> {
        let segment = prop_oneof![
            4 => "[abc]".prop_map(|name| OwnedSegment::Field(name.into())),
            1 => (-3isize..3).prop_map(OwnedSegment::Index),
        ];
        let value = prop_oneof![Just(json!(1)), Just(json!({"a": {"b": 1}})), documents()];
        let step = prop_oneof![
            3 => Just(Step::Get),
            1 => Just(Step::GetMut),
            2 => value.prop_map(Step::Insert),
            2 => any::<bool>().prop_map(Step::Remove),
        ];
        prop::collection::vec((prop::collection::vec(segment, 0..4), step), 1..12)
    }

    /// Objects of the names that the steps go along.
    fn nested() -> impl Strategy<Value = Json> {
        prop_oneof![Just(json!(1)), Just(json!([[0, {"a": 1}], {}])), documents()].prop_recursive(
            3,
            20,
            3,
            |inner| {
                prop::collection::vec(("[abc]", inner), 0..4)
                    .prop_map(|members| Json::Object(members.into_iter().collect()))
            },
        )
    }

    proptest! {
        #[test]
        fn a_part_is_what_a_value_is(json in nested(), steps in steps()) {
            let document = Document::from(&json);
            let (mut part, mut value) = (Part::Document(&document), Value::from(&document));
            let reads = Reads::default();
            for (path, step) in steps {
                let path = path.as_slice();
                match step {
                    Step::Get => prop_assert_eq!(part.get(path, &reads), value.get(path)),
                    Step::GetMut => {
                        let (of_part, of_value) = (part.get_mut(path), value.get_mut(path));
                        prop_assert_eq!(&of_part, &of_value);
                        for place in of_part.into_iter().chain(of_value) {
                            *place = Value::from("changed");
                        }
                    }
                    Step::Insert(json) => {
                        let new = Value::from(&Document::from(&json));
                        value.insert(path, new.clone());
                        part.insert(path, new);
                    }
                    Step::Remove(compact) => {
                        prop_assert_eq!(part.remove(path, compact), value.remove(path, compact));
                    }
                }
                prop_assert_eq!(part.get(&[], &reads), Some(&value));
                let (mut of_part, mut of_value) = (Vec::new(), Vec::new());
                part.write(&mut of_part).unwrap();
                value::write(&value, &mut of_value).unwrap();
                prop_assert_eq!(of_part, of_value);
            }
        }
    }
}
