//! Two workers that share the leases.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::setup::Setup;
use crate::{
    app::{App, Outcome, StartError},
    aws::AwsConnection,
    cli::talk::say,
    etl::Tally,
    shutdown::Shutdown,
};

type TallyOf = Arc<dyn Fn() -> Tally + Send + Sync>;

/// The workers.
pub(super) struct Fleet {
    members: Vec<Member>,
}

struct Member {
    name: &'static str,
    shutdown: Shutdown,
    task: JoinSet<Result<Outcome, StartError>>,
    tally: TallyOf,
    end: End,
}

enum End {
    Working,
    Killed,
    Drained,
    Failed(String),
}

/// Looks at what the workers have done.
#[derive(Clone)]
pub(super) struct View(Vec<TallyOf>);

const NAMES: [&str; 2] = ["worker-a", "worker-b"];

impl Fleet {
    pub(super) async fn start(setup: &Setup, aws: &AwsConnection) -> anyhow::Result<Self> {
        let mut members = Vec::new();
        for name in NAMES {
            let app = App::build(setup.compile(name)?, aws).await?;
            if let Some(address) = app.admin_address() {
                say(format_args!("{name}'s page  http://{address}/"));
            }
            let tally: TallyOf = Arc::new(app.tally());
            let shutdown = Shutdown::default();
            let mut task = JoinSet::new();
            task.spawn(app.run(shutdown.clone()));
            members.push(Member { name, shutdown, task, tally, end: End::Working });
        }
        say("");
        Ok(Self { members })
    }

    pub(super) fn view(&self) -> View {
        View(self.members.iter().map(|member| Arc::clone(&member.tally)).collect())
    }

    /// Ends the first worker as a crash would: its tasks stop wherever they are.
    pub(super) fn kill_one(&mut self) -> &'static str {
        let Some(member) = self.members.first_mut() else { return "nobody" };
        member.task.abort_all();
        member.end = End::Killed;
        member.name
    }

    /// Drains the workers that still work.
    pub(super) async fn drain(&mut self) {
        for member in &self.members {
            member.shutdown.drain.cancel();
        }
        for member in &mut self.members {
            let done = member.task.join_next().await;
            if matches!(member.end, End::Killed) {
                continue;
            }
            member.end = match done {
                Some(Ok(Ok(Outcome::Drained))) => End::Drained,
                Some(Ok(Ok(Outcome::Aborted(leases)))) => {
                    End::Failed(format!("did not finish {} leases in time", leases.len()))
                }
                Some(Ok(Ok(Outcome::Broken))) => End::Failed("broke".to_owned()),
                Some(Ok(Err(problem))) => End::Failed(problem.to_string()),
                Some(Err(problem)) => End::Failed(problem.to_string()),
                None => End::Failed("never started".to_owned()),
            };
        }
    }

    pub(super) fn summary(&self) -> String {
        let members = self.members.iter().map(|member| {
            let records = (member.tally)().records;
            let end = match &member.end {
                End::Working => "still works",
                End::Killed => "killed",
                End::Drained => "drained",
                End::Failed(problem) => problem,
            };
            format!("{} read {records} records, {end}", member.name)
        });
        members.collect::<Vec<_>>().join("; ")
    }
}

impl View {
    /// The records that each worker has read.
    pub(super) fn records(&self) -> Vec<u64> {
        self.0.iter().map(|tally| tally().records).collect()
    }
}
