//! Lease writes as DynamoDB expressions.
//!
//! The specification is [`LeaseWrite::apply`]: condition and update here say the same, with the KCL's
//! attribute names (KCL `DynamoDBLeaseRefresher`). Only `UpdateItem` is used, which leaves attributes
//! alone that it does not name: a KCL's throughput figure, or what a later version may add.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::lease_item::{b, hash_keys, millis, n, s, ss};
use crate::model::{
    Checkpoint, HashKeyRange, LeaseWrite, PendingCheckpoint, Progress, ShardId, WorkerId,
};

/// The request parameters of one conditional update.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expressions {
    pub(super) condition: String,
    pub(super) update: String,
    pub(super) values: HashMap<String, AttributeValue>,
}

const NO_HAND_OVER: &str = "attribute_not_exists(checkpointOwner)";

/// Says one write as expressions.
pub(super) fn expressions(write: &LeaseWrite) -> Expressions {
    let mut update = Update::default();
    match write {
        LeaseWrite::Renew { by, counter, checkpoint } => {
            update.bump(*counter);
            update.only_holder(by);
            update.checkpoint(checkpoint.as_ref());
        }
        LeaseWrite::Take { by, counter, from, latest_since } => {
            update.bump(*counter);
            update.seen("leaseOwner", ":from", from.as_ref());
            if from.as_ref().is_some_and(|owner| owner != by) {
                update.add.push("ownerSwitchesSinceCheckpoint :one");
            }
            update.assign("leaseOwner = :by", ":by", by);
            update.remove.push("checkpointOwner");
            if let Some(time) = latest_since {
                update.set.push("latestSince = if_not_exists(latestSince, :latest)");
                update.value(":latest", millis(*time));
            }
        }
        LeaseWrite::RequestHandOver { from, to } => {
            update.when("leaseOwner = :from", ":from", from);
            update.condition(NO_HAND_OVER);
            update.assign("leaseOwner = :to", ":to", to);
            update.set.push("checkpointOwner = :from");
        }
        LeaseWrite::WithdrawRequest { from, by } => {
            update.when("leaseOwner = :by", ":by", by);
            update.when("checkpointOwner = :from", ":from", from);
            update.set.push("leaseOwner = :from");
            update.remove.push("checkpointOwner");
        }
        LeaseWrite::FinishHandOver { by, to, counter, checkpoint } => {
            update.bump(*counter);
            update.when("leaseOwner = :to", ":to", to);
            update.when("checkpointOwner = :by", ":by", by);
            update.remove.push("checkpointOwner");
            update.checkpoint(checkpoint.as_ref());
        }
        LeaseWrite::Release { by, counter, checkpoint } => {
            update.bump(*counter);
            update.when("leaseOwner = :by", ":by", by);
            update.condition(NO_HAND_OVER);
            update.remove.push("leaseOwner");
            update.checkpoint(checkpoint.as_ref());
        }
        LeaseWrite::End { by, counter, children } => {
            update.bump(*counter);
            update.only_holder(by);
            update.remove.extend(["leaseOwner", "checkpointOwner"]);
            update.children(children);
            update.checkpoint(Some(&Checkpoint::ShardEnd.into()));
        }
        LeaseWrite::FillHashRange { range } => {
            update.condition("attribute_exists(leaseKey)");
            update.hash_range(range);
        }
        LeaseWrite::Evict { counter, owner, checkpoint_owner, checkpoint, children } => {
            update.bump(*counter);
            update.seen("leaseOwner", ":owner", owner.as_ref());
            update.seen("checkpointOwner", ":holder", checkpoint_owner.as_ref());
            update.remove.extend(["leaseOwner", "checkpointOwner"]);
            if !children.is_empty() {
                update.children(children);
            }
            update.position(checkpoint.as_deref());
        }
    }
    update.finish()
}

