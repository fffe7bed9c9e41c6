//! From the model's small values to the words of the real table, and back.

use shardwright::model::{Checkpoint, Lease, LeaseKey, LeaseWrite, Progress, ShardId, WorkerId};

use crate::state::{Id, Image, Kind, OLD, RECORDS, Row};

/// The row's counter in the real [`Lease`].
const COUNTER: u64 = 100;

/// What is too old to be told from what is older still is equal to nothing.
fn counter(behind: u8) -> u64 {
    if behind < OLD { COUNTER - u64::from(behind) } else { 0 }
}

/// The names and the checkpoints that the model speaks of.
pub(crate) struct Words {
    names: [WorkerId; 2],
    checkpoints: Vec<Checkpoint>,
    lease: Lease,
}

impl Words {
    pub(crate) fn new() -> Self {
        let records = 1..=RECORDS;
        let after = records.map(|number| Checkpoint::parse(&number.to_string(), 0).unwrap());
        let checkpoints = [Checkpoint::TrimHorizon].into_iter().chain(after).collect();
        let (key, shard) = (LeaseKey::new("shard"), ShardId::new("shard"));
        Self {
            names: [WorkerId::new("a"), WorkerId::new("b")],
            lease: Lease::new(key, None, shard, Checkpoint::TrimHorizon),
            checkpoints,
        }
    }

    pub(crate) fn key(&self) -> &LeaseKey {
        &self.lease.key
    }

    fn name(&self, id: Option<Id>) -> Option<WorkerId> {
        id.map(|id| self.names[id].clone())
    }

    pub(crate) fn lease(&self, image: Image) -> Lease {
        Lease {
            counter: counter(image.behind),
            owner: self.name(image.row.owner),
            checkpoint_owner: self.name(image.row.checkpoint_owner),
            checkpoint: self.checkpoints[usize::from(image.row.checkpoint)].clone(),
            ..self.lease.clone()
        }
    }

    pub(crate) fn row(&self, lease: &Lease) -> Row {
        let id = |name: &Option<WorkerId>| {
            name.as_ref().and_then(|name| self.names.iter().position(|one| one == name))
        };
        let number = self.checkpoints.iter().position(|one| *one == lease.checkpoint);
        Row {
            owner: id(&lease.owner),
            checkpoint_owner: id(&lease.checkpoint_owner),
            checkpoint: number.and_then(|number| u8::try_from(number).ok()).unwrap(),
        }
    }

    /// A write by one worker; where it speaks of another one, that is the other one.
    pub(crate) fn write(&self, by: Id, kind: Kind, behind: u8) -> LeaseWrite {
        let counter = counter(behind);
        let progress =
            |to: Option<u8>| to.map(|to| Progress::from(self.checkpoints[usize::from(to)].clone()));
        let (me, other) = (self.names[by].clone(), self.names[1 - by].clone());
        match kind {
            Kind::Renew(to) => LeaseWrite::Renew { by: me, counter, checkpoint: progress(to) },
            Kind::Take { from, .. } => {
                LeaseWrite::Take { by: me, counter, from: self.name(from), latest_since: None }
            }
            Kind::Ask => LeaseWrite::RequestHandOver { from: other, to: me },
            Kind::Withdraw => LeaseWrite::WithdrawRequest { from: other, by: me },
            Kind::Finish(to) => {
                let checkpoint = progress(to);
                LeaseWrite::FinishHandOver { by: me, to: other, counter, checkpoint }
            }
            Kind::Release(to) => LeaseWrite::Release { by: me, counter, checkpoint: progress(to) },
        }
    }
}
