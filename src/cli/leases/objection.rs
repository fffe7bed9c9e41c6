//! Why a change is refused, as pure decisions.

use super::{effect::Effect, pulse::Pulse};
use crate::{
    leasing::plan::ByShard,
    model::{Checkpoint, Lease, Shard, ShardId},
};

/// A reason against a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objection {
    /// The reason.
    pub(super) why: String,
    /// Whether `--force` overrules it.
    pub(super) forcible: bool,
}

impl Objection {
    fn unless_forced(why: impl Into<String>) -> Self {
        Self { why: why.into(), forcible: true }
    }

    fn never(why: impl Into<String>) -> Self {
        Self { why: why.into(), forcible: false }
    }
}

/// Against taking a lease from its owner: it renews. Without a `pulse` nobody watched.
pub(super) fn to_eviction(lease: &Lease, pulse: Option<&Pulse>) -> Vec<Objection> {
    let living = lease.holder().filter(|holder| pulse.is_some_and(|pulse| pulse.lives(holder)));
    let objection = |holder| {
        Objection::unless_forced(format!("its owner {holder} is alive: it renews its leases"))
    };
    living.map(objection).into_iter().collect()
}

/// Against another position. `shard` is what the stream says, if it lists it; `children` are those
/// of the lineage.
pub(super) fn to_move(
    lease: &Lease,
    to: &Checkpoint,
    effect: &Effect,
    children: &[ShardId],
    shard: Option<&Shard>,
    by_shard: &ByShard<'_>,
) -> Vec<Objection> {
    let mut found = Vec::new();
    if effect.loses() {
        found.push(Objection::unless_forced(effect.to_string()));
    }
    if *to != Checkpoint::ShardEnd {
        return found;
    }
    if shard.is_some_and(|shard| shard.open) {
        found.push(Objection::never(
            "the shard is open: nobody would read what is put into it from now on",
        ));
    } else if children.is_empty() {
        found.push(Objection::never("no children are known: nobody would read its keys any more"));
    }
    let stream = lease.stream.as_deref();
    for child in children.iter().filter(|child| !by_shard.contains_key(&(stream, *child))) {
        found.push(Objection::never(format!(
            "its child {child} has no lease: nobody would read its keys any more"
        )));
    }
    found
}

/// Against deleting a lease. `listed` is whether the stream still has the shard.
pub(super) fn to_deletion(
    lease: &Lease,
    children: &[ShardId],
    listed: bool,
    by_shard: &ByShard<'_>,
) -> Vec<Objection> {
    let mut found = Vec::new();
    let stream = lease.stream.as_deref();
    if !lease.ended() {
        found.push(Objection::unless_forced(format!(
            "the shard is not read to its end: its checkpoint would be lost, {}",
            lease.checkpoint
        )));
    } else if children.is_empty() && listed {
        found.push(Objection::unless_forced("its children are not known"));
    }
    for child in children {
        let why = match by_shard.get(&(stream, child)) {
            None => format!("its child {child} has no lease"),
            Some(row) if row.checkpoint.is_start() => {
                format!("its child {child} has not started: it stands at {}", row.checkpoint)
            }
            Some(_) => continue,
        };
        found.push(Objection::unless_forced(why));
    }
    for parent in lease.parents.iter().filter(|parent| by_shard.contains_key(&(stream, *parent))) {
        found.push(Objection::unless_forced(format!(
            "its parent {parent} still has a lease, which goes first"
        )));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::leases::testing::reading,
        leasing::{fixtures::lease, plan::by_shard},
    };

    fn said(objections: &[Objection]) -> String {
        let line = |o: &Objection| format!("{}{}", o.why, if o.forcible { "" } else { "!" });
        objections.iter().map(line).collect::<Vec<_>>().join("; ")
    }

    fn ids(text: &str) -> Vec<ShardId> {
        text.split_whitespace().map(ShardId::new).collect()
    }

    fn checkpoint(text: &str) -> Checkpoint {
        Checkpoint::parse(text, 0).unwrap()
    }

    #[test]
    fn a_living_owner_keeps_its_lease() {
        let row = Lease { counter: 5, ..lease("0").owner("a").build() };
        let mut pulse = Pulse::new(std::slice::from_ref(&row));
        assert_eq!(to_eviction(&row, Some(&pulse)), [], "it has not renewed");
        pulse.see(&[Lease { counter: 6, ..row.clone() }]);
        let found = said(&to_eviction(&row, Some(&pulse)));
        assert_eq!(found, "its owner a is alive: it renews its leases");
        assert_eq!(to_eviction(&lease("0").build(), Some(&pulse)), [], "it has none");
        assert_eq!(to_eviction(&row, None), []);
    }

    #[test]
    fn a_move_that_loses_records_is_refused_unless_forced() {
        let row = lease("0").build();
        let to_move = |now: &str, then: &str| {
            let effect = Effect::of(&reading(now), &reading(then));
            said(&to_move(&row, &reading(then).checkpoint, &effect, &[], None, &by_shard(&[])))
        };
        assert!(to_move("20@21", "40@41").starts_with("loses records"));
        assert!(to_move("20@", "LATEST@").starts_with("may lose records"));
        assert_eq!(to_move("40@41", "20@21"), "");
        assert_eq!(to_move("20@", "40@"), "");
    }

    #[test]
    fn a_shard_is_not_declared_ended_while_nobody_would_read_its_keys() {
        let row = lease("0").build();
        let effect = Effect::of(&reading("20@"), &reading("SHARD_END@"));
        let end = |children: &str, leases: &[Lease], open: bool| {
            let shard = Shard { id: ShardId::new("0"), parents: vec![], hash_range: None, open };
            let to = Checkpoint::ShardEnd;
            let table = by_shard(leases);
            let found = to_move(&row, &to, &effect, &ids(children), Some(&shard), &table);
            said(&found[1..])
        };
        assert!(
            end("", &[], true).contains("the shard is open") && end("", &[], true).ends_with('!')
        );
        assert!(end("", &[], false).contains("no children are known"));
        let one = [lease("1").build()];
        let found = end("1 2", &one, false);
        assert_eq!(found, "its child 2 has no lease: nobody would read its keys any more!");
        assert_eq!(end("1", &one, false), "", "but it still needs force");
    }

    #[test]
    fn only_what_is_done_with_is_deleted_without_force() {
        let delete = |row: &Lease, children: &str, listed, leases: &[Lease]| {
            said(&to_deletion(row, &ids(children), listed, &by_shard(leases)))
        };
        let at = |shard: &str, text: &str| lease(shard).checkpoint(checkpoint(text)).build();
        let ended = lease("0").ended().build();
        let started = [at("1", "77"), at("2", "SHARD_END")];
        assert_eq!(delete(&ended, "1 2", true, &started), "");
        assert_eq!(
            delete(&ended, "1 2", true, &[at("1", "77"), at("2", "LATEST")]),
            "its child 2 has not started: it stands at LATEST"
        );
        assert_eq!(delete(&ended, "1 2", true, &started[..1]), "its child 2 has no lease");
        assert_eq!(delete(&ended, "", true, &[]), "its children are not known");
        assert_eq!(delete(&ended, "", false, &[]), "", "the stream has forgotten the shard");
        assert_eq!(
            delete(&at("0", "5"), "", true, &[]),
            "the shard is not read to its end: its checkpoint would be lost, 5:0"
        );
        let grandchild = Lease { parents: ids("p"), ..ended };
        let mut rows = started.to_vec();
        rows.push(lease("p").ended().build());
        assert_eq!(
            delete(&grandchild, "1 2", true, &rows),
            "its parent p still has a lease, which goes first"
        );
    }
}
