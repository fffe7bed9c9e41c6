//! Workers as child processes.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use super::{
    process::{signal, spawn, tethered},
    wait_until,
};

/// A running worker; killed when dropped, and when this process dies.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// `shardwright run`.
    pub(crate) fn command(config: &Path) -> Command {
        let mut command = tethered(env!("CARGO_BIN_EXE_shardwright"));
        command.arg("run").arg("--config").arg(config).env_clear();
        command
    }

    /// Starts a worker with what its SDK needs in its environment.
    pub(super) fn start(mut command: Command, log: &Path) -> Self {
        command
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log).unwrap());
        Self(spawn(command).unwrap())
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        signal(&self.0, "TERM");
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "the daemon has ended by itself");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) async fn exit(mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the daemon exits", async || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// SIGTERM, and everything in flight is finished.
    pub(crate) async fn drain(self) {
        self.terminate();
        assert!(self.exit().await.success(), "the daemon did not drain");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
