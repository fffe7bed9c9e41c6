//! From when until when each worker may believe that it owns a lease, as an observer who sees every
//! write knows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{stream::Place, world::WorkerNo};

pub(crate) struct Beliefs {
    validity: Duration,
    held: BTreeMap<(Place, WorkerNo), Belief>,
    /// Grants that each worker has had of a lease.
    grants: BTreeMap<(Place, WorkerNo), u64>,
    /// Workers whose lease an operator set free, until they must have noticed: what they deliver till
    /// then is on the operator.
    disowned: BTreeMap<(Place, WorkerNo), Instant>,
    /// Workers that are gone. Writes of theirs may still arrive; nobody believes in them.
    gone: BTreeSet<WorkerNo>,
}

#[derive(Clone, Copy)]
struct Belief {
    from: Instant,
    until: Instant,
}

impl Beliefs {
    pub(crate) fn new(validity: Duration) -> Self {
        let (held, grants, disowned, gone) = Default::default();
        Self { validity, held, grants, disowned, gone }
    }

    pub(crate) fn renewed(&mut self, place: &Place, worker: WorkerNo, sent: Instant) {
        if self.gone.contains(&worker) {
            return;
        }
        let belief = (place.clone(), worker);
        let from = self.held.get(&belief).map_or(sent, |belief| belief.from);
        self.held.insert(belief, Belief { from, until: sent + self.validity });
    }

    /// A thief waits until nobody else can still believe in the lease.
    pub(crate) fn took(&mut self, place: &Place, worker: WorkerNo, sent: Instant) {
        let others = self.held.iter().filter(|((lease, who), _)| lease == place && *who != worker);
        let from = others.map(|(_, belief)| belief.until).max().unwrap_or(sent).max(sent);
        let belief = (place.clone(), worker);
        self.disowned.remove(&belief);
        *self.grants.entry(belief.clone()).or_default() += 1;
        if self.gone.contains(&worker) {
            return;
        }
        self.held.insert(belief, Belief { from, until: sent + self.validity });
    }

    pub(crate) fn gave_up(&mut self, place: &Place, worker: WorkerNo) {
        self.held.remove(&(place.clone(), worker));
    }

    pub(crate) fn disowned(&mut self, place: &Place) {
        let disowned = &mut self.disowned;
        self.held.retain(|belief, Belief { until, .. }| {
            let other = belief.0 != *place;
            if !other {
                disowned.insert(belief.clone(), *until);
            }
            other
        });
    }

    pub(crate) fn gone(&mut self, worker: WorkerNo) {
        self.gone.insert(worker);
        self.held.retain(|(_, who), _| *who != worker);
        self.disowned.retain(|(_, who), _| *who != worker);
    }

    /// Whether an operator set a lease free whose owner need not have noticed yet.
    pub(crate) fn is_disowned(&self, place: &Place, worker: WorkerNo, now: Instant) -> bool {
        self.disowned.get(&(place.clone(), worker)).is_some_and(|until| now < *until)
    }

    /// Whose grants are valid at an instant, when `acting` delivers.
    pub(crate) fn valid(&self, place: &Place, acting: WorkerNo, now: Instant) -> Vec<WorkerNo> {
        if self.is_disowned(place, acting, now) {
            return vec![acting];
        }
        let valid = self.held.iter().filter(|((lease, _), Belief { from, until })| {
            lease == place && *from <= now && now < *until
        });
        valid.map(|((_, who), _)| *who).collect()
    }

    /// Whether a worker holds the lease, and knows nothing to the contrary.
    pub(crate) fn is_sure(&self, place: &Place, worker: WorkerNo, now: Instant) -> bool {
        // The auditor counts from the write, a worker from the reading before it.
        let slack = self.validity / 2;
        let others = self
            .held
            .iter()
            .any(|((lease, who), b)| lease == place && *who != worker && now < b.until);
        !others && self.held.get(&(place.clone(), worker)).is_some_and(|b| now + slack < b.until)
    }

    pub(crate) fn grant(&self, place: &Place, worker: WorkerNo) -> u64 {
        self.grants.get(&(place.clone(), worker)).copied().unwrap_or(0)
    }

    /// Whether somebody else has begun to own a lease that this worker was last known to own.
    pub(crate) fn is_zombie(&self, worker: WorkerNo, now: Instant) -> bool {
        let mine =
            self.held.iter().filter(|((_, who), belief)| *who == worker && belief.until < now);
        let mut mine = mine.map(|((place, _), belief)| (place, belief.until));
        mine.any(|(place, until)| {
            let mut others = self.held.iter();
            others.any(|((lease, who), b)| lease == place && *who != worker && b.until > until)
        })
    }
}
