//! The Java KCL as a child process: its `MultiLangDaemon` with `record_processor.py`.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{Daemon, World, wait_until};

/// The worker's name in the lease table.
pub(crate) const JAVA: &str = "java";

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");

/// While this file is there, the record processors do not checkpoint.
const HOLD: &str = "hold";

/// The jars that `install.sh` has put below `target/`, and a Java to run them.
pub(crate) struct Kcl {
    jars: PathBuf,
}

impl Kcl {
    /// `None` when it is not installed, and nobody insists: the test is skipped.
    pub(crate) fn find() -> Option<Self> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let dir = target.join("servers/kcl");
        let java = Command::new("java").arg("-version").output();
        if java.is_ok_and(|java| java.status.success()) && dir.join(".installed").exists() {
            return Some(Self { jars: dir.join("package/amazon_kclpy/jars") });
        }
        let required = std::env::var("SHARDWRIGHT_REQUIRE_SERVERS").is_ok_and(|it| it == "1");
        assert!(!required, "there is no KCL or no Java: run tests/interop/install.sh");
        // Past the test harness, which shows what a passed test prints to nobody.
        let _ = writeln!(std::io::stderr(), "skipped: run tests/interop/install.sh");
        None
    }

    /// Starts a worker on the stream and the lease table of this world.
    pub(crate) fn start(&self, world: &World) -> Java {
        let properties = world.fill(include_str!("kcl.properties")).replace("{worker}", JAVA);
        let file = world.dir().join("kcl.properties");
        fs::write(&file, properties).unwrap();
        let records = world.dir().join("records");
        fs::create_dir_all(&records).unwrap();

        let mut command = Command::new("java");
        command
            // Starts sooner, runs slower.
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            // The embedded Kinesis speaks JSON only.
            .arg("-Daws.cborEnabled=false")
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg("software.amazon.kinesis.multilang.MultiLangDaemon")
            .args(["--log-configuration", "logback.xml", "--properties-file"])
            .arg(file)
            .current_dir(HERE)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("RECORDS", &records)
            .env("HOLD", world.dir().join(HOLD));
        Java(world.start(command))
    }
}

/// A running Java worker.
pub(crate) struct Java(Daemon);

impl Java {
    /// From now on it processes and does not checkpoint.
    pub(crate) fn hold_checkpoints(world: &World) {
        File::create(world.dir().join(HOLD)).unwrap();
    }

    /// SIGKILL; returns when its record processors are gone too.
    pub(crate) async fn kill(self, world: &World) {
        self.0.kill();
        wait_until("the record processors end", async || {
            let mut files = fs::read_dir(world.dir().join("records")).unwrap();
            files.all(|file| File::open(file.unwrap().path()).unwrap().try_lock().is_ok())
        })
        .await;
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.0.terminate();
    }

    /// Waits until it ends, as a JVM does that has got SIGTERM.
    pub(crate) async fn exit(self) {
        const TERMINATED: i32 = 128 + 15;
        assert_eq!(self.0.exit().await.code(), Some(TERMINATED));
    }
}
