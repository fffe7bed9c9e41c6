//! One event on its way through the stages, with what they have read of it so far.

use std::cell::{Cell, OnceCell};

use serde_json::{Map, Value, json, value::RawValue};
use vrl::value as program;

use super::{SourceRecord, filter::raw, header::Header, program_value};
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
/// | program value | a tree that the program changes | programs |
///
/// A program's tree is made from the document where a schema has read that; otherwise straight from
/// the text, which is cheaper than a detour over the document.
pub(super) struct EventView<'e> {
    pub(super) record: &'e SourceRecord,
    pub(super) event: &'e LogEvent,
    /// What it shares with the events around it.
    pub(super) header: &'e Header,
    /// Its index within its record.
    pub(super) index: u32,
    root: OnceCell<Option<&'e RawValue>>,
    document: OnceCell<Result<Value, String>>,
    whole: OnceCell<Value>,
    for_program: Cell<Option<program::Value>>,
}

impl<'e> EventView<'e> {
    pub(super) fn new(
        record: &'e SourceRecord,
        header: &'e Header,
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
            for_program: Cell::new(None),
        }
    }

    /// The message's root, if the message is one JSON object.
    pub(super) fn root(&self) -> Option<&'e RawValue> {
        *self.root.get_or_init(|| raw::root(&self.event.message))
    }

    /// The message as any JSON document.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn document(&self) -> Result<&Value, &str> {
        let read = || {
            serde_json::from_str(&self.event.message)
                .map_err(|error| format!("the message is not JSON: {error}"))
        };
        self.document.get_or_init(read).as_ref().map_err(String::as_str)
    }

    /// The event as one document, under the names that programs use too. Its message is parsed if it
    /// is a JSON object or array.
    pub(super) fn whole(&self) -> &Value {
        self.whole.get_or_init(|| {
            let LogEvent { source, id, timestamp, message, .. } = self.event;
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

    /// The message for a program: a JSON object or array is parsed; anything else, a bare number
    /// too, is what was printed. `last` says that no other program will ask.
    pub(super) fn for_program(&self, last: bool) -> program::Value {
        let value = self.for_program.take().unwrap_or_else(|| self.read_for_program());
        if !last {
            self.for_program.set(Some(value.clone()));
        }
        value
    }

    fn read_for_program(&self) -> program::Value {
        let message = &self.event.message;
        let parsed = match self.document.get() {
            _ if !looks_structured(message) => None,
            Some(read) => read.as_ref().ok().map(program_value::from_document),
            None => program_value::from_text(message).ok(),
        };
        parsed.unwrap_or_else(|| program_value::text(message))
    }
}

fn looks_structured(message: &str) -> bool {
    message.trim_ascii_start().starts_with(['{', '['])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
                let program: Value = serde_json::to_value(view.for_program(true)).unwrap();
                assert_eq!(program, expect);
            });
        }
    }

    #[test]
    fn each_program_gets_the_message_as_it_came() {
        check(r#"{"a":1}"#, |view| {
            let first = view.for_program(false);
            assert_eq!((view.for_program(false), view.for_program(true)), (first.clone(), first));
        });
    }

    proptest! {
        /// Whether a schema has read the message before makes no difference to a program.
        #[test]
        fn both_ways_to_a_program_are_the_same(
            document in prop::collection::vec(
                (any::<String>(), prop_oneof![
                    Just(json!(null)), any::<bool>().prop_map(Value::from),
                    any::<i64>().prop_map(Value::from), any::<u64>().prop_map(Value::from),
                    any::<f64>().prop_map(Value::from), any::<String>().prop_map(Value::from),
                    any::<Vec<u8>>().prop_map(Value::from),
                ]), 0..8)
        ) {
            let message = Value::Object(document.into_iter().collect()).to_string();
            let mut direct = None;
            check(&message, |view| direct = Some(view.for_program(true)));
            check(&message, |view| {
                view.document().unwrap();
                assert_eq!(Some(view.for_program(true)), direct);
            });
        }
    }
}
