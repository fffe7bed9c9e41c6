//! The servers that `install.sh` installs, each a child process on free ports of loopback.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use shardwright::aws::{AwsConnection, AwsSettings};

use super::{
    process::{signal, spawn, tethered},
    wait_until,
};

/// Where `install.sh` has put the servers.
#[derive(Clone)]
pub(crate) struct Installed(PathBuf);

impl Installed {
    /// `None` when they are not installed, and nobody insists: the test is skipped.
    pub(crate) fn find() -> Option<Self> {
        Self::find_all(&["kinesis-local", "kinesalite", "moto"])
    }

    /// As [`Self::find`], for these servers.
    pub(crate) fn find_all(names: &[&str]) -> Option<Self> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let dir = target.join("servers");
        if names.iter().all(|name| dir.join(name).join(".installed").exists()) {
            return Some(Self(dir));
        }
        let required = std::env::var("SHARDWRIGHT_REQUIRE_SERVERS").is_ok_and(|it| it == "1");
        assert!(!required, "the servers are not installed: run tests/servers/install.sh");
        // Past the test harness, which shows what a passed test prints to nobody.
        let _ = writeln!(std::io::stderr(), "skipped: run tests/servers/install.sh");
        None
    }

    /// A Python that has pyarrow.
    #[allow(dead_code, reason = "not every target reads Parquet")]
    pub(crate) fn pyarrow(&self) -> PathBuf {
        self.0.join("pyarrow/bin/python")
    }

    /// A Python that has boto3.
    pub(crate) fn python(&self) -> PathBuf {
        self.0.join("moto/bin/python")
    }

    fn node(&self, package_file: &str) -> Command {
        let mut command = tethered("node");
        for preload in ["loopback.js", "clock.js"] {
            command.arg("-r").arg(script(preload));
        }
        command.arg(self.0.join(package_file));
        command
    }
}

/// Lines of a server's log that a test which fails shows.
const LOG_LINES: usize = 50;
/// More than any test asks for.
const SHARD_LIMIT: &str = "2000";

/// A running server; killed when dropped, and when this process dies.
pub(crate) struct Server {
    name: &'static str,
    endpoint: String,
    child: Child,
    log: PathBuf,
    /// Makes another process like it, on the same port.
    command: Box<dyn Fn() -> Command + Send + Sync>,
}

impl Server {
    /// Kinesis as LocalStack runs it: names the children of a shard that has ended.
    pub(crate) async fn kinesis_local(installed: &Installed, dir: &Path) -> Self {
        let [port, tls] = free_ports();
        let installed = installed.clone();
        let command = move || {
            let package = "kinesis-local/node_modules/kinesis-local";
            let mut command = installed.node(&format!("{package}/main.js"));
            command
                .env("KINESIS_MOCK_PLAIN_PORT", port.to_string())
                .env("KINESIS_MOCK_TLS_PORT", tls.to_string())
                .env("SHARD_LIMIT", SHARD_LIMIT)
                .env("KINESIS_MOCK_CERT_PATH", installed.0.join(package).join("server.json"));
            command
        };
        Self::start("kinesis-local", port, command, dir).await
    }

    /// An older Kinesis: no child shards with the last page, no ARNs, no shard filters.
    pub(crate) async fn kinesalite(installed: &Installed, dir: &Path) -> Self {
        let [port] = free_ports();
        let installed = installed.clone();
        let command = move || {
            let mut command = installed.node("kinesalite/node_modules/kinesalite/cli.js");
            command.args(["--port", &port.to_string(), "--shardLimit", SHARD_LIMIT]);
            command
        };
        Self::start("kinesalite", port, command, dir).await
    }

    /// DynamoDB, CloudWatch Logs, and a Kinesis that cannot reshard; one call at a time.
    pub(crate) async fn moto(installed: &Installed, dir: &Path) -> Self {
        let [port] = free_ports();
        let python = installed.python();
        let command = move || {
            let mut command = tethered(&python);
            command.arg(script("moto_server.py")).arg(port.to_string());
            // A queue may be emptied more often than once a minute: it is slow when it is full.
            command.env("MOTO_SQS_ENFORCE_STRICT_QUEUE_PURGE_BEHAVIOUR", "false");
            command
        };
        Self::start("moto", port, command, dir).await
    }

