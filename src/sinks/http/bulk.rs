//! `_bulk` of Elasticsearch and OpenSearch: an action and a document a line, an answer for each.

use serde::{Deserialize, Serialize};

use super::{BulkAction, HttpConfig};
use crate::{
    model::OutputEvent,
    ports::{SinkError, Verdict},
    sinks::digest::sha256,
};

/// Longest document id, in bytes (Elasticsearch, the `_id` field).
const LONGEST_ID: usize = 512;

#[derive(Serialize)]
struct Target<'t> {
    _index: &'t str,
    _id: &'t str,
}

/// The lines, and for each event why it is not among them, if it is not.
pub(super) fn lines(events: &[OutputEvent], config: &HttpConfig) -> (Vec<u8>, Vec<Option<String>>) {
    let action = match config.action {
        BulkAction::Create => "create",
        BulkAction::Index => "index",
    };
    let index = config.index.as_deref().unwrap_or_default();
    let mut lines = Vec::new();
    let mut refused = Vec::with_capacity(events.len());
    for event in events {
        let Some(id) = config.document_id.text(event).filter(|id| !id.is_empty()) else {
            refused.push(Some(format!("it has no {} (document_id)", config.document_id)));
            continue;
        };
        let id = short(&id);
        lines.extend_from_slice(format!("{{\"{action}\":").as_bytes());
        serde_json::to_writer(&mut lines, &Target { _index: index, _id: &id })
            .expect("texts are JSON, and a vector takes them");
        lines.extend_from_slice(b"}\n");
        lines.extend_from_slice(&event.json);
        lines.push(b'\n');
        refused.push(None);
    }
    (lines, refused)
}

/// An id that is too long is replaced by its hash: the same on every replay.
fn short(id: &str) -> String {
    if id.len() <= LONGEST_ID {
        return id.to_owned();
    }
    sha256(id)
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

/// One of the two is there.
#[derive(Deserialize)]
struct Item {
    create: Option<Done>,
    index: Option<Done>,
}

#[derive(Deserialize)]
struct Done {
    status: u16,
    error: Option<serde_json::Value>,
}

/// A verdict for each line that was sent.
///
/// # Errors
/// [`SinkError::Unavailable`] when the answer is not one: the events may be there, and their ids make
/// sending them again harmless.
pub(super) fn verdicts(
    body: &[u8],
    sent: usize,
    action: BulkAction,
) -> Result<Vec<Verdict>, SinkError> {
    let unreadable = |why: String| SinkError::Unavailable(format!("_bulk answered {why}"));
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| unreadable(error.to_string()))?;
    if answer.items.len() != sent {
        return Err(unreadable(format!("for {} of {sent} events", answer.items.len())));
    }
    let done = |item: Item| item.create.or(item.index);
    answer
        .items
        .into_iter()
        .map(|item| done(item).map(|done| verdict(&done, action)))
        .collect::<Option<_>>()
        .ok_or_else(|| unreadable("with neither create nor index".to_owned()))
}

fn verdict(done: &Done, action: BulkAction) -> Verdict {
    let why = || {
        let error = done.error.as_ref();
        let text = |key: &str| error.and_then(|error| error.get(key)).and_then(|it| it.as_str());
        let kind = text("type").unwrap_or("error");
        let reason = text("reason").unwrap_or_default();
        // The reason of a mapping that fails names its cause one level deeper.
        let cause = error
            .and_then(|error| error.pointer("/caused_by/reason"))
            .and_then(|cause| cause.as_str())
            .map(|cause| format!(": {cause}"));
        format!("{kind}: {reason}{} (HTTP {})", cause.unwrap_or_default(), done.status)
    };
    match done.status {
        200..=299 => Verdict::Accepted,
        // It is there: an earlier attempt has put it.
        409 if action == BulkAction::Create => Verdict::Accepted,
        // No event is at fault when the index is missing, closed or full.
        401 | 403 | 404 | 408 | 409 | 429 | 500..=599 => Verdict::Retry(why()),
        _ => Verdict::Refused(why()),
    }
}
