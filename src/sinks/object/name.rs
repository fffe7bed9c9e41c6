//! The names of objects.

use std::fmt::Write;

use super::template::escape;
use crate::model::{OutputEvent, Place, Position, RowId, Share};

/// The name of an object with events of one batch: stream, shard, and the places of the batch's first
/// and last event, whichever of its events the object holds.
pub(super) fn of_batch(first: &OutputEvent, last: &OutputEvent, extension: &str) -> String {
    let mut name = of_shard(first);
    for event in [first, last] {
        name.push('-');
        push_place(event, &mut name);
    }
    finish(name, extension)
}

/// The name of an object with this one event, or dead letter, alone.
pub(super) fn of_one(event: &OutputEvent, extension: &str) -> String {
    let mut name = of_shard(event);
    name.push('-');
    push_place(event, &mut name);
    match &event.share {
        Share::Letter { route, document } => {
            name.push_str("-letter");
            if let Some(route) = route {
                name.push('-');
                escape(route, &mut name);
            }
            if let Some(document) = document {
                // Writing into a string cannot fail.
                let _ = write!(name, "-{document}");
            }
        }
        Share::RowLetter(RowId { name: route, end, size, group }) => {
            name.push_str("-letter-");
            escape(route, &mut name);
            let _ = write!(name, "-{}-{size}-{group}", end.0);
        }
        Share::Document { .. } | Share::Window(_) => {}
    }
    finish(name, extension)
}

fn finish(mut name: String, extension: &str) -> String {
    name.push('.');
    name.push_str(extension);
    name
}

fn of_shard(event: &OutputEvent) -> String {
    let mut name = String::with_capacity(192);
    escape(event.id.stream.as_str(), &mut name);
    name.push('-');
    escape(event.id.shard.as_str(), &mut name);
    name
}

/// A place, with dots between its numbers, and without the zeros at its end: most places are those of
/// the first event of a record.
fn push_place(event: &OutputEvent, name: &mut String) {
    let Position { sequence, sub_sequence } = &event.id.position;
    let (route, document) = match Place::of(event) {
        Some(place) => (place.route, place.document),
        None => (0, 0),
    };
    name.push_str(sequence.as_str());
    let rest = [*sub_sequence, event.id.index.into(), route.into(), document.into()];
    let shown = rest.iter().rposition(|number| *number > 0).map_or(0, |last| last + 1);
    for number in rest.iter().take(shown) {
        let _ = write!(name, ".{number}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{model::EpochMillis, sinks::testing::event};

    #[test]
    fn names_say_the_range_and_a_letter_has_its_own() {
        let (first, mut last) = (event(7, "{}"), event(9, "{}"));
        last.id.index = 3;
        last.id.position.sub_sequence = 2;
        assert_eq!(
            of_batch(&first, &last, "jsonl.gz"),
            "orders-shardId-000000000000-7-9.2.3.jsonl.gz"
        );
        assert_eq!(of_one(&first, "jsonl"), "orders-shardId-000000000000-7.jsonl");
        last.share = Share::Letter { route: Some(Arc::from("a b")), document: Some(1) };
        assert_eq!(
            of_one(&last, "jsonl"),
            "orders-shardId-000000000000-9.2.3-letter-a%20b-1.jsonl"
        );
        // Letters of rows come with one record, or with the one that comes again.
        let row = |end: i64, group: &str| RowId {
            name: Arc::from("r"),
            end: EpochMillis(end),
            size: 1000,
            group: Arc::from(group),
        };
        let mut letter = |row| {
            last.share = Share::RowLetter(row);
            (of_one(&last, "jsonl"), last.delivery_id())
        };
        let (name, id) = letter(row(2000, "0d"));
        assert_eq!(name, "orders-shardId-000000000000-9.2.3-letter-r-2000-1000-0d.jsonl");
        for other in [row(2000, "0e"), row(3000, "0d")] {
            let (other, other_id) = letter(other);
            assert!(other != name && other_id != id, "{other}, {other_id}");
        }
    }
}
