//! Changes to rows: shown before and after, confirmed, and written only to the row as it was seen.

use std::{
    fmt::Write,
    io::{self, BufRead, IsTerminal},
    time::Duration,
};

use tokio::time::sleep;

use super::{Failure, Found, objection::Objection, text};
use crate::{
    cli::talk::{print, say, tell},
    model::{Lease, LeaseWrite, Progress, ShardId},
    ports::{LeaseStore, StoreError, Swap},
};

/// What the operator agrees to beforehand.
#[derive(clap::Args, Clone, Copy)]
pub(super) struct Consent {
    /// Write without asking; needed where there is no terminal
    #[arg(long, short = 'y')]
    yes: bool,
    /// Show what would be written, and write nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do what is refused otherwise; what it means is said all the same
    #[arg(long)]
    pub(super) force: bool,
}

impl Consent {
    /// Refuses early where nobody could be asked.
    pub(super) fn check(self) -> Result<(), Failure> {
        if self.yes || self.dry_run || io::stdin().is_terminal() {
            return Ok(());
        }
        let message = "there is no terminal to ask on: say --yes, or --dry-run to see the change";
        Err(Failure::Usage(message.to_owned()))
    }
}

/// One change to one lease.
pub(super) struct Change {
    /// Stream and shard.
    pub(super) label: String,
    /// The row as it was seen.
    pub(super) seen: Lease,
    pub(super) action: Action,
    /// What follows from it.
    pub(super) notes: Vec<String>,
    /// What speaks against it.
    pub(super) objections: Vec<Objection>,
}

/// What is done to a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Clear the owner, and set another position if there is one.
    Evict { checkpoint: Option<Progress>, children: Vec<ShardId> },
    /// Delete the row.
    Delete,
}

impl Action {
    /// The write to a row as it was seen; `None` for a deletion.
    fn write(&self, seen: &Lease) -> Option<LeaseWrite> {
        match self {
            Self::Evict { checkpoint, children } => Some(LeaseWrite::Evict {
                counter: seen.counter,
                owner: seen.owner.clone(),
                checkpoint_owner: seen.checkpoint_owner.clone(),
                checkpoint: checkpoint.clone().map(Box::new),
                children: children.clone(),
            }),
            Self::Delete => None,
        }
    }

    /// The row after the change; `None` when there is none.
    pub(super) fn after(&self, seen: &Lease) -> Option<Lease> {
        self.write(seen)?.apply(seen)
    }
}

/// Shows the changes, asks, and writes them. All of them are refused when one is.
pub(super) async fn carry_out(
    store: &dyn LeaseStore,
    changes: &[Change],
    consent: Consent,
) -> Result<Found, Failure> {
    if changes.is_empty() {
        say("nothing to do");
        return Ok(Found::Nothing);
    }
    let shown: String = changes.iter().map(Change::render).collect();
    let (lines, refused) = refusals(changes, consent.force);
    if consent.dry_run || !refused {
        print(&shown)?;
    }
    lines.iter().for_each(say);
    if refused {
        return Ok(Found::Problem);
    }
    if consent.dry_run {
        say("dry run: nothing was written");
        return Ok(Found::Nothing);
    }
    if !consent.yes && !confirmed(changes.len())? {
        say("nothing was written");
        return Ok(Found::Problem);
    }
    let mut failed = false;
    for change in changes {
        let outcome = write(store, change, consent.force).await;
        failed |= !matches!(outcome, Ok(Outcome::Done));
        match outcome {
            Ok(outcome) => say(format_args!("{}: {}", change.label, outcome.text(change))),
            Err(error) => say(format_args!("{}: {error}", change.label)),
        }
    }
    Ok(Found::problem_if(failed))
}

/// What speaks against the changes, a line each, and whether that stands.
fn refusals(changes: &[Change], force: bool) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut standing = 0;
    let mut forcible = true;
    for change in changes {
        for objection in &change.objections {
            let overruled = force && objection.forcible;
            let word = if overruled { "forced, although" } else { "refused" };
            lines.push(format!("{}: {word}: {}", change.label, objection.why));
            standing += usize::from(!overruled);
            forcible &= objection.forcible;
        }
    }
    if standing > 0 && forcible {
        lines.push("nothing was written; --force does it all the same".to_owned());
    } else if standing > 0 {
        lines.push("nothing was written".to_owned());
    }
    (lines, standing > 0)
}

