//! The event under a program: what it mentions is read into VRL's values, the rest goes from the
//! event to the result as it is.
//!
//! To VRL it is one value, as [`vrl::compiler::TargetValue`] is: whatever the program asks for that
//! has not been read yet is read then. Reading and freeing trees of values that the program never
//! looks at costs more than running it.

use std::cell::OnceCell;

use vrl::{
    compiler::{SecretTarget, Target},
    path::{OwnedSegment, OwnedTargetPath, PathPrefix},
    value::{KeyString, ObjectMap, Secrets, Value},
};

use super::{mentions::Mentions, value};
use crate::{
    codec::json::write_string,
    etl::document::{Document, Members},
};

/// What a program works on.
#[derive(Debug)]
pub(super) struct EventTarget<'e> {
    /// What has been read, and what the program has made.
    value: Value,
    /// What has not been read.
    unread: Unread<'e>,
    /// Both together, if the program has asked for it since it last changed anything.
    together: OnceCell<Value>,
    metadata: Value,
    secrets: Secrets,
}

/// The members of an object that are not in its value, sorted by name.
type Unread<'e> = Vec<(&'e str, Part<'e>)>;

#[derive(Debug)]
enum Part<'e> {
    /// A member that is not in the value.
    Member(&'e Document<'e>),
    /// The value holds this member, an object, without these members.
    Inside(Unread<'e>),
}

/// One of the events that a program has left, which may be no object.
#[derive(Clone, Copy)]
pub(super) struct Left<'t> {
    pub(super) value: &'t Value,
    unread: &'t [(&'t str, Part<'t>)],
}

impl<'e> EventTarget<'e> {
    /// Reads what is mentioned of an event.
    pub(super) fn new(event: &'e Members<'e>, mentions: &Mentions, metadata: ObjectMap) -> Self {
        let (read, unread) = split(event, mentions);
        Self {
            value: Value::Object(read),
            unread,
            together: OnceCell::new(),
            metadata: Value::Object(metadata),
            secrets: Secrets::default(),
        }
    }

    pub(super) fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// What the program has left: one event, or the events of an array.
    pub(super) fn left(&self) -> impl ExactSizeIterator<Item = Left<'_>> {
        let (values, unread) = match &self.value {
            Value::Array(values) => (values.as_slice(), [].as_slice()),
            value => (std::slice::from_ref(value), self.unread.as_slice()),
        };
        values.iter().map(move |value| Left { value, unread })
    }

    /// Reads the rest.
    fn read(&mut self) {
        add(&mut self.value, &std::mem::take(&mut self.unread));
    }

    fn together(&self) -> &Value {
        self.together.get_or_init(|| {
            let mut value = self.value.clone();
            add(&mut value, &self.unread);
            value
        })
    }
}

impl Left<'_> {
    /// Writes it as one line of JSON, its members sorted by name.
    ///
    /// # Errors
    /// As [`value::write`].
    pub(super) fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        write(self.value, self.unread, out)
    }
}

fn split<'e>(members: &'e Members<'e>, mentions: &Mentions) -> (ObjectMap, Unread<'e>) {
    let mut read = ObjectMap::new();
    let mut unread = Unread::new();
    for (name, member) in members.iter() {
        let value = match (mentions.field(name), member) {
            (None, _) => {
                unread.push((name, Part::Member(member)));
                continue;
            }
            (Some(mentions), Document::Object(members)) if !mentions.is_whole() => {
                let (read, rest) = split(members, mentions);
                if !rest.is_empty() {
                    unread.push((name, Part::Inside(rest)));
                }
                Value::Object(read)
            }
            (Some(_), member) => Value::from(member),
        };
        read.insert(KeyString::from(name), value);
    }
    (read, unread)
}

fn add(value: &mut Value, unread: &Unread<'_>) {
    let Value::Object(object) = value else { return };
    for (name, part) in unread {
        match part {
            Part::Member(member) => {
                object.insert(KeyString::from(*name), Value::from(*member));
            }
            Part::Inside(unread) => {
                object.get_mut(*name).into_iter().for_each(|value| add(value, unread));
            }
        }
    }
}

