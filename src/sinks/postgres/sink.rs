//! The [`Sink`] over a table.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio_postgres::Client;
use tracing::info;

use super::{
    PostgresConfig,
    fault::Fault,
    pool::Pool,
    positions::{Positions, ShardKey},
    row::row,
    table::Table,
    write::write,
};
use crate::{
    model::{OutputEvent, Place},
    ports::{Sink, SinkError, Verdict},
    sinks::SinkSite,
};

/// Writes events as rows.
pub struct PostgresSink {
    config: PostgresConfig,
    application: String,
    name: String,
    /// Positions count: not without `exactly_once`, nor for what is replayed from dead letters.
    tracked: bool,
    pool: Pool,
    /// What the catalog said; asked again after an error.
    table: Mutex<Option<Arc<Target>>>,
    /// Shards that this process has begun.
    begun: Mutex<HashSet<ShardKey>>,
}

struct Target {
    table: Table,
    positions: Positions,
}

/// What is to be done with a batch, by index.
struct Plan {
    verdicts: Vec<Verdict>,
    /// Events that are not written yet.
    fresh: Vec<usize>,
}

impl PostgresSink {
    /// Reads the password and the certificates. The database is not called; see [`Sink::check`].
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when the configuration can never work.
    pub fn open(config: PostgresConfig, site: &SinkSite<'_>) -> Result<Self, SinkError> {
        if let Some((key, problem)) = config.problems().into_iter().next() {
            return Err(SinkError::Misconfigured(format!("`{key}` {problem}")));
        }
        Ok(Self {
            pool: Pool::new(&config)?,
            application: site.application.to_owned(),
            name: site.name.to_owned(),
            tracked: config.exactly_once && !site.replay,
            config,
            table: Mutex::default(),
            begun: Mutex::default(),
        })
    }

