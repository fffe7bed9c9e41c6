//! The table and the streams of the configuration, and finding rows in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{Failure, pulse::Pulse, seek::Seeker};
use crate::{
    app,
    aws::{
        AwsConnection, DynamoLeases, FleetMode, KinesisStream, RowContent, StreamTarget, TableRow,
    },
    cli::ConfigArgs,
    config::load,
    leasing::plan::{ByShard, by_shard},
    model::{InitialPosition, Lease, LeaseKey, Shard, StreamName},
    ports::{StreamReader, SystemClock, WallClock},
};

/// Where the table is, and which stream is meant.
#[derive(clap::Args)]
pub(super) struct DeskArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only the shards of this stream, when the configuration names several
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
}

/// What the commands work with.
pub(super) struct Desk {
    pub(super) table: DynamoLeases,
    /// How long an owner is watched before it counts as dead, `lease.failover_time`.
    pub(super) failover: Duration,
    pub(super) streams: Vec<DeskStream>,
    only: Option<StreamName>,
}

/// A configured stream.
pub(super) struct DeskStream {
    pub(super) name: StreamName,
    /// The account in its ARN.
    account: Option<String>,
    pub(super) initial_position: InitialPosition,
    pub(super) reader: Arc<dyn StreamReader>,
    shards: OnceCell<Vec<Shard>>,
}

impl Desk {
    /// Reads the configuration as `run` would, and finds the table.
    pub(super) async fn open(args: &DeskArgs) -> Result<Self, Failure> {
        // Schemas and programs are not needed, and may not be where the operator is.
        let (settings, _) = load(&args.config.layers()).map_err(Failure::Config)?;
        let table = settings.lease.table.unwrap_or(settings.application);
        if table.is_empty() {
            return Err(Failure::Usage(
                "which lease table? Name the configuration of `run` by --config, or set \
                 SHARDWRIGHT__APPLICATION"
                    .to_owned(),
            ));
        }
        let aws = AwsConnection::open(&settings.aws).await?;
        let mut streams = Vec::with_capacity(settings.streams.len());
        for stream in &settings.streams {
            let target =
                app::target(stream).map_err(|problem| Failure::Usage(problem.to_string()))?;
            let account = match &target {
                StreamTarget::Arn { arn, .. } => arn.split(':').nth(4).map(str::to_owned),
                StreamTarget::Name(_) => None,
            };
            streams.push(DeskStream {
                name: target.stream_name().clone(),
                account,
                initial_position: stream.initial_position,
                reader: Arc::new(KinesisStream::new(&aws, target)),
                shards: OnceCell::new(),
            });
        }
        let only = args.stream.as_ref().map(StreamName::new);
        if let Some(only) = &only
            && streams.iter().all(|stream| stream.name != *only)
        {
            let names: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
            let names = names.join(", ");
            let message = format!("the configuration has no stream {only}; it has: {names}");
            return Err(Failure::Usage(message));
        }
        let desk = Self {
            table: DynamoLeases::new(&aws, table),
            failover: settings.lease.failover_time,
            streams,
            only,
        };
        match desk.table.ensure_table(false).await {
            Ok(_) => Ok(desk),
            Err(problem) => Err(Failure::Problem(format!(
                "{problem} (region {}; is it the application, region and endpoint that `run` uses?)",
                aws.region()
            ))),
        }
    }

    /// One scan of the table.
    pub(super) async fn rows(&self) -> Result<Rows, Failure> {
        Ok(Rows::new(self.table.rows().await?))
    }

    /// Watches the owners for as long as a lease may go without renewal, or until enough was seen.
    pub(super) async fn watch(
        &self,
        rows: &Rows,
        enough: impl Fn(&Pulse) -> bool,
    ) -> Result<Pulse, Failure> {
        Ok(Pulse::watch(&self.table, &rows.leases, self.failover, enough).await?)
    }

    /// The configured stream of a lease.
    pub(super) fn stream_of(&self, lease: &Lease) -> Option<&DeskStream> {
        let Some(identifier) = &lease.stream else {
            // Keys of one stream do not name it.
            return match &self.streams[..] {
                [single] => Some(single),
                _ => None,
            };
        };
        let (account, name) = parts(identifier)?;
        self.streams.iter().find(|stream| {
            stream.name.as_str() == name
                && stream.account.as_ref().is_none_or(|own| own.as_str() == account)
        })
    }

    fn known_stream_of(&self, lease: &Lease) -> Result<&DeskStream, Failure> {
        self.stream_of(lease).ok_or_else(|| {
            let message = "the configuration does not name the stream of this lease";
            Failure::Problem(message.to_owned())
        })
    }

    /// The shards that a lease's stream lists. Each stream is asked once.
    pub(super) async fn listed(&self, lease: &Lease) -> Result<&[Shard], Failure> {
        let stream = self.known_stream_of(lease)?;
        Ok(stream.shards.get_or_try_init(|| stream.reader.shards()).await?)
    }

    /// A reader's view of a lease's shard.
    pub(super) fn seeker<'a>(&'a self, lease: &'a Lease) -> Result<Seeker<'a>, Failure> {
        let stream = self.known_stream_of(lease)?;
        let initial = stream.initial_position;
        Ok(Seeker::new(stream.reader.as_ref(), &lease.shard, initial, SystemClock.now()))
    }

    /// Whether this stream was asked for.
    pub(super) fn selects_stream(&self, name: &StreamName) -> bool {
        self.only.as_ref().is_none_or(|only| only == name)
    }

