//! `iam-policy`: the least that a configuration needs of AWS.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    ConfigArgs, FOUND, refuse, refuse_config,
    talk::{complain, print, say},
};
use crate::{
    app::target,
    aws::StreamTarget,
    config::{LeaseSettings, Retrieval, Settings, StreamSettings, load},
    model::StreamName,
    sinks::{KinesisSinkConfig, ObjectConfig, SinkConfig, SqsConfig},
};

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The account of what the configuration names without an ARN; any account by default
    #[arg(long, value_name = "ID", default_value = "*")]
    account: String,
    /// Instead: the role with which CloudWatch Logs writes into the streams, its trust and its policy
    #[arg(long)]
    subscription: bool,
}

/// Whose resources these are.
struct Owner<'a> {
    partition: String,
    region: String,
    account: &'a str,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let settings = match load(&args.config.layers()) {
        Ok((settings, _)) => settings,
        Err(problems) => return refuse_config(&problems),
    };
    let owner = Owner::of(&settings, &args.account);
    let document = match args.subscription {
        true => subscription(&settings, &owner),
        false => policy(&settings, &owner),
    };
    let document = match document {
        Ok(document) => document,
        Err(problem) => return refuse(problem),
    };
    say(
        "A stream or table that is encrypted with a key of your own needs kms:Decrypt on it too, one \
         that is written to kms:GenerateDataKey.",
    );
    match serde_json::to_string_pretty(&document) {
        Ok(text) => match print(&format!("{text}\n")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(unwritten) => unwritten.exit(),
        },
        Err(problem) => {
            complain(problem);
            ExitCode::from(FOUND)
        }
    }
}

/// What the workers' role may do.
fn policy(settings: &Settings, owner: &Owner<'_>) -> Result<Value, String> {
    let mut statements = Vec::new();
    for stream in &settings.streams {
        reading(stream, &settings.application, owner, &mut statements)?;
    }
    statements.extend(leases(&settings.lease, &settings.application, owner));
    statements.extend(checking(settings, owner)?);
    for (name, entry) in &settings.sinks {
        match &entry.sink {
            SinkConfig::Kinesis(sink) => statements.push(writing(name, sink, owner)?),
            SinkConfig::Sqs(sink) => statements.push(sending(name, sink, owner)),
            SinkConfig::Firehose(sink) => {
                let owner = owner.of_region(sink.region.as_ref());
                let resource = owner.arn("firehose", &format!("deliverystream/{}", sink.stream));
                let actions = ["firehose:PutRecordBatch", "firehose:DescribeDeliveryStream"];
                statements.push(statement(&format!("Sink{name}"), &actions, &[resource]));
            }
            SinkConfig::S3(sink) => statements.extend(storing(name, sink, owner)),
            SinkConfig::Azure(_)
            | SinkConfig::Stdout(_)
            | SinkConfig::File(_)
            | SinkConfig::Folder(_)
            | SinkConfig::Gcs(_)
            | SinkConfig::Http(_)
            | SinkConfig::Postgres(_) => {}
        }
    }
    Ok(json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn statement(what: &str, actions: &[&str], resources: &[String]) -> Value {
    // IAM takes letters and digits only.
    let sid: String = what.chars().filter(char::is_ascii_alphanumeric).collect();
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources })
}

fn reading(
    settings: &StreamSettings,
    application: &str,
    owner: &Owner<'_>,
    statements: &mut Vec<Value>,
) -> Result<(), String> {
    let target = target(settings).map_err(|problem| problem.to_string())?;
    let (name, stream) = (target.stream_name(), owner.stream(&target));
    // Fan-out, too, reads a page by GetRecords where a subscription does not tell a shard's end.
    let actions = [
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
        "kinesis:GetShardIterator",
        "kinesis:GetRecords",
    ];
    statements.push(statement(&format!("Read{name}"), &actions, std::slice::from_ref(&stream)));
    if settings.retrieval != Retrieval::FanOut {
        return Ok(());
    }
    let consumer = settings.consumer_arn.clone().unwrap_or_else(|| {
        let consumer = settings.consumer_name.as_deref().unwrap_or(application);
        format!("{stream}/consumer/{consumer}:*")
    });
    let mut actions = vec!["kinesis:SubscribeToShard", "kinesis:DescribeStreamConsumer"];
    if settings.deregister_on_exit {
        actions.push("kinesis:DeregisterStreamConsumer");
    }
    // Kinesis asks for the permission to describe a consumer on the stream when it is named by it.
    let resources = [stream.clone(), consumer];
    statements.push(statement(&format!("Subscribe{name}"), &actions, &resources));
    if settings.consumer_arn.is_none() {
        let actions = ["kinesis:RegisterStreamConsumer"];
        statements.push(statement(&format!("Register{name}"), &actions, &[stream]));
    }
    Ok(())
}

fn leases(lease: &LeaseSettings, application: &str, owner: &Owner<'_>) -> [Value; 2] {
    let name = lease.table.as_deref().unwrap_or(application);
    let mut actions = vec![
        "dynamodb:DescribeTable",
        "dynamodb:Scan",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    ];
    if lease.create_table {
        actions.push("dynamodb:CreateTable");
    }
    // The mode of a KCL 3.x fleet is looked up before anything is written.
    let other = format!("{name}-CoordinatorState");
    [
        statement("Leases", &actions, &[owner.table(name)]),
        statement("FleetMode", &["dynamodb:GetItem"], &[owner.table(&other)]),
    ]
}