    async fn target(&self, client: &Client) -> Result<Arc<Target>, SinkError> {
        if let Some(target) = self.known() {
            return Ok(target);
        }
        let table = Table::find(client, &self.config).await?;
        let positions = self.positions(&table);
        if self.tracked {
            positions.ensure(client).await.map_err(Fault::into_error)?;
        }
        let target = Arc::new(Target { table, positions });
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&target));
        Ok(target)
    }

    fn positions(&self, table: &Table) -> Positions {
        Positions {
            schema: table.schema.clone(),
            application: self.application.clone(),
            sink: self.name.clone(),
        }
    }

    fn known(&self) -> Option<Arc<Target>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One batch, one transaction. An error leaves the connection to be closed, which ends the
    /// transaction.
    async fn write(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let lent = self.pool.lend().await?;
        let target = self.target(&lent.client).await?;
        let verdicts = self.transaction(&lent.client, &target, events).await;
        let verdicts = verdicts.map_err(Fault::into_error)?;
        lent.give_back();
        Ok(verdicts)
    }

    async fn transaction(
        &self,
        client: &Client,
        target: &Target,
        events: &[OutputEvent],
    ) -> Result<Vec<Verdict>, Fault> {
        client.batch_execute(&begin(self.config.timeout)).await?;
        let shards = self.shards(events);
        let mut done = BTreeMap::new();
        for (shard, (first, _)) in &shards {
            let place = target.positions.lock(client, shard).await?;
            if self.begins(shard) {
                if place.as_ref() >= Some(first) {
                    info!(sink = %self.name, stream = shard.stream, shard = shard.shard,
                        position = place.as_ref().map(|place| place.position.sequence.as_str()),
                        "events up to this position are in the table already and are left out");
                }
                target.positions.forget_before(client, shard, first).await?;
            }
            done.insert(shard.clone(), place);
        }
        let Plan { mut verdicts, fresh } = self.plan(client, target, events, &done).await?;
        let rows: Vec<_> = fresh
            .iter()
            .filter_map(|index| events.get(*index))
            .map(|event| row(&target.table.columns, event))
            .collect();
        let answers = write(client, &target.table, &rows).await?;
        let mut refused: BTreeMap<ShardKey, Vec<(Place, String)>> = BTreeMap::new();
        for (index, why) in fresh.iter().zip(answers) {
            let (Some(why), Some(event)) = (why, events.get(*index)) else { continue };
            if let Some((shard, place)) = self.place(event) {
                refused.entry(shard).or_default().push((place, why.clone()));
            }
            if let Some(verdict) = verdicts.get_mut(*index) {
                *verdict = Verdict::Refused(why);
            }
        }
        for (shard, refused) in &refused {
            target.positions.refuse(client, shard, refused).await?;
        }
        for (shard, (_, last)) in &shards {
            if done.get(shard).and_then(Option::as_ref) < Some(last) {
                target.positions.store(client, shard, last).await?;
            }
        }
        client.batch_execute("COMMIT").await?;
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).extend(shards.into_keys());
        Ok(verdicts)
    }

    /// The first and the last place of each shard in the batch.
    fn shards(&self, events: &[OutputEvent]) -> BTreeMap<ShardKey, (Place, Place)> {
        let mut shards: BTreeMap<ShardKey, (Place, Place)> = BTreeMap::new();
        for (shard, place) in events.iter().filter_map(|event| self.place(event)) {
            let range = shards.entry(shard).or_insert_with(|| (place.clone(), place.clone()));
            range.0 = range.0.clone().min(place.clone());
            range.1 = range.1.clone().max(place);
        }
        shards
    }

    /// Where an event stands, if that counts.
    fn place(&self, event: &OutputEvent) -> Option<(ShardKey, Place)> {
        let place = Place::of(event).filter(|_| self.tracked)?;
        let (stream, shard) = (event.id.stream.to_string(), event.id.shard.to_string());
        Some((ShardKey { stream, shard }, place))
    }

    fn begins(&self, shard: &ShardKey) -> bool {
        !self.begun.lock().unwrap_or_else(PoisonError::into_inner).contains(shard)
    }

    /// Leaves out what is written already, and refuses again what was refused.
    async fn plan(
        &self,
        client: &Client,
        target: &Target,
        events: &[OutputEvent],
        done: &BTreeMap<ShardKey, Option<Place>>,
    ) -> Result<Plan, Fault> {
        let mut verdicts = vec![Verdict::Accepted; events.len()];
        let mut fresh = Vec::new();
        let mut refusals = BTreeMap::new();
        for (index, (event, verdict)) in events.iter().zip(&mut verdicts).enumerate() {
            let Some((shard, place)) = self.place(event) else {
                fresh.push(index);
                continue;
            };
            if done.get(&shard).and_then(Option::as_ref) < Some(&place) {
                fresh.push(index);
                continue;
            }
            if !refusals.contains_key(&shard) {
                let found = target.positions.refusals(client, &shard).await?;
                refusals.insert(shard.clone(), found);
            }
            if let Some(why) = refusals.get(&shard).and_then(|refused| refused.get(&place)) {
                *verdict = Verdict::Refused(why.clone());
            }
        }
        Ok(Plan { verdicts, fresh })
    }
}

/// The transaction's own settings: a worker that stops in the middle must not hold its locks for ever,
/// deferred constraints must name their row, times without a zone are UTC, and accepted means durable.
fn begin(timeout: Duration) -> String {
    let millis = timeout.as_millis().clamp(1, 1_000_000_000);
    format!(
        "BEGIN; SET LOCAL statement_timeout = {millis}; \
         SET LOCAL idle_in_transaction_session_timeout = {millis}; \
         SET LOCAL timezone = 'UTC'; SET CONSTRAINTS ALL IMMEDIATE; \
         SELECT set_config('synchronous_commit', 'on', true) \
         WHERE current_setting('synchronous_commit') = 'off'"
    )
}

#[async_trait]
impl Sink for PostgresSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let written = tokio::time::timeout(self.config.timeout, self.write(events)).await;
        let written = written.unwrap_or_else(|_| {
            let within = humantime::format_duration(self.config.timeout);
            Err(SinkError::Unavailable(format!("postgres: not done within {within} (timeout)")))
        });
        if written.is_err() {
            // The table may have changed.
            *self.table.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        written
    }

    /// Looks at the table, its columns and the role's rights.
    async fn check(&self) -> Result<(), SinkError> {
        let look = async {
            let lent = self.pool.lend().await?;
            let table = Table::find(&lent.client, &self.config).await?;
            table.check_rights(&lent.client).await?;
            if self.tracked {
                self.positions(&table).check(&lent.client).await?;
            }
            lent.give_back();
            Ok(())
        };
        let looked = tokio::time::timeout(self.config.timeout, look).await;
        looked.unwrap_or_else(|_| Err(SinkError::Unavailable("postgres: no answer".to_owned())))
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.pool.close();
        Ok(())
    }
}
