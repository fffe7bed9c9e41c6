//! `peek`: what a stream holds, read without leases.

mod cursor;
mod print;
mod source;

use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;

use self::{
    cursor::{Ends, Reading},
    print::Printer,
    source::Source,
};
use super::{
    ConfigArgs, FOUND, block_on,
    leases::destination::Destination,
    refuse,
    talk::{Unwritten, complain, say},
};
use crate::{
    etl::filter::FilterPattern,
    model::{Format, Position},
    ports::{StartAt, StreamError, SystemClock, WallClock},
    shutdown::Signals,
};

/// The forms of a position, and the exit codes.
const NOTES: &str = "\
POSITION is one of
  2026-01-31T08:00:00Z  a time: the first record that arrived then or later
  \"2h ago\"              a time before now
  TRIM_HORIZON          the oldest record kept
  LATEST                what is put from now on, with --follow or --until
  at:49…                this record of the --shard
  49…  or  49…:3        after this record of the --shard, or after its user records up to 3

Exit codes: 0 fine, 1 the stream cannot be read or a record cannot be decoded, 2 usage or
configuration.";

#[derive(clap::Args)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The stream's name or ARN; not needed with a configuration of one stream
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    stream: Option<String>,
    /// Where Kinesis answers, for emulators
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// The AWS region; the configuration and the SDK's usual sources are asked for it by default
    #[arg(long)]
    region: Option<String>,
    /// What the records hold: `cloudwatch-logs`, `json`, `text` or `bytes`. Default: as configured,
    /// else `cloudwatch-logs`
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Read this shard only; may be given several times
    #[arg(long = "shard", value_name = "SHARD")]
    shards: Vec<String>,
    /// Where to begin
    #[arg(long, value_name = "POSITION", default_value = "TRIM_HORIZON")]
    from: String,
    /// End before the first record that arrived at this time or later; else at the tip
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// Go on at the tip, until Ctrl-C
    #[arg(long, short = 'f')]
    follow: bool,
    /// Print only events whose message this CloudWatch Logs filter pattern matches
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true, conflicts_with = "records")]
    filter: Option<String>,
    /// End after so many lines
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Stop before the envelope: print each user record with its place, its data in base64
    #[arg(long)]
    records: bool,
}

fn format(text: &str) -> Result<Format, String> {
    let text = serde_json::Value::from(text);
    serde_json::from_value(text)
        .map_err(|_| "expected cloudwatch-logs, json, text or bytes".to_owned())
}

/// Why nothing more is printed.
enum Problem {
    Usage(String),
    Stream(StreamError),
    World(String),
    Output(Unwritten),
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl From<Unwritten> for Problem {
    fn from(error: Unwritten) -> Self {
        Self::Output(error)
    }
}

pub(super) fn run(args: &Args) -> ExitCode {
    let failed = |message: String| {
        complain(message);
        ExitCode::from(FOUND)
    };
    match block_on(peek(args)) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::from(FOUND),
        Ok(Err(Problem::Usage(message))) => refuse(message),
        Ok(Err(Problem::Stream(error))) => failed(error.to_string()),
        Ok(Err(Problem::World(message))) => failed(message),
        Ok(Err(Problem::Output(unwritten))) => unwritten.exit(),
        Err(error) => failed(format!("cannot start the runtime: {error}")),
    }
}

/// Prints what there is; whether all of it could be decoded.
async fn peek(args: &Args) -> Result<bool, Problem> {
    let filter = args.filter.as_deref().map(FilterPattern::parse).transpose();
    let filter =
        filter.map_err(|error| Problem::Usage(format!("bad pattern:\n{}", error.render())))?;
    let now = SystemClock.now();
    let start = Start::parse(args, now).map_err(Problem::Usage)?;
    let ends = Ends::parse(args.until.as_deref(), args.follow, now).map_err(Problem::Usage)?;
    if start.at == StartAt::Latest && ends == Ends::Tip {
        let message = "nothing comes after the tip: add --follow or --until, or another --from";
        return Err(Problem::Usage(message.to_owned()));
    }
    let source = Source::open(args).await?;
    let shards = source.shards(&args.shards).await?;
    let mut printer = Printer::new(args, filter, &source, start.done);
    let mut reading = Reading::new(&source, shards, &start.at, ends);
    let signals = Signals::catch().map_err(|error| Problem::World(error.to_string()))?;
    let interrupted = signals.first();
    tokio::pin!(interrupted);
    while !printer.is_full() {
        let page = tokio::select! { biased;
            () = &mut interrupted => break,
            page = reading.next(printer.left()) => page?,
        };
        let Some((shard, records)) = page else { break };
        printer.page(&shard, &records)?;
    }
    say(printer.summary());
    Ok(printer.all_decoded())
}

/// Where reading begins.
struct Start {
    at: StartAt,
    /// What lies up to here within the first record is not printed.
    done: Option<Position>,
}

impl Start {
    fn parse(args: &Args, now: crate::model::EpochMillis) -> Result<Self, String> {
        use crate::model::Checkpoint;
        let destination =
            Destination::parse(&args.from, now).map_err(|problem| format!("--from: {problem}"))?;
        let whole = |at| Self { at, done: None };
        let start = match destination {
            Destination::Checkpoint(Checkpoint::TrimHorizon) => {
                return Ok(whole(StartAt::TrimHorizon));
            }
            Destination::Checkpoint(Checkpoint::Latest) | Destination::Now => {
                return Ok(whole(StartAt::Latest));
            }
            Destination::Time(time) => return Ok(whole(StartAt::Timestamp(time))),
            Destination::At(sequence) => whole(StartAt::At(sequence)),
            Destination::Checkpoint(Checkpoint::After(done)) => {
                Self { at: StartAt::At(done.sequence.clone()), done: Some(done) }
            }
            Destination::Checkpoint(_) => {
                return Err("--from: there is nothing after the end of a shard".to_owned());
            }
        };
        match args.shards.len() {
            1 => Ok(start),
            _ => Err("--from: a sequence number is a place in one shard: name it with --shard"
                .to_owned()),
        }
    }
}
