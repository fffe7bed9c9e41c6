//! A named pipe, and a process that reads it; for the daemon a file as its standard output.

use std::{
    cell::Cell,
    fs,
    path::PathBuf,
    process::{Child, Command},
    sync::Arc,
};

use serde_json::Value;
use shardwright::{
    ports::{Sink, SinkError},
    sinks::StdoutSink,
};
use tempfile::TempDir;
use tokio::net::unix::pipe;

use crate::{
    contract::{Again, Counterpart, Promise},
    harness::{
        Daemon, World,
        process::{signal, spawn, tethered},
        wait_until,
    },
};

/// The pipe.
pub(crate) struct Stdout {
    dir: TempDir,
    reader: Option<Child>,
    daemons: Cell<u32>,
}

impl Stdout {
    fn pipe(&self) -> PathBuf {
        self.dir.path().join("pipe")
    }

    fn reader(&self) -> &Child {
        self.reader.as_ref().expect("it runs")
    }
}

impl Counterpart for Stdout {
    const PROMISE: Promise = Promise { in_order: true, knows_again: Again::No };

    async fn start() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mut stdout = Self { dir, reader: None, daemons: Cell::new(0) };
        assert!(Command::new("mkfifo").arg(stdout.pipe()).status().unwrap().success());
        stdout.start_again().await;
        Some(stdout)
    }

    fn config(&self) -> String {
        "type = \"stdout\"".to_owned()
    }

    async fn open(&self, _: &str) -> Result<Arc<dyn Sink>, SinkError> {
        let mut writer = None;
        wait_until("somebody reads the pipe", async || {
            writer = pipe::OpenOptions::new().open_sender(self.pipe()).ok();
            writer.is_some()
        })
        .await;
        Ok(Arc::new(StdoutSink::new(writer.unwrap())))
    }

    /// Lines that are whole; empty ones end what a delivery that failed has begun.
    async fn stored(&mut self) -> Vec<Value> {
        let mut found = Vec::new();
        for number in 0..=self.daemons.get() {
            let path = self.dir.path().join(format!("out-{number}"));
            let text = fs::read_to_string(path).unwrap_or_default();
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let whole = whole.map(str::trim_end).filter(|line| !line.is_empty());
            found.extend(whole.map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        found
    }

    async fn stop(&mut self) {
        let mut reader = self.reader.take().expect("it runs");
        reader.kill().unwrap();
        reader.wait().unwrap();
    }

    /// Opened for both (`<>`), so that the reader outlives each writer: with none it would see an
    /// end, and be about to leave while the next writer still finds it.
    async fn start_again(&mut self) {
        let mut reader = tethered("sh");
        reader.args(["-c", "exec cat <> \"$0\" >> \"$1\""]).arg(self.pipe());
        self.reader = Some(spawn(with(reader, self.dir.path().join("out-0"))).unwrap());
    }

    async fn hold(&mut self) {
        signal(self.reader(), "STOP");
    }

    /// A pipe takes 64 KiB, and then no more.
    fn is_waiting(&self) -> bool {
        true
    }

    async fn let_go(&mut self) {
        signal(self.reader(), "CONT");
    }

    /// Each worker has an output of its own, as containers have.
    fn daemon(&self, world: &World) -> Daemon {
        self.daemons.set(self.daemons.get() + 1);
        let out = self.dir.path().join(format!("out-{}", self.daemons.get()));
        let mut command = tethered("/bin/sh");
        command.env_clear().args(["-c", "exec \"$0\" run --config \"$1\" > \"$2\""]);
        command.arg(env!("CARGO_BIN_EXE_shardwright")).arg(world.config()).arg(out);
        world.start(command)
    }
}

fn with(mut command: Command, argument: PathBuf) -> Command {
    command.arg(argument);
    command
}

impl Drop for Stdout {
    fn drop(&mut self) {
        if let Some(reader) = &mut self.reader {
            let _ = reader.kill();
            let _ = reader.wait();
        }
    }
}
