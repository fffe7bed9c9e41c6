//! The servers that `install.sh` installs, each a child process on free ports of loopback.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use shardwright::aws::{AwsConnection, AwsSettings};

use super::wait_until;

/// Where `install.sh` has put the servers.
pub(crate) struct Installed(PathBuf);

impl Installed {
    /// `None` when they are not installed, and nobody insists: the test is skipped.
    pub(crate) fn find() -> Option<Self> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let dir = target.join("servers");
        let is_there = |name| dir.join(name).join(".installed").exists();
        if ["kinesis-local", "kinesalite", "moto"].into_iter().all(is_there) {
            return Some(Self(dir));
        }
        let required = std::env::var("SHARDWRIGHT_REQUIRE_SERVERS").is_ok_and(|it| it == "1");
        assert!(!required, "the servers are not installed: run tests/servers/install.sh");
        // Past the test harness, which shows what a passed test prints to nobody.
        let _ = writeln!(std::io::stderr(), "skipped: run tests/servers/install.sh");
        None
    }

    /// A Python that has boto3.
    pub(crate) fn python(&self) -> PathBuf {
        self.0.join("moto/bin/python")
    }

    fn node(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        let preload = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/loopback.js");
        command.args(["-r", preload]).arg(self.0.join(script));
        command
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    name: &'static str,
    endpoint: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Kinesis as LocalStack runs it: names the children of a shard that has ended.
    pub(crate) async fn kinesis_local(installed: &Installed, dir: &Path) -> Self {
        let [port, tls] = free_ports();
        let package = "kinesis-local/node_modules/kinesis-local";
        let mut command = installed.node(&format!("{package}/main.js"));
        command
            .env("KINESIS_MOCK_PLAIN_PORT", port.to_string())
            .env("KINESIS_MOCK_TLS_PORT", tls.to_string())
            .env("KINESIS_MOCK_CERT_PATH", installed.0.join(package).join("server.json"));
        Self::start("kinesis-local", port, command, dir).await
    }

    /// An older Kinesis: no child shards with the last page, no ARNs, no shard filters.
    pub(crate) async fn kinesalite(installed: &Installed, dir: &Path) -> Self {
        let [port] = free_ports();
        let mut command = installed.node("kinesalite/node_modules/kinesalite/cli.js");
        command.args(["--port", &port.to_string()]);
        Self::start("kinesalite", port, command, dir).await
    }

    /// DynamoDB, CloudWatch Logs, and a Kinesis that cannot reshard.
    pub(crate) async fn moto(installed: &Installed, dir: &Path) -> Self {
        let [port] = free_ports();
        let mut command = Command::new(installed.0.join("moto/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Self::start("moto", port, command, dir).await
    }

    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// Starts it and waits until it answers. Each of them answers as Kinesis.
    async fn start(name: &'static str, port: u16, mut command: Command, dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
        let child = command.spawn().unwrap();
        let mut server = Self { name, endpoint: format!("http://127.0.0.1:{port}"), child, log };
        let endpoint_url = Some(server.endpoint());
        let settings = AwsSettings { endpoint_url, ..AwsSettings::default() };
        let kinesis = AwsConnection::emulator(&settings).await.unwrap().kinesis_once();
        wait_until(&format!("{name} answers"), async || {
            assert!(server.child.try_wait().unwrap().is_none(), "{name} has ended");
            kinesis.list_streams().send().await.is_ok()
        })
        .await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("=== {} ===\n{log}", self.name);
        }
    }
}

/// Ports that were free a moment ago.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    // All are bound before the first is let go, so that they differ.
    let bound = [(); COUNT].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    bound.each_ref().map(|listener| listener.local_addr().unwrap().port())
}
