//! Where a delivery stands among those of its shard.

use crate::model::{OutputEvent, SequenceNumber, Share};

/// A delivery's place. Along a shard places grow: records, the events of a record, the routes of an
/// event, the documents of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) sequence: SequenceNumber,
    /// Sub-sequence number, index of the event, of the route, of the document: as PostgreSQL's
    /// `bigint`.
    pub(super) rest: [i64; 4],
}

impl Place {
    /// `None` for a dead letter: those come out of order.
    pub(super) fn of(event: &OutputEvent) -> Option<Self> {
        let Share::Document { route, document, .. } = &event.share else { return None };
        let position = &event.id.position;
        Some(Self {
            sequence: position.sequence.clone(),
            rest: [
                i64::try_from(position.sub_sequence).unwrap_or(i64::MAX),
                i64::from(event.id.index),
                i64::from(*route),
                i64::from(*document),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sinks::testing::event;

    #[test]
    fn places_grow_along_a_shard() {
        let at = |sequence: u64, sub_sequence: u64, index: u32, route: u32, document: u32| {
            let mut event = event(sequence, "{}");
            event.id.position.sub_sequence = sub_sequence;
            event.id.index = index;
            event.share = Share::Document { route, name: Arc::from("r"), document };
            Place::of(&event).unwrap()
        };
        let places = [
            at(9, 0, 0, 0, 0),
            at(10, 0, 0, 0, 0),
            at(10, 0, 0, 0, 1),
            at(10, 0, 0, 1, 0),
            at(10, 0, 1, 0, 0),
            at(10, 1, 0, 0, 0),
            at(11, 0, 0, 0, 0),
        ];
        assert!(places.is_sorted_by(|earlier, later| earlier < later));
        let letter = Share::Letter { route: None, document: None };
        assert_eq!(Place::of(&OutputEvent { share: letter, ..event(1, "{}") }), None);
    }
}