fn confirmed(changes: usize) -> Result<bool, Failure> {
    tell(&format!("write this to {}? [y/N] ", text::counted(changes, "lease")));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::Problem(format!("standard input: {error}")))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

impl Change {
    /// The row before and after, the fields that change only, and what follows.
    fn render(&self) -> String {
        let mut shown = format!("{}\n", self.label);
        let before = &self.seen;
        match self.action.after(before) {
            None => {
                shown.push_str(&text::field("row", "is deleted"));
                shown.push_str(&text::field("owner", text::owner(before)));
                shown.push_str(&text::field("checkpoint", &before.checkpoint));
            }
            Some(after) => {
                let children = |lease: &Lease| {
                    let ids: Vec<&str> = lease.children.iter().map(ShardId::as_str).collect();
                    if ids.is_empty() { text::NONE.to_owned() } else { ids.join(" ") }
                };
                for (name, from, to) in [
                    ("owner", text::owner(before), text::owner(&after)),
                    ("checkpoint", before.checkpoint.to_string(), after.checkpoint.to_string()),
                    ("counter", before.counter.to_string(), after.counter.to_string()),
                    (
                        "switches",
                        before.owner_switches.to_string(),
                        after.owner_switches.to_string(),
                    ),
                    ("children", children(before), children(&after)),
                ] {
                    if from != to {
                        shown.push_str(&text::field(name, format!("{from}  ⇒  {to}")));
                    }
                }
            }
        }
        for note in &self.notes {
            // Writing into a string cannot fail.
            let _ = writeln!(shown, "  {note}");
        }
        shown
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The row had changed; it is like this now.
    Changed(Box<Lease>),
    /// The row was not there any more.
    Gone,
}

impl Outcome {
    fn text(&self, change: &Change) -> String {
        let seen = &change.seen;
        match self {
            Self::Done if change.action == Action::Delete => "deleted".to_owned(),
            Self::Done => "written, anyone may take it now".to_owned(),
            Self::Gone => "not written: somebody has deleted the lease".to_owned(),
            Self::Changed(now) => format!(
                "not written: the lease has changed since it was shown (owner {} ⇒ {}, counter {} ⇒ \
                 {}, checkpoint {} ⇒ {}); look again",
                text::owner(seen),
                text::owner(now),
                seen.counter,
                now.counter,
                text::short(&seen.checkpoint),
                text::short(&now.checkpoint),
            ),
        }
    }
}

/// Attempts on a row whose owner goes on renewing, or on a table that is throttled.
const ATTEMPTS: u32 = 8;
const THROTTLED: Duration = Duration::from_millis(200);

/// Writes one change. With force, a row counts as the one that was seen while the same owner has it:
/// its counter moves every few seconds, faster than a person reads.
async fn write(
    store: &dyn LeaseStore,
    change: &Change,
    force: bool,
) -> Result<Outcome, StoreError> {
    let mut seen = change.seen.clone();
    for attempt in 1..=ATTEMPTS {
        let row = match once(store, &change.action, &seen).await {
            Ok(Swap::Applied(_)) => return Ok(Outcome::Done),
            Ok(Swap::Refused(None)) => return Ok(Outcome::Gone),
            Ok(Swap::Refused(Some(row))) => row,
            Err(StoreError::Throttled) if attempt < ATTEMPTS => {
                sleep(THROTTLED * attempt).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        let same_owner =
            (&row.owner, &row.checkpoint_owner) == (&seen.owner, &seen.checkpoint_owner);
        if !force || !same_owner || row.ended() != seen.ended() || attempt == ATTEMPTS {
            return Ok(Outcome::Changed(Box::new(row)));
        }
        seen = row;
    }
    Err(StoreError::Throttled)
}

/// One conditional write. An answer that was lost is looked up in the row.
async fn once(store: &dyn LeaseStore, action: &Action, seen: &Lease) -> Result<Swap, StoreError> {
    let Some(write) = action.write(seen) else {
        // Deleting may simply be repeated: a row that is gone is as good as deleted.
        return match store.delete(seen).await? {
            true => Ok(Swap::Applied(seen.clone())),
            false => Ok(Swap::Refused(store.read(&seen.key).await?)),
        };
    };
    match store.write(&seen.key, &write).await {
        Err(StoreError::Unknown(lost)) => match store.read(&seen.key).await? {
            Some(row) if write.shows_in(&row) => Ok(Swap::Applied(row)),
            Some(row) if row == *seen => Err(StoreError::Unknown(lost)),
            row => Ok(Swap::Refused(row)),
        },
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::leases::testing::FakeTable,
        leasing::fixtures::lease,
        model::{Checkpoint, WorkerId},
    };

    fn seen() -> Lease {
        Lease { counter: 5, ..lease("0").owner("a").build() }
    }

    fn change(action: Action) -> Change {
        let label = "logs 0".to_owned();
        Change { label, seen: seen(), action, notes: vec![], objections: vec![] }
    }

    fn release() -> Change {
        change(Action::Evict { checkpoint: None, children: vec![] })
    }

    fn renew(counter: u64) -> LeaseWrite {
        LeaseWrite::Renew { by: WorkerId::new("a"), counter, checkpoint: None }
    }

    fn take_by_b() -> LeaseWrite {
        let (by, from) = (WorkerId::new("b"), Some(WorkerId::new("a")));
        LeaseWrite::Take { by, counter: 5, from, latest_since: None }
    }

    #[tokio::test]
    async fn a_row_that_has_changed_is_left_alone() {
        let table = FakeTable::new([seen()]);
        table.meanwhile.lock().unwrap().push(renew(5));
        let Outcome::Changed(row) = write(&table, &release(), false).await.unwrap() else {
            panic!()
        };
        assert_eq!(table.row(&seen().key).as_ref(), Some(row.as_ref()));
        let said = Outcome::Changed(row).text(&release());
        assert!(said.contains("not written") && said.contains("counter 5 ⇒ 6"), "{said}");
    }

    #[tokio::test]
    async fn force_outpaces_an_owner_that_renews_but_not_another_one() {
        let table = FakeTable::new([seen()]);
        table.meanwhile.lock().unwrap().extend([renew(6), renew(5)]);
        assert_eq!(write(&table, &release(), true).await.unwrap(), Outcome::Done);
        let row = table.row(&seen().key).unwrap();
        assert_eq!((row.holder(), row.counter), (None, 8));

        let table = FakeTable::new([seen()]);
        table.meanwhile.lock().unwrap().push(take_by_b());
        assert!(matches!(write(&table, &release(), true).await.unwrap(), Outcome::Changed(_)));
        assert_eq!(table.row(&seen().key).unwrap().owner, Some(WorkerId::new("b")));
    }

    #[tokio::test]
    async fn a_lost_answer_is_looked_up() {
        let mut table = FakeTable::new([seen()]);
        table.answers_are_lost = true;
        assert_eq!(write(&table, &release(), false).await.unwrap(), Outcome::Done);
        assert_eq!(write(&FakeTable::new([]), &release(), false).await.unwrap(), Outcome::Gone);
    }

    #[tokio::test]
    async fn a_deletion_needs_the_row_as_it_was_seen() {
        let table = FakeTable::new([seen()]);
        table.meanwhile.lock().unwrap().push(renew(5));
        let delete = change(Action::Delete);
        assert!(matches!(write(&table, &delete, false).await.unwrap(), Outcome::Changed(_)));
        let table = FakeTable::new([seen()]);
        assert_eq!(write(&table, &delete, false).await.unwrap(), Outcome::Done);
        assert_eq!(table.row(&seen().key), None);
    }

    #[test]
    fn a_change_shows_what_differs() {
        let back = Checkpoint::parse("77", 3).unwrap();
        let checkpoint = Some(back.into());
        let mut change = change(Action::Evict { checkpoint, children: vec![] });
        change.notes.push("delivers records again".to_owned());
        assert_eq!(
            change.render(),
            "logs 0\n  owner        a  ⇒  -\n  checkpoint   TRIM_HORIZON  ⇒  77:3\n  \
             counter      5  ⇒  6\n  delivers records again\n"
        );
    }

    #[test]
    fn force_overrules_what_may_be_overruled() {
        let objection = |forcible| Objection { why: "it lives".to_owned(), forcible };
        let with = |objections| [Change { objections, ..release() }];
        assert_eq!(refusals(&with(vec![]), false), (vec![], false));
        let (lines, refused) = refusals(&with(vec![objection(true)]), false);
        assert!(refused && lines.concat().contains("--force"), "{lines:?}");
        let (lines, refused) = refusals(&with(vec![objection(true)]), true);
        assert_eq!(
            (&lines[..], refused),
            (&["logs 0: forced, although: it lives".to_owned()][..], false)
        );
        let (lines, refused) = refusals(&with(vec![objection(true), objection(false)]), true);
        assert!(refused && !lines.concat().contains("--force"), "{lines:?}");
    }
}