fn write(value: &Value, unread: &[(&str, Part<'_>)], out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Value::Object(object) = value else { return value::write(value, out) };
    if unread.is_empty() {
        return value::write(value, out);
    }
    let mut before = b'{';
    let mut name_of = |name: &str, out: &mut Vec<u8>| {
        out.push(before);
        before = b',';
        write_string(name, out);
        out.push(b':');
    };
    let mut unread = unread.iter().peekable();
    let mut members = object.iter().peekable();
    loop {
        let next = unread
            .next_if(|(name, _)| members.peek().is_none_or(|(read, _)| *name <= read.as_str()));
        match next {
            Some((name, Part::Member(member))) => {
                name_of(name, out);
                member.write(out);
            }
            Some((name, Part::Inside(rest))) => {
                let Some((_, value)) = members.next_if(|(read, _)| read.as_str() == *name) else {
                    continue;
                };
                name_of(name, out);
                write(value, rest, out)?;
            }
            None => {
                let Some((name, value)) = members.next() else { break };
                name_of(name, out);
                value::write(value, out)?;
            }
        }
    }
    out.extend_from_slice(if before == b'{' { b"{}" } else { b"}" });
    Ok(())
}

/// Whether all that a path leads to has been read.
fn has_read(mut unread: &Unread<'_>, path: &[OwnedSegment]) -> bool {
    for segment in path {
        if unread.is_empty() {
            return true;
        }
        let OwnedSegment::Field(name) = segment else { return false };
        match unread.iter().find(|(unread, _)| *unread == &**name) {
            None => return true,
            Some((_, Part::Member(_))) => return false,
            Some((_, Part::Inside(rest))) => unread = rest,
        }
    }
    unread.is_empty()
}

/// Forgets what a path leads to, since something else is put there. False if what it stands in has
/// not been read.
fn forget(unread: &mut Unread<'_>, path: &[OwnedSegment]) -> bool {
    match path {
        [] => unread.clear(),
        _ if unread.is_empty() => {}
        [OwnedSegment::Index(_), ..] => return false,
        [OwnedSegment::Field(name), rest @ ..] => {
            let Some(at) = unread.iter().position(|(unread, _)| *unread == &**name) else {
                return true;
            };
            if rest.is_empty() {
                unread.remove(at);
                return true;
            }
            return match unread.get_mut(at) {
                Some((_, Part::Inside(unread))) => forget(unread, rest),
                _ => false,
            };
        }
    }
    true
}

impl Target for EventTarget<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        match path.prefix {
            PathPrefix::Metadata => self.metadata.insert(&path.path, value),
            PathPrefix::Event => {
                self.together.take();
                if !forget(&mut self.unread, &path.path.segments) {
                    self.read();
                }
                self.value.insert(&path.path, value)
            }
        };
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        let value = match path.prefix {
            PathPrefix::Metadata => &self.metadata,
            PathPrefix::Event if has_read(&self.unread, &path.path.segments) => &self.value,
            PathPrefix::Event => self.together(),
        };
        Ok(value.get(&path.path))
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        let value = match path.prefix {
            PathPrefix::Metadata => &mut self.metadata,
            PathPrefix::Event => {
                self.together.take();
                if !has_read(&self.unread, &path.path.segments) {
                    self.read();
                }
                &mut self.value
            }
        };
        Ok(value.get_mut(&path.path))
    }

    fn target_remove(
        &mut self,
        path: &OwnedTargetPath,
        compact: bool,
    ) -> Result<Option<Value>, String> {
        let value = match path.prefix {
            PathPrefix::Metadata => &mut self.metadata,
            PathPrefix::Event => {
                self.together.take();
                // To be compact is to remove what is empty then: all of it must be there to see.
                if compact || !has_read(&self.unread, &path.path.segments) {
                    self.read();
                }
                &mut self.value
            }
        };
        Ok(value.remove(&path.path, compact))
    }
}

impl SecretTarget for EventTarget<'_> {
    fn get_secret(&self, key: &str) -> Option<&str> {
        self.secrets.get_secret(key)
    }

    fn insert_secret(&mut self, key: &str, value: &str) {
        self.secrets.insert_secret(key, value);
    }

    fn remove_secret(&mut self, key: &str) {
        self.secrets.remove_secret(key);
    }
}