    /// Azure Blob Storage, in memory.
    #[allow(dead_code, reason = "not every target stores blobs")]
    pub(crate) async fn azurite(installed: &Installed, dir: &Path) -> Self {
        let [port] = free_ports();
        let main = installed.0.join("azurite/node_modules/azurite/dist/src/blob/main.js");
        let command = move || {
            let mut command = tethered("node");
            command.arg(&main).args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--inMemoryPersistence", "--skipApiVersionCheck"]);
            command.args(["--silent", "--disableTelemetry"]);
            command
        };
        Self::start("azurite", port, command, dir).await
    }

    /// A Kinesis that ends subscriptions as AWS does, and forgets the parents of a reshard.
    pub(crate) async fn ministack(installed: &Installed, dir: &Path) -> Self {
        let [port] = free_ports();
        let program = installed.0.join("ministack/bin/ministack");
        let command = move || {
            let mut command = tethered(&program);
            command
                .env("BIND_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port.to_string())
                .env("SERVICES", "kinesis")
                // It would remove containers of its own name.
                .env("DOCKER_HOST", "unix:///nonexistent");
            command
        };
        Self::start("ministack", port, command, dir).await
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Makes all iterators that were handed out expire, and ends subscriptions (`clock.js`; only the
    /// servers that node runs).
    #[allow(dead_code, reason = "not every target moves clocks")]
    pub(crate) async fn pass_five_minutes(&self) {
        let steps = || {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            log.matches("the clock is").count()
        };
        let before = steps();
        signal(&self.child, "USR2");
        wait_until("the clock has moved", async || steps() > before).await;
    }

    /// SIGKILL: what it keeps in memory is gone.
    #[allow(dead_code, reason = "not every target restarts servers")]
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port, after [`Self::kill`].
    #[allow(dead_code, reason = "not every target restarts servers")]
    pub(crate) async fn start_again(&mut self) {
        self.child = begin((self.command)(), &self.log);
        self.answers().await;
    }

    /// Starts it and waits until it answers.
    async fn start(
        name: &'static str,
        port: u16,
        command: impl Fn() -> Command + Send + Sync + 'static,
        dir: &Path,
    ) -> Self {
        let log = dir.join(format!("{name}.log"));
        let (child, command) = (begin(command(), &log), Box::new(command));
        let endpoint = format!("http://127.0.0.1:{port}");
        let mut server = Self { name, endpoint, child, log, command };
        server.answers().await;
        server
    }

    /// Each of them answers as Kinesis, or stores blobs.
    async fn answers(&mut self) {
        let endpoint_url = Some(self.endpoint());
        let settings = AwsSettings { endpoint_url, ..AwsSettings::default() };
        let kinesis = AwsConnection::emulator(&settings).await.unwrap().kinesis_once();
        let name = self.name;
        wait_until(&format!("{name} answers"), async || {
            assert!(self.child.try_wait().unwrap().is_none(), "{name} has ended");
            if name == "azurite" {
                let authority = self.endpoint.trim_start_matches("http://");
                return TcpStream::connect(authority).is_ok();
            }
            kinesis.list_streams().send().await.is_ok()
        })
        .await;
    }
}

fn begin(mut command: Command, log: &Path) -> Child {
    let out = fs::File::options().append(true).create(true).open(log).unwrap();
    command.stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
    spawn(command).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(LOG_LINES));
            eprintln!("=== the end of {}'s log ===", self.name);
            last.for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A file of this repository that a server runs.
fn script(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers")).join(name)
}

/// Ports that were free a moment ago.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    // All are bound before the first is let go, so that they differ.
    let bound = [(); COUNT].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    bound.each_ref().map(|listener| listener.local_addr().unwrap().port())
}