    /// Whether a lease belongs to a stream that was asked for.
    pub(super) fn selects(&self, lease: &Lease) -> bool {
        self.only.is_none()
            || self.stream_of(lease).is_some_and(|stream| self.selects_stream(&stream.name))
    }

    /// What to call the stream of a lease: its name, or its whole identifier when leases of several
    /// streams of that name are there.
    pub(super) fn stream_name(&self, lease: &Lease, rows: &Rows) -> String {
        let Some(identifier) = &lease.stream else {
            return self.stream_of(lease).map_or("?".to_owned(), |stream| stream.name.to_string());
        };
        match parts(identifier) {
            Some((_, name)) if !rows.ambiguous.contains(name) => name.to_owned(),
            _ => identifier.to_string(),
        }
    }

    /// Stream and shard of a lease, for messages.
    pub(super) fn label(&self, lease: &Lease, rows: &Rows) -> String {
        format!("{} {}", self.stream_name(lease, rows), lease.shard)
    }

    /// The lease of a shard, named by its id or by the lease's key.
    pub(super) fn find<'r>(&self, rows: &'r Rows, shard: &str) -> Result<&'r Lease, Failure> {
        let named = |lease: &&Lease| lease.key.as_str() == shard || lease.shard.as_str() == shard;
        let found: Vec<&Lease> =
            rows.leases.iter().filter(|lease| self.selects(lease)).filter(named).collect();
        match &found[..] {
            [lease] => Ok(lease),
            [] => Err(self.not_found(rows, shard)),
            several => {
                let keys: Vec<&str> = several.iter().map(|lease| lease.key.as_str()).collect();
                Err(Failure::Usage(format!(
                    "several streams have a shard {shard}: say --stream NAME, or the lease's whole \
                     key, one of {}",
                    keys.join(", ")
                )))
            }
        }
    }

    fn not_found(&self, rows: &Rows, shard: &str) -> Failure {
        let table = self.table.table();
        let malformed = rows
            .malformed
            .iter()
            .find(|(key, _)| key.as_str() == shard)
            .map(|(_, problem)| problem);
        Failure::Problem(match malformed {
            Some(problem) => format!(
                "table {table}: {problem}: no worker takes such a lease; mend the attribute in \
                 DynamoDB, or delete the item, and shard sync creates it anew"
            ),
            None => format!(
                "table {table} has no lease of {shard}: `leases list` names those that it has"
            ),
        })
    }

    /// The mode of a KCL 3.x fleet in which this program takes no leases.
    pub(super) async fn leader_assigned(&self) -> Option<String> {
        let coordinator = format!("{}-CoordinatorState", self.table.table());
        match self.table.fleet_mode(&coordinator).await {
            Ok(FleetMode::LeaderAssigned { client_version }) => Some(client_version),
            // It is a remark only; what cannot be read has nothing to say.
            Ok(FleetMode::Taker) | Err(_) => None,
        }
    }
}

/// Account and name in a stream identifier `account:name:epoch` (KCL `StreamIdentifier`).
fn parts(identifier: &str) -> Option<(&str, &str)> {
    let mut parts = identifier.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(account), Some(name), Some(_), None) => Some((account, name)),
        _ => None,
    }
}

/// The table as one scan shows it.
pub(super) struct Rows {
    /// All leases, by stream and shard.
    pub(super) leases: Vec<Lease>,
    items: BTreeMap<LeaseKey, TableRow>,
    /// Leases that no KCL would have written, and what is wrong with them.
    pub(super) malformed: Vec<(LeaseKey, String)>,
    /// Names of streams of which several have leases: created anew, or in several accounts.
    ambiguous: BTreeSet<String>,
}

impl Rows {
    fn new(items: Vec<TableRow>) -> Self {
        let (mut leases, mut malformed) = (Vec::new(), Vec::new());
        for item in &items {
            match &item.content {
                RowContent::Lease(lease) => leases.push(lease.as_ref().clone()),
                RowContent::Malformed(problem) => {
                    malformed.push((item.key.clone(), problem.clone()));
                }
                RowContent::Foreign => {}
            }
        }
        leases.sort_by(|a: &Lease, b| (&a.stream, &a.shard).cmp(&(&b.stream, &b.shard)));
        let identifiers: BTreeSet<&Arc<str>> =
            leases.iter().filter_map(|lease| lease.stream.as_ref()).collect();
        let mut names = BTreeSet::new();
        let mut ambiguous = BTreeSet::new();
        for (_, name) in identifiers.into_iter().filter_map(|identifier| parts(identifier)) {
            if !names.insert(name) {
                ambiguous.insert(name.to_owned());
            }
        }
        let items = items.into_iter().map(|item| (item.key.clone(), item)).collect();
        Self { leases, items, malformed, ambiguous }
    }

    pub(super) fn by_shard(&self) -> ByShard<'_> {
        by_shard(&self.leases)
    }

    /// The leases of one stream, as its rows name it.
    pub(super) fn of_stream(&self, stream: Option<&Arc<str>>) -> Vec<Lease> {
        let own = |lease: &&Lease| lease.stream.as_ref() == stream;
        self.leases.iter().filter(own).cloned().collect()
    }

    /// All attributes of a lease's row.
    pub(super) fn attributes(&self, lease: &Lease) -> Map<String, Value> {
        self.items.get(&lease.key).map(|item| item.attributes.clone()).unwrap_or_default()
    }

    /// The attributes of a lease's row that [`Lease`] does not hold.
    pub(super) fn other_attributes(
        &self,
        lease: &Lease,
    ) -> impl Iterator<Item = (&String, &Value)> {
        self.items.get(&lease.key).into_iter().flat_map(TableRow::other_attributes)
    }
}