/// What `check --online` asks beside what `run` does; without it some findings are missing. It also asks
/// STS who it is, which needs no permission.
fn checking(settings: &Settings, owner: &Owner<'_>) -> Result<[Value; 2], String> {
    let streams = owner.streams(settings)?;
    let table = settings.lease.table.as_deref().unwrap_or(&settings.application);
    Ok([
        statement("CheckStreams", &["kinesis:ListStreamConsumers"], &streams),
        statement("CheckLeases", &["dynamodb:DescribeContinuousBackups"], &[owner.table(table)]),
    ])
}

fn writing(name: &str, sink: &KinesisSinkConfig, owner: &Owner<'_>) -> Result<Value, String> {
    let target = match (&sink.arn, &sink.stream) {
        (Some(arn), _) => StreamTarget::arn(arn).map_err(|problem| problem.to_string())?,
        (None, Some(stream)) => StreamTarget::Name(StreamName::new(stream)),
        (None, None) => return Err(format!("sinks.{name}: needs either stream or arn")),
    };
    let owner = owner.of_region(sink.region.as_ref());
    let actions = ["kinesis:PutRecords", "kinesis:DescribeStreamSummary"];
    Ok(statement(&format!("Sink{name}"), &actions, &[owner.stream(&target)]))
}

/// A queue's URL names its account: `https://sqs.<region>.amazonaws.com/<account>/<name>`.
fn sending(name: &str, sink: &SqsConfig, owner: &Owner<'_>) -> Value {
    let owner = owner.of_region(sink.region.as_ref());
    let mut path = sink.queue_url.rsplit('/');
    let queue = path.next().unwrap_or_default();
    let account = path.next().filter(|part| part.len() == 12).unwrap_or(owner.account);
    let resource = Owner { account, ..owner }.arn("sqs", queue);
    let actions = ["sqs:SendMessage", "sqs:GetQueueAttributes"];
    statement(&format!("Sink{name}"), &actions, &[resource])
}

/// Objects of any key: what comes before the first field of a template may be nothing. `check` lists.
fn storing(name: &str, sink: &ObjectConfig, owner: &Owner<'_>) -> [Value; 2] {
    let bucket = sink.bucket.as_deref().unwrap_or_default();
    let bucket = format!("arn:{}:s3:::{bucket}", owner.partition);
    let objects = format!("{bucket}/*");
    [
        statement(&format!("Sink{name}"), &["s3:PutObject", "s3:AbortMultipartUpload"], &[objects]),
        statement(&format!("Check{name}"), &["s3:ListBucket"], &[bucket]),
    ]
}

/// The role that CloudWatch Logs takes on to write into the streams: whose log groups may use it, and
/// what it may do (CloudWatch Logs user guide, "Subscriptions with Kinesis Data Streams").
fn subscription(settings: &Settings, owner: &Owner<'_>) -> Result<Value, String> {
    let streams = owner.streams(settings)?;
    let Owner { partition, region, account } = owner;
    let groups = format!("arn:{partition}:logs:{region}:{account}:*");
    Ok(json!({
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "logs.amazonaws.com" },
                "Action": "sts:AssumeRole",
                "Condition": { "StringLike": { "aws:SourceArn": groups } },
            }],
        },
        "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [statement("Put", &["kinesis:PutRecord"], &streams)],
        },
    }))
}

impl<'a> Owner<'a> {
    /// As far as the configuration says it; the ARN of any stream tells the partition.
    fn of(settings: &Settings, account: &'a str) -> Self {
        let arn = settings.streams.iter().find_map(|stream| stream.arn.as_deref());
        let part = |index| arn.and_then(|arn| arn.split(':').nth(index)).map(str::to_owned);
        let region = settings.aws.region.clone().or_else(|| std::env::var("AWS_REGION").ok());
        Self {
            partition: part(1).unwrap_or_else(|| "aws".to_owned()),
            region: region.or_else(|| part(3)).unwrap_or_else(|| "*".to_owned()),
            account,
        }
    }

    /// The same in another region, if one is set.
    fn of_region(&self, region: Option<&String>) -> Self {
        let region = region.unwrap_or(&self.region).clone();
        Self { region, partition: self.partition.clone(), account: self.account }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let Self { partition, region, account } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// The streams that are read.
    fn streams(&self, settings: &Settings) -> Result<Vec<String>, String> {
        let named = settings
            .streams
            .iter()
            .map(|stream| Ok(self.stream(&target(stream).map_err(|problem| problem.to_string())?)));
        named.collect()
    }

    fn stream(&self, target: &StreamTarget) -> String {
        let Self { partition, region, account } = self;
        match target {
            StreamTarget::Arn { arn, .. } => arn.clone(),
            StreamTarget::Name(name) => {
                format!("arn:{partition}:kinesis:{region}:{account}:stream/{name}")
            }
        }
    }

    fn table(&self, name: &str) -> String {
        let Self { partition, region, account } = self;
        format!("arn:{partition}:dynamodb:{region}:{account}:table/{name}")
    }
}
