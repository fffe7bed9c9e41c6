//! In which order sinks acknowledge the events of a shard under a grant.

use std::{collections::BTreeMap, sync::Arc};

use shardwright::model::{OutputEvent, Position};

use crate::{audit::Grant, stream::Place};

#[derive(Default)]
pub(crate) struct Order {
    /// The last position of what shares an order.
    last: BTreeMap<(Grant, Place, Option<Arc<str>>), Position>,
    furthest: BTreeMap<(Grant, Place), Position>,
}

/// How an event came, in comparison with those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    InOrder,
    /// After a later one of its shard, which has another key.
    Overtaken,
    TooLate,
}

impl Order {
    /// An event has come through; `shared` names what shares its order.
    pub(crate) fn came(
        &mut self,
        grant: Grant,
        event: &OutputEvent,
        shared: Option<Arc<str>>,
    ) -> Came {
        let (place, position) = (Place::of_event(&event.id), &event.id.position);
        let furthest =
            self.furthest.entry((grant, place.clone())).or_insert_with(|| position.clone());
        let overtaken = position < furthest;
        if !overtaken {
            furthest.clone_from(position);
        }
        let before = self.last.insert((grant, place, shared), position.clone());
        match before {
            Some(before) if before > *position => Came::TooLate,
            _ if overtaken => Came::Overtaken,
            _ => Came::InOrder,
        }
    }
}