/// An update in the making: clauses and the values they name.
#[derive(Default)]
struct Update {
    conditions: Vec<String>,
    set: Vec<&'static str>,
    add: Vec<&'static str>,
    remove: Vec<&'static str>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    fn value(&mut self, name: &str, value: AttributeValue) {
        self.values.insert(name.to_owned(), value);
    }

    fn condition(&mut self, condition: impl Into<String>) {
        self.conditions.push(condition.into());
    }

    fn when(&mut self, condition: &str, name: &str, worker: &WorkerId) {
        self.condition(condition);
        self.value(name, s(worker.as_str()));
    }

    /// The attribute must name the worker that was seen there, if any.
    fn seen(&mut self, attribute: &str, name: &str, worker: Option<&WorkerId>) {
        match worker {
            Some(worker) => self.when(&format!("{attribute} = {name}"), name, worker),
            None => self.condition(format!("attribute_not_exists({attribute})")),
        }
    }

    fn assign(&mut self, clause: &'static str, name: &str, worker: &WorkerId) {
        self.set.push(clause);
        self.value(name, s(worker.as_str()));
    }

    /// The fence of all writes but the request for a hand-over.
    fn bump(&mut self, seen: u64) {
        self.condition("leaseCounter = :seen");
        self.value(":seen", n(seen));
        self.add.push("leaseCounter :one");
        self.value(":one", n(1));
    }

    fn only_holder(&mut self, by: &WorkerId) {
        let owner = format!("(leaseOwner = :by AND {NO_HAND_OVER})");
        self.when(&format!("({owner} OR checkpointOwner = :by)"), ":by", by);
    }

    fn checkpoint(&mut self, progress: Option<&Progress>) {
        let Some(Progress { checkpoint, arrival, watermarks, pending }) = progress else { return };
        self.set.extend([
            "checkpoint = :checkpoint",
            "checkpointSubSequenceNumber = :sub",
            "ownerSwitchesSinceCheckpoint = :zero",
        ]);
        self.value(":checkpoint", s(checkpoint.text()));
        self.value(":sub", n(checkpoint.sub_sequence()));
        self.value(":zero", n(0));
        if let Some(time) = arrival {
            self.set.push("checkpointArrival = :arrival");
            self.value(":arrival", millis(*time));
        }
        if let Some(watermarks) = watermarks {
            self.set.push("checkpointWatermarks = :watermarks");
            self.value(":watermarks", s(watermarks));
        }
        self.pending(pending.as_ref());
    }

    /// Another position than the holder's: what belongs to the old one goes.
    fn position(&mut self, progress: Option<&Progress>) {
        self.checkpoint(progress);
        let Some(progress) = progress else { return };
        self.remove.push("latestSince");
        if progress.arrival.is_none() {
            self.remove.push("checkpointArrival");
        }
        if progress.watermarks.is_none() {
            self.remove.push("checkpointWatermarks");
        }
    }

    fn children(&mut self, children: &[ShardId]) {
        match ss(children) {
            Some(set) => {
                self.set.push("childShardIds = :children");
                self.value(":children", set);
            }
            None => self.remove.push("childShardIds"),
        }
    }

    fn hash_range(&mut self, range: &HashKeyRange) {
        self.condition("attribute_not_exists(startingHashKey)");
        self.set.extend(["startingHashKey = :start", "endingHashKey = :end"]);
        let [start, end] = hash_keys(range);
        self.value(":start", start);
        self.value(":end", end);
    }

    /// A checkpoint clears what was prepared before, unless it says that it stays, as the KCL does.
    fn pending(&mut self, pending: Option<&PendingCheckpoint>) {
        match pending {
            Some(PendingCheckpoint { position, .. }) => {
                self.set.push("pendingCheckpoint = :pending");
                self.set.push("pendingCheckpointSubSequenceNumber = :pending_sub");
                self.value(":pending", s(position.sequence.as_str()));
                self.value(":pending_sub", n(position.sub_sequence));
            }
            None => {
                self.remove.extend(["pendingCheckpoint", "pendingCheckpointSubSequenceNumber"]);
            }
        }
        match pending.and_then(|pending| pending.state.as_ref()) {
            Some(state) => {
                self.set.push("pendingCheckpointState = :pending_state");
                self.value(":pending_state", b(state));
            }
            None => self.remove.push("pendingCheckpointState"),
        }
    }

    fn finish(self) -> Expressions {
        let clauses = [("SET", self.set), ("REMOVE", self.remove), ("ADD", self.add)];
        let update: Vec<_> = clauses
            .iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(word, parts)| format!("{word} {}", parts.join(", ")))
            .collect();
        Expressions {
            condition: self.conditions.join(" AND "),
            update: update.join(" "),
            values: self.values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> WorkerId {
        WorkerId::new(name)
    }

    #[track_caller]
    fn check(write: &LeaseWrite, condition: &str, update: &str) {
        let found = expressions(write);
        assert_eq!((found.condition.as_str(), found.update.as_str()), (condition, update));
        // DynamoDB refuses values that no expression names, and names without a value.
        let text = format!("{condition} {update}");
        let words = text.split(|c: char| !c.is_alphanumeric() && !":_".contains(c));
        let mut named: Vec<_> = words.filter(|word| word.starts_with(':')).collect();
        named.sort_unstable();
        named.dedup();
        let mut given: Vec<_> = found.values.keys().map(String::as_str).collect();
        given.sort_unstable();
        assert_eq!(named, given);
    }

    #[test]
    fn renewals_and_checkpoints_are_one_write() {
        let holder = "leaseCounter = :seen AND \
            ((leaseOwner = :by AND attribute_not_exists(checkpointOwner)) OR checkpointOwner = :by)";
        check(
            &LeaseWrite::Renew { by: worker("a"), counter: 7, checkpoint: None },
            holder,
            "ADD leaseCounter :one",
        );
        check(
            &LeaseWrite::Renew {
                by: worker("a"),
                counter: 7,
                checkpoint: Some(Checkpoint::parse("12", 3).unwrap().into()),
            },
            holder,
            "SET checkpoint = :checkpoint, checkpointSubSequenceNumber = :sub, \
             ownerSwitchesSinceCheckpoint = :zero \
             REMOVE pendingCheckpoint, pendingCheckpointSubSequenceNumber, pendingCheckpointState \
             ADD leaseCounter :one",
        );
    }

    #[test]
    fn a_take_counts_the_switch_only_from_another_owner() {
        let take = |from: Option<&str>| LeaseWrite::Take {
            by: worker("a"),
            counter: 7,
            from: from.map(worker),
            latest_since: None,
        };
        let update = "SET leaseOwner = :by REMOVE checkpointOwner ADD leaseCounter :one";
        let owned = "leaseCounter = :seen AND leaseOwner = :from";
        let free = "leaseCounter = :seen AND attribute_not_exists(leaseOwner)";
        check(&take(None), free, update);
        check(&take(Some("a")), owned, update);
        let counted = format!("{update}, ownerSwitchesSinceCheckpoint :one");
        check(&take(Some("b")), owned, &counted);
    }

    #[test]
    fn hand_overs_leave_the_counter_to_the_old_owner() {
        check(
            &LeaseWrite::RequestHandOver { from: worker("a"), to: worker("b") },
            "leaseOwner = :from AND attribute_not_exists(checkpointOwner)",
            "SET leaseOwner = :to, checkpointOwner = :from",
        );
        check(
            &LeaseWrite::FinishHandOver {
                by: worker("a"),
                to: worker("b"),
                counter: 1,
                checkpoint: None,
            },
            "leaseCounter = :seen AND leaseOwner = :to AND checkpointOwner = :by",
            "REMOVE checkpointOwner ADD leaseCounter :one",
        );
        check(
            &LeaseWrite::Release { by: worker("a"), counter: 1, checkpoint: None },
            "leaseCounter = :seen AND leaseOwner = :by AND attribute_not_exists(checkpointOwner)",
            "REMOVE leaseOwner ADD leaseCounter :one",
        );
    }

    #[test]
    fn an_eviction_needs_the_row_as_it_was_seen() {
        let evict = |owner: Option<&str>, checkpoint_owner: Option<&str>| LeaseWrite::Evict {
            counter: 7,
            owner: owner.map(worker),
            checkpoint_owner: checkpoint_owner.map(worker),
            checkpoint: None,
            children: vec![],
        };
        check(
            &evict(Some("b"), Some("a")),
            "leaseCounter = :seen AND leaseOwner = :owner AND checkpointOwner = :holder",
            "REMOVE leaseOwner, checkpointOwner ADD leaseCounter :one",
        );
        check(
            &evict(None, None),
            "leaseCounter = :seen AND attribute_not_exists(leaseOwner) \
             AND attribute_not_exists(checkpointOwner)",
            "REMOVE leaseOwner, checkpointOwner ADD leaseCounter :one",
        );
    }

    #[test]
    fn the_end_of_a_shard_without_children_writes_no_empty_set() {
        let end = LeaseWrite::End { by: worker("a"), counter: 1, children: vec![] };
        let found = expressions(&end);
        assert!(found.update.contains("checkpointOwner, childShardIds, pendingCheckpoint"));
        assert_eq!(found.values.get(":checkpoint"), Some(&s("SHARD_END")));
        assert!(!found.values.contains_key(":children"));
    }
}
