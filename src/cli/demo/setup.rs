//! The demo's folder: a configuration as a user would write it, and where the results go.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::servers::{STREAM, Servers};
use crate::{
    aws::{AwsConnection, AwsSettings},
    cli::talk::say,
    config::{Compiled, Layers, LogFormat, LogSettings, compile},
    logging,
    ports::{SystemClock, WallClock},
};

/// The demo's folder.
pub(super) struct Setup {
    pub(super) dir: PathBuf,
    layers: Layers,
    aws: AwsSettings,
}

const PROGRAM: &str = include_str!("demo.vrl");
const SCHEMA: &str = include_str!("demo.schema.json");
const CONFIG: &str = include_str!("demo.toml");

impl Setup {
    /// Writes the configuration into a new folder below `out`, and starts the log there.
    pub(super) fn write(out: &Path, servers: &Servers) -> anyhow::Result<Self> {
        let name = SystemClock.now().to_string().replace([':', '.'], "-");
        let dir = out.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let file = dir.join("shardwright.toml");
        let aws = AwsSettings {
            region: Some("us-east-1".to_owned()),
            kinesis_endpoint_url: Some(servers.kinesis.endpoint()),
            dynamodb_endpoint_url: Some(servers.dynamodb.endpoint()),
            ..AwsSettings::default()
        };
        let text = CONFIG
            .replace("{stream}", STREAM)
            .replace("{kinesis}", &servers.kinesis.endpoint())
            .replace("{dynamodb}", &servers.dynamodb.endpoint())
            .replace("{dir}", &dir.display().to_string());
        fs::write(&file, text)?;
        fs::write(dir.join("order.vrl"), PROGRAM)?;
        fs::write(dir.join("order.schema.json"), SCHEMA)?;
        let log = fs::File::create(dir.join("workers.log"))?;
        // The emulator warns of each conditional write that it refuses; leases live by those.
        let level = "info,dynoxide=off".to_owned();
        logging::start_in_file(&LogSettings { level, format: LogFormat::Text }, log)?;
        let layers = Layers { files: vec![file], environment: Some(HashMap::new()) };
        Ok(Self { dir, layers, aws })
    }

    pub(super) fn announce(&self, servers: &Servers) {
        let dir = self.dir.display();
        say(format_args!("kinesis        {}", servers.kinesis.endpoint()));
        say(format_args!("dynamodb       {}", servers.dynamodb.endpoint()));
        say(format_args!("configuration  {dir}/shardwright.toml"));
        say(format_args!("delivered      {dir}/delivered/"));
        say(format_args!("dead letters   {dir}/dead-letters/"));
        say(format_args!("workers' log   {dir}/workers.log"));
    }

    /// Clients for the embedded servers; nothing is read from the environment.
    pub(super) async fn connect(&self) -> anyhow::Result<AwsConnection> {
        Ok(AwsConnection::emulator(&self.aws).await?)
    }

    /// The configuration, read anew as `run` reads it, for a worker of this name.
    pub(super) fn compile(&self, worker: &str) -> anyhow::Result<Compiled> {
        let mut compiled = compile(&self.layers)?;
        compiled.settings.worker_id = Some(worker.to_owned());
        Ok(compiled)
    }
}
