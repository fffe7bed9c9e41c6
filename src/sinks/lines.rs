//! JSON lines: what the sinks for files and terminals write.

use crate::model::OutputEvent;

/// The events, a line each.
pub(super) fn json_lines(events: &[OutputEvent]) -> Vec<u8> {
    let length = events.iter().map(|event| event.json.len() + 1).sum();
    let mut lines = Vec::with_capacity(length);
    for event in events {
        lines.extend_from_slice(&event.json);
        lines.push(b'\n');
    }
    lines
}
