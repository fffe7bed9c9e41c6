//! One event on its way through the stages, with what they have read of it so far.

use std::{borrow::Cow, cell::OnceCell};

use serde_json::{Map, Value, json, value::RawValue};

use super::{
    SourceRecord,
    document::{Document, sort_by_name},
    filter::raw,
    header::Header,
    text::Text,
};
use crate::model::LogEvent;

/// The names that the fields of an event have for schemas and programs.
pub(super) const FIELDS: [&str; 7] =
    ["owner", "log_group", "log_stream", "subscription_filters", "id", "timestamp", "message"];

/// An event, and its message in the forms that the stages want, each read at most once however many
/// stages and routes ask.
///
/// | Form | Cost | Who wants it |
/// |---|---|---|
/// | root | one scan, no tree | JSON filters, `where`, required keys |
/// | document | a tree | schemas |
/// | fields | a tree that borrows | programs |
pub(super) struct EventView<'e> {
    pub(super) record: &'e SourceRecord,
    pub(super) event: &'e LogEvent,
    /// What it shares with the events around it.
    pub(super) header: &'e Header<'e>,
    /// Its index within its record.
    pub(super) index: u32,
    root: OnceCell<Option<&'e RawValue>>,
    document: OnceCell<Result<Value, String>>,
    whole: OnceCell<Value>,
    fields: OnceCell<Fields<'e>>,
}

/// What is an event's own, for programs.
struct Fields<'e> {
    id: Document<'e>,
    timestamp: Document<'e>,
    message: Document<'e>,
    unknown: Vec<(Text<'e>, Document<'e>)>,
}

impl<'e> EventView<'e> {
    pub(super) fn new(
        record: &'e SourceRecord,
        header: &'e Header<'e>,
        event: &'e LogEvent,
        index: u32,
    ) -> Self {
        Self {
            record,
            event,
            header,
            index,
            root: OnceCell::new(),
            document: OnceCell::new(),
            whole: OnceCell::new(),
            fields: OnceCell::new(),
        }
    }

    /// The message's root, if the message is one JSON object.
    pub(super) fn root(&self) -> Option<&'e RawValue> {
        *self.root.get_or_init(|| raw::root(self.event.message.as_str()))
    }

    /// The message as any JSON document.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn document(&self) -> Result<&Value, &str> {
        let read = || {
            serde_json::from_str(self.event.message.as_str())
                .map_err(|error| format!("the message is not JSON: {error}"))
        };
        self.document.get_or_init(read).as_ref().map_err(String::as_str)
    }

    /// The event as one document, under the names that programs use too. Its message is parsed if it
    /// is a JSON object or array.
    pub(super) fn whole(&self) -> &Value {
        self.whole.get_or_init(|| {
            let LogEvent { source, id, timestamp, message, .. } = self.event;
            let message = message.as_str();
            let parsed = looks_structured(message).then(|| self.document().ok().cloned()).flatten();
            let values = [
                json!(source.owner),
                json!(source.log_group),
                json!(source.log_stream),
                json!(source.subscription_filters),
                json!(id),
                json!(timestamp),
                parsed.unwrap_or_else(|| json!(message)),
            ];
            let unknown = self.event.unknown_fields(&FIELDS);
            let mut whole: Map<String, Value> =
                unknown.map(|(name, value)| (name.into_owned(), value.clone())).collect();
            whole.extend(FIELDS.map(str::to_owned).into_iter().zip(values));
            Value::Object(whole)
        })
    }

    /// The event for programs, its fields sorted by name. Its message is parsed if it is a JSON object
    /// or array; anything else, a bare number too, is what was printed.
    pub(super) fn fields(&self) -> Vec<(Text<'_>, &Document<'e>)> {
        let own = self.fields.get_or_init(|| self.own_fields());
        let shared = self.header.fields();
        let known = [
            ("id", &own.id),
            ("log_group", &shared.log_group),
            ("log_stream", &shared.log_stream),
            ("message", &own.message),
            ("owner", &shared.owner),
            ("subscription_filters", &shared.subscription_filters),
            ("timestamp", &own.timestamp),
        ];
        // Programs add some.
        let mut fields = Vec::with_capacity(known.len() + own.unknown.len() + 4);
        fields.extend(known.map(|(name, field)| (Text::Plain(name), field)));
        if !own.unknown.is_empty() {
            fields.extend(own.unknown.iter().map(|(name, field)| (name.clone(), field)));
            sort_by_name(&mut fields);
        }
        fields
    }

    fn own_fields(&self) -> Fields<'e> {
        let LogEvent { id, timestamp, message, .. } = self.event;
        let unknown = self.event.unknown_fields(&FIELDS).map(|(name, field)| match name {
            Cow::Borrowed(name) => (Text::Borrowed(name), field.into()),
            Cow::Owned(name) => (Text::Owned(name), field.into()),
        });
        Fields {
            id: Document::text(id),
            timestamp: timestamp.map_or(Document::Null, |time| Document::Integer(time.0)),
            message: read_message(message.as_str()),
            unknown: unknown.collect(),
        }
    }
}

fn read_message(message: &str) -> Document<'_> {
    let parsed = looks_structured(message).then(|| Document::read(message).ok()).flatten();
    parsed.unwrap_or_else(|| Document::text(message))
}

fn looks_structured(message: &str) -> bool {
    message.trim_ascii_start().starts_with(['{', '['])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etl::pipeline::tests::{log_event, source_record};

    fn check(message: &str, test: impl FnOnce(EventView<'_>)) {
        let (record, event) = (source_record(b""), log_event(message));
        test(EventView::new(&record, &Header::new(&event.source), &event, 0));
    }

    #[test]
    fn objects_and_arrays_are_parsed_and_the_rest_stays_text() {
        for (message, expect) in [
            (r#" {"a":1}"#, json!({"a": 1})),
            ("[1]", json!([1])),
            ("17", json!("17")),
            ("{not json", json!("{not json")),
            ("", json!("")),
        ] {
            check(message, |view| {
                assert_eq!(view.whole()["message"], expect);
                let fields = view.fields();
                let message = fields.iter().find(|(name, _)| name.as_str() == "message").unwrap();
                assert_eq!(*message.1, Document::from(&expect));
            });
        }
    }
}
