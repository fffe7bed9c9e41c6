//! What a worker knows under each of its grants: which deliveries are under way, and what has come
//! through.

use std::collections::BTreeMap;

use shardwright::{
    model::{Breach, Checkpoint, Invariant, OutputEvent, Position},
    ports::{SinkError, Verdict},
};
use tokio::time::{Duration, Instant};

use crate::{audit::Grant, stream::Place};

/// A worker reports an outcome at once; so old it certainly was reported.
const CERTAIN: Duration = Duration::from_secs(1);

/// What must come through before a checkpoint may pass an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The event itself, at its sink or as a dead letter.
    Event(Position),
    /// The event at the sink of copies.
    Copy(Position),
    /// The event at the sink of those that came too late for their windows.
    Late(Position),
    /// A row, by the end of its window and its group. It belongs to many events.
    Row(i64, i64),
}

#[derive(Default)]
pub(crate) struct Known {
    grants: BTreeMap<(Place, Grant), UnderGrant>,
}

#[derive(Default)]
struct UnderGrant {
    /// Everything up to here was processed before.
    behind: Option<Position>,
    /// Deliveries without an answer.
    under_way: usize,
    /// What the worker knows to have come through, and since when. Nothing of batches that came through
    /// in parts: they are reported as a whole.
    through: BTreeMap<Part, Instant>,
}

impl Known {
    pub(crate) fn took(&mut self, place: &Place, grant: Grant, checkpoint: &Checkpoint) {
        let behind = match checkpoint {
            Checkpoint::After(position) => Some(position.clone()),
            _ => None,
        };
        self.grants.insert((place.clone(), grant), UnderGrant { behind, ..Default::default() });
    }

    /// A worker begins a delivery. CP-5.
    pub(crate) fn begins(
        &mut self,
        place: &Place,
        grant: Grant,
        events: &[OutputEvent],
    ) -> Result<(), Breach> {
        let known = self.grants.entry((place.clone(), grant)).or_default();
        known.under_way += 1;
        let again = events.iter().find(|event| Some(&event.id.position) <= known.behind.as_ref());
        let Some(again) = again else { return Ok(()) };
        let what = format!("w{} delivers {} again", grant.0, again.id);
        Err(Invariant::ResumesBehind.broken(what))
    }

    /// A worker hears of a delivery of these parts.
    pub(crate) fn hears(
        &mut self,
        place: &Place,
        grant: Grant,
        parts: impl Iterator<Item = Part>,
        answer: &Result<Vec<Verdict>, SinkError>,
    ) {
        let known = self.grants.entry((place.clone(), grant)).or_default();
        known.under_way = known.under_way.saturating_sub(1);
        let Ok(verdicts) = answer else { return };
        if verdicts.iter().all(|verdict| *verdict == Verdict::Accepted) {
            known.through.extend(parts.map(|part| (part, Instant::now())));
        }
    }

    /// A worker has let a lease go. LS-4.
    pub(crate) fn let_go(&self, place: &Place, grant: Grant) -> Result<(), Breach> {
        match self.grants.get(&(place.clone(), grant)) {
            Some(UnderGrant { under_way: 1.., .. }) => {
                let what = format!("w{} lets {place} go while it delivers", grant.0);
                Err(Invariant::DrainedFirst.broken(what))
            }
            _ => Ok(()),
        }
    }

    /// A renewal sent at `sent` has left the checkpoint before `next`, the first event that still needs
    /// an outcome as far as the row knows; `parts` are all that it needs. CP-4.
    pub(crate) fn renewed(
        &self,
        place: &Place,
        grant: Grant,
        (next, parts): (&Position, &[Part]),
        sent: Instant,
    ) -> Result<(), Breach> {
        let Some(known) = self.grants.get(&(place.clone(), grant)) else { return Ok(()) };
        let certain = |part| known.through.get(part).is_some_and(|since| *since + CERTAIN < sent);
        if !parts.iter().all(certain) {
            return Ok(());
        }
        let what = format!("w{} renews {place} without {next}, which is through", grant.0);
        Err(Invariant::RenewalCheckpoints.broken(what))
    }
}
