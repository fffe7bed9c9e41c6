//! The event under a program.

use vrl::{
    compiler::{SecretTarget, Target},
    path::{OwnedTargetPath, PathPrefix},
    value::{ObjectMap, Secrets, Value},
};

use super::{
    fields::{Fields, Part, Reads},
    value,
};
use crate::etl::{document::Document, text::Text};

/// What a program works on. To VRL it is what [`vrl::compiler::TargetValue`] is.
#[derive(Debug)]
pub(super) struct EventTarget<'e> {
    event: Part<'e>,
    /// What has been read of what is still as it came.
    reads: Reads<'e>,
    metadata: Value,
    secrets: Secrets,
}

/// One of the events that a program has left, which may be no object.
#[derive(Clone, Copy)]
pub(super) enum Left<'t> {
    /// The only one.
    Event(&'t Part<'t>),
    /// One of an array.
    Item(&'t Value),
}

impl<'e> EventTarget<'e> {
    /// The event has these fields, sorted by name.
    pub(super) fn new(event: Vec<(Text<'e>, &'e Document<'e>)>, metadata: ObjectMap) -> Self {
        Self::of(Part::Fields(Box::new(Fields::new(event))), metadata)
    }

    pub(super) fn of(event: Part<'e>, metadata: ObjectMap) -> Self {
        Self {
            event,
            reads: Reads::default(),
            metadata: Value::Object(metadata),
            secrets: Secrets::default(),
        }
    }

    pub(super) fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// What the program has left: one event, or the events of an array.
    pub(super) fn left(&self) -> impl ExactSizeIterator<Item = Left<'_>> {
        let (items, event) = match &self.event {
            Part::Value(Value::Array(items)) => (items.as_slice(), None),
            event => (std::slice::from_ref(&Value::Null), Some(event)),
        };
        items.iter().map(move |item| event.map_or(Left::Item(item), Left::Event))
    }
}

impl Left<'_> {
    /// What it is, if it is no object.
    pub(super) fn other_kind(&self) -> Option<&str> {
        let value = match *self {
            Self::Item(value) | Self::Event(Part::Value(value)) => value,
            Self::Event(Part::Fields(_) | Part::Document(_)) => return None,
        };
        (!value.is_object()).then(|| value.kind_str())
    }

    /// Writes it as one line of JSON, its members sorted by name.
    ///
    /// # Errors
    /// As [`value::write`].
    pub(super) fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Event(event) => event.write(out),
            Self::Item(item) => value::write(item, out),
        }
    }
}

impl Target for EventTarget<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        match path.prefix {
            PathPrefix::Event => self.event.insert(&path.path.segments, value),
            PathPrefix::Metadata => drop(self.metadata.insert(&path.path, value)),
        }
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.event.get(&path.path.segments, &self.reads),
            PathPrefix::Metadata => self.metadata.get(&path.path),
        })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.event.get_mut(&path.path.segments),
            PathPrefix::Metadata => self.metadata.get_mut(&path.path),
        })
    }

    fn target_remove(
        &mut self,
        path: &OwnedTargetPath,
        compact: bool,
    ) -> Result<Option<Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.event.remove(&path.path.segments, compact),
            PathPrefix::Metadata => self.metadata.remove(&path.path, compact),
        })
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
