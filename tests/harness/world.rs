//! One scenario's surroundings: its servers, its directory, its configuration.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use shardwright::{
    aws::{AwsConnection, AwsSettings, DynamoLeases},
    embedded::{DynamoServer, KinesisServer, kinesis::Limits},
    model::Lease,
    ports::LeaseStore,
};
use tempfile::TempDir;

use super::{Books, Daemon, Installed, Replay, Results, Server, in_time, stream};

/// Servers, and a directory with a configuration for the daemon.
pub(crate) struct World {
    /// The application's name, and the lease table's.
    pub(crate) application: &'static str,
    pub(crate) aws: AwsConnection,
    pub(crate) kinesis_endpoint: String,
    pub(crate) dynamodb_endpoint: String,
    leases: DynamoLeases,
    daemons: Cell<u32>,
    servers: Vec<Server>,
    _dynamodb: Option<DynamoServer>,
    kinesis: Option<KinesisServer>,
    // After the servers, whose logs are in it.
    dir: TempDir,
}

impl World {
    /// The servers that the program carries with it: nothing needs to be installed.
    pub(crate) async fn embedded() -> Self {
        let dir = TempDir::new().unwrap();
        let limits = Limits::enforced().with_burst(3);
        let kinesis = KinesisServer::builder().limits(limits).start().await.unwrap();
        let dynamodb = DynamoServer::start().await.unwrap();
        let endpoints = [kinesis.endpoint(), dynamodb.endpoint()];
        Self::new(dir, endpoints, Vec::new(), (Some(dynamodb), Some(kinesis))).await
    }

    pub(crate) async fn kinesis_local_and_dynoxide(installed: &Installed) -> Self {
        let dir = TempDir::new().unwrap();
        let kinesis = Server::kinesis_local(installed, dir.path()).await;
        let dynamodb = DynamoServer::start().await.unwrap();
        let endpoints = [kinesis.endpoint(), dynamodb.endpoint()];
        Self::new(dir, endpoints, vec![kinesis], (Some(dynamodb), None)).await
    }

    pub(crate) async fn kinesalite_and_moto(installed: &Installed) -> Self {
        let dir = TempDir::new().unwrap();
        let kinesis = Server::kinesalite(installed, dir.path()).await;
        let moto = Server::moto(installed, dir.path()).await;
        let endpoints = [kinesis.endpoint(), moto.endpoint()];
        Self::new(dir, endpoints, vec![kinesis, moto], (None, None)).await
    }

    pub(crate) async fn moto(installed: &Installed) -> Self {
        let dir = TempDir::new().unwrap();
        let moto = Server::moto(installed, dir.path()).await;
        let endpoints = [moto.endpoint(), moto.endpoint()];
        Self::new(dir, endpoints, vec![moto], (None, None)).await
    }

    pub(crate) async fn ministack_and_dynoxide(installed: &Installed) -> Self {
        let dir = TempDir::new().unwrap();
        let kinesis = Server::ministack(installed, dir.path()).await;
        let dynamodb = DynamoServer::start().await.unwrap();
        let endpoints = [kinesis.endpoint(), dynamodb.endpoint()];
        Self::new(dir, endpoints, vec![kinesis], (Some(dynamodb), None)).await
    }

    async fn new(
        dir: TempDir,
        [kinesis, dynamodb]: [String; 2],
        servers: Vec<Server>,
        (dynamodb_server, kinesis_server): (Option<DynamoServer>, Option<KinesisServer>),
    ) -> Self {
        let application = "servers-test";
        let settings = AwsSettings {
            kinesis_endpoint_url: Some(kinesis.clone()),
            dynamodb_endpoint_url: Some(dynamodb.clone()),
            ..AwsSettings::default()
        };
        let aws = AwsConnection::emulator(&settings).await.unwrap();
        let leases = DynamoLeases::new(&aws, application);
        let world = Self {
            application,
            aws,
            kinesis_endpoint: kinesis,
            dynamodb_endpoint: dynamodb,
            leases,
            daemons: Cell::new(0),
            servers,
            _dynamodb: dynamodb_server,
            kinesis: kinesis_server,
            dir,
        };
        fs::write(world.config(), world.fill(include_str!("daemon.toml"))).unwrap();
        world
    }

    /// The embedded Kinesis of [`World::embedded`].
    pub(crate) fn kinesis(&self) -> &KinesisServer {
        self.kinesis.as_ref().expect("a world with an embedded Kinesis")
    }

    /// The servers that are processes, Kinesis first.
    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// A configuration with the names and places of this world.
    pub(crate) fn fill(&self, template: &str) -> String {
        template
            .replace("{application}", self.application)
            .replace("{stream}", stream::NAME)
            .replace("{kinesis}", &self.kinesis_endpoint)
            .replace("{dynamodb}", &self.dynamodb_endpoint)
            .replace("{dir}", &self.dir().display().to_string())
    }

    /// Changes the daemon's configuration.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let file = self.config();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from:?} is not in the configuration");
        fs::write(file, text.replace(from, to)).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir().join("shardwright.toml")
    }

    /// What the last daemon has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.daemon_log(self.daemons.get())).unwrap_or_default()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts one more daemon.
    pub(crate) fn daemon(&self) -> Daemon {
        self.start(Daemon::command(&self.config()))
    }

    /// Starts a worker, ours or another.
    pub(crate) fn start(&self, worker: Command) -> Daemon {
        let number = self.daemons.get() + 1;
        self.daemons.set(number);
        Daemon::start(worker, &self.daemon_log(number))
    }

    fn daemon_log(&self, number: u32) -> PathBuf {
        self.dir().join(format!("daemon-{number}.log"))
    }

    /// The lease table; empty when there is none yet.
    pub(crate) async fn leases(&self) -> Vec<Lease> {
        self.leases.scan().await.unwrap_or_default()
    }

    pub(crate) fn results(&self) -> Results {
        Results::read(self.dir())
    }

    /// Waits until everything that was put has come out; says what is missing when it does not.
    pub(crate) async fn settled(&self, books: &Books) {
        if !in_time(async || books.are_settled(&self.results())).await {
            books.check(&self.results(), &Replay::default());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for number in 1..=self.daemons.get() {
            let log = fs::read_to_string(self.daemon_log(number)).unwrap_or_default();
            eprintln!("=== daemon {number} ===\n{log}");
        }
    }
}
