//! A PostgreSQL of one's own: a cluster in a folder, on a free port of loopback.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::{
    certificates::Certificate,
    harness::{
        process::{signal, spawn, tethered},
        wait_until,
    },
};

/// A running server; killed when dropped, and when this process dies.
pub(crate) struct Database {
    bin: PathBuf,
    port: u16,
    child: Option<Child>,
    /// Settings beside the usual ones.
    settings: Vec<String>,
    // After the server, whose files are in it.
    dir: TempDir,
}

impl Database {
    /// `None` when it is not installed, and nobody insists: the test is skipped.
    pub(crate) async fn start() -> Option<Self> {
        let Some(bin) = installed() else {
            let required = std::env::var("SHARDWRIGHT_REQUIRE_SERVERS").is_ok_and(|it| it == "1");
            assert!(!required, "PostgreSQL is not installed: run tests/servers/install.sh");
            // Past the test harness, which shows what a passed test prints to nobody.
            let _ = writeln!(std::io::stderr(), "skipped: run tests/servers/install.sh");
            return None;
        };
        let dir = TempDir::new().unwrap();
        if let Some(user) = other_user() {
            let owned = Command::new("chown").arg(user).arg(dir.path()).status();
            assert!(owned.unwrap().success());
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut init = as_other_user(&bin.join("initdb"));
        init.args(["--username=me", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        let log = init.arg("-D").arg(dir.path().join("data")).output().unwrap();
        assert!(log.status.success(), "{}", String::from_utf8_lossy(&log.stderr));
        let mut database = Self { bin, port, child: None, settings: Vec::new(), dir };
        database.begin().await;
        Some(database)
    }

    /// Starts it, after [`Self::stop`] too.
    pub(crate) async fn begin(&mut self) {
        let log = fs::File::options().append(true).create(true).open(self.dir.path().join("log"));
        let log = log.unwrap();
        let mut command = as_other_user(&self.bin.join("postgres"));
        command
            .arg("-D")
            .arg(self.dir.path().join("data"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut child = spawn(command).unwrap();
        wait_until("PostgreSQL answers", async || {
            assert!(child.try_wait().unwrap().is_none(), "it has ended: {}", self.log());
            self.connect().await.is_ok()
        })
        .await;
        self.child = Some(child);
    }

    /// Ends it at once: connections break, what is not committed is gone.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, "QUIT");
            child.wait().unwrap();
        }
    }

    /// Starts it again with a certificate; plain connections are taken too.
    pub(crate) async fn use_tls(&mut self, certificate: &Certificate) {
        self.stop();
        for (from, name) in [(&certificate.certificate, "tls.pem"), (&certificate.key, "tls.key")] {
            let to = self.dir.path().join(name);
            fs::copy(from, &to).unwrap();
            // It takes no key that others could read, nor one of somebody else.
            if let Some(user) = other_user() {
                assert!(Command::new("chown").arg(user).arg(&to).status().unwrap().success());
            }
            assert!(Command::new("chmod").arg("600").arg(&to).status().unwrap().success());
        }
        let dir = self.dir.path().display();
        self.settings = vec![
            "ssl=on".to_owned(),
            format!("ssl_cert_file={dir}/tls.pem"),
            format!("ssl_key_file={dir}/tls.key"),
        ];
        self.begin().await;
    }

    /// Makes a role that has to use TLS.
    pub(crate) async fn refuse_plain_connections_of(&self, role: &str) {
        let rules = self.dir.path().join("data/pg_hba.conf");
        let text = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, format!("hostnossl all {role} all reject\n{text}")).unwrap();
        self.run(&format!("CREATE ROLE {role} LOGIN; SELECT pg_reload_conf()")).await;
        wait_until("the rules are in force", async || {
            let loaded = "SELECT count(*) FROM pg_hba_file_rules WHERE type = 'hostnossl'";
            let refused = self.url().replace("me@", &format!("{role}@"));
            self.rows(loaded).await == ["1"]
                && tokio_postgres::connect(&refused, NoTls).await.is_err()
        })
        .await;
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://me@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    pub(crate) async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) {
        self.connect().await.unwrap().batch_execute(sql).await.unwrap();
    }

    /// The rows of a query, their columns as texts with `|` between.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let rows = self.connect().await.unwrap().simple_query(sql).await.unwrap();
        let rows = rows.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let texts = |row: &tokio_postgres::SimpleQueryRow| {
            let texts = (0..row.len()).map(|index| row.get(index).unwrap_or("NULL"));
            texts.collect::<Vec<_>>().join("|")
        };
        rows.map(texts).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("=== PostgreSQL ===\n{}", self.log());
        }
    }
}

/// Where its programs are: Debian keeps them out of the path.
fn installed() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    if let Ok(config) = Command::new("pg_config").arg("--bindir").output() {
        found.push(PathBuf::from(String::from_utf8_lossy(&config.stdout).trim()));
    }
    found.sort();
    found.into_iter().rev().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}

/// PostgreSQL refuses to run as root.
fn other_user() -> Option<&'static str> {
    let id = Command::new("id").arg("-u").output().unwrap();
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return None;
    }
    let known = Command::new("id").arg("postgres").output();
    Some(if known.is_ok_and(|id| id.status.success()) { "postgres" } else { "nobody" })
}

fn as_other_user(program: &Path) -> Command {
    let Some(user) = other_user() else { return tethered(program) };
    // One setpriv for both: a change of the user takes the tether off.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--reuid", user, "--regid", user, "--clear-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}
