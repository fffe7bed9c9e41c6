//! `test`: what the configured pipeline makes of captured input, without AWS and without sinks.
//!
//! `capture` reads inputs, `expectation` compares outcomes, `case` finds the two beside each other,
//! `report` says how the cases ended.

mod capture;
mod case;
mod expectation;
mod report;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::builder::NonEmptyStringValueParser;
use wildmatch::WildMatch;

use self::{
    capture::{Capture, Form, Origin},
    case::{Case, cases},
    expectation::{Came, Expectation},
    report::{Verdict, report},
};
use super::{
    ConfigArgs, FOUND,
    check::counted,
    input,
    offline::Offline,
    refuse, refuse_config,
    talk::{Data, Unwritten},
};
use crate::{
    etl::{Explainer, Explanation},
    model::EpochMillis,
};

const HELP: &str = "\
Inputs:
  *.jsonl      a line each: \"a message\", {\"message\": …} (an event as `decode` prints it; what is
               absent is filled in), {\"data\": \"<base64>\"} (a record), or a dead letter. The keys
               %stream, %shard, %sequence_number, %partition_key and %arrival place it; # is a comment
  *.txt *.log  a message each line
  others       one payload as `decode` reads it: raw or base64; gzip, zlib, plain; KPL or not

Folders hold cases: NAME.input.jsonl (or another ending) and NAME.expect.jsonl beside it, which holds
one outcome a line as printed here. Keys that it leaves out are not compared, and \"<any>\" stands for
any value. Without a PATH it is the folder `tests` beside the configuration file.

Exit codes: 0 as expected, 1 something differs or could not be read, 2 usage or configuration.";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Inputs to be explained, or folders of cases to be run; `-` is standard input
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    form: FormArgs,
    /// The stream that inputs come from; the first of the configuration by default
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The log group of messages and of events that name none
    #[arg(long, default_value = "/shardwright/test", value_parser = NonEmptyStringValueParser::new())]
    log_group: String,
    /// The log stream of messages and of events that name none
    #[arg(long, default_value = "test")]
    log_stream: String,
    /// When Kinesis took the records; by default when their last event happened, or
    /// 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    arrival: Option<EpochMillis>,
    /// Hold the outcomes against those in this file
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Write what came where something else was expected
    #[arg(long)]
    update: bool,
    /// Run only the cases of this name; `*` and `?` are wildcards
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
}

/// How inputs are read that do not say it by their names.
#[derive(clap::Args)]
#[group(multiple = false)]
struct FormArgs {
    /// Each line of the inputs is a message
    #[arg(long)]
    messages: bool,
    /// Each line of the inputs is one payload in base64
    #[arg(long)]
    base64_lines: bool,
    /// The inputs are JSON lines, whatever their names
    #[arg(long)]
    json_lines: bool,
}

impl FormArgs {
    fn form(&self) -> Option<Form> {
        match self {
            Self { messages: true, .. } => Some(Form::Messages),
            Self { base64_lines: true, .. } => Some(Form::Base64Lines),
            Self { json_lines: true, .. } => Some(Form::JsonLines),
            _ => None,
        }
    }
}

/// Why the command cannot go on.
enum Stop {
    Usage(String),
    Output(Unwritten),
}

impl From<Unwritten> for Stop {
    fn from(error: Unwritten) -> Self {
        Self::Output(error)
    }
}

pub(super) fn run(args: &Args) -> ExitCode {
    let compiled = match args.config.compile() {
        Ok(compiled) => compiled,
        Err(problems) => return refuse_config(&problems),
    };
    let offline = Offline::new(compiled);
    match Tester::new(args, &offline).and_then(|mut tester| tester.run()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FOUND),
        Err(Stop::Usage(message)) => refuse(message),
        Err(Stop::Output(unwritten)) => unwritten.exit(),
    }
}

struct Tester<'a> {
    args: &'a Args,
    capture: Capture<'a>,
    out: Data,
}

impl<'a> Tester<'a> {
    fn new(args: &'a Args, offline: &'a Offline) -> Result<Self, Stop> {
        let streams = &offline.streams;
        let stream = match &args.stream {
            Some(name) if streams.format(name).is_none() => {
                let known: Vec<&str> = streams.names().collect();
                let known = known.join(", ");
                return Err(Stop::Usage(format!(
                    "--stream: {name:?} is not in the configuration; there are: {known}"
                )));
            }
            Some(name) => name.clone(),
            None => streams.names().next().unwrap_or_default().to_owned(),
        };
        let origin = Origin {
            stream,
            log_group: args.log_group.clone(),
            log_stream: args.log_stream.clone(),
            arrival: args.arrival,
        };
        Ok(Self { args, capture: Capture { offline, origin }, out: Data::new() })
    }

    /// Answers whether all was as expected.
    fn run(&mut self) -> Result<bool, Stop> {
        let paths = self.paths()?;
        let folders = paths.iter().filter(|path| path.is_dir()).count();
        if folders == 0 {
            return self.explain(&paths);
        }
        if folders < paths.len() {
            return Err(usage("either folders of cases or inputs, not both"));
        }
        if self.args.form.form().is_some() || self.args.expect.is_some() {
            return Err(usage("a folder's cases say themselves what they hold and expect"));
        }
        self.cases(&paths)
    }

    fn paths(&self) -> Result<Vec<PathBuf>, Stop> {
        if !self.args.paths.is_empty() {
            return Ok(self.args.paths.clone());
        }
        if self.args.form.form().is_some() || self.args.expect.is_some() {
            return Ok(vec![PathBuf::from("-")]);
        }
        let folder = self.args.config.layers().base().join("tests");
        match folder.is_dir() {
            true => Ok(vec![folder]),
            false => Err(usage(format_args!(
                "name an input, or a folder of cases: there is no folder {}",
                folder.display()
            ))),
        }
    }

    /// The outcomes of one input, printed.
    fn outcomes(&self, path: &Path, content: &[u8]) -> Result<Vec<String>, String> {
        let form = self.args.form.form().unwrap_or_else(|| Form::of(path));
        let records = self.capture.records(form, content)?;
        let mut explainer = Explainer::new(&self.capture.offline.pipeline);
        let mut outcomes: Vec<Explanation> =
            records.iter().flat_map(|record| explainer.explain(record)).collect();
        outcomes.extend(explainer.finish());
        let printed = outcomes.iter().map(|outcome| {
            serde_json::to_string(outcome).map_err(|error| format!("cannot be printed: {error}"))
        });
        printed.collect()
    }

    // === Inputs by themselves ===

    fn explain(&mut self, paths: &[PathBuf]) -> Result<bool, Stop> {
        if self.args.case.is_some() {
            return Err(usage("--case chooses among the cases of a folder"));
        }
        if self.args.update && self.args.expect.is_none() {
            return Err(usage("--update needs --expect FILE, or a folder of cases"));
        }
        let mut came = Vec::new();
        for path in paths {
            let name = input::name(path);
            let read = read(path).map_err(|error| usage(format_args!("{name}: {error}")))?;
            let outcomes = self.outcomes(path, &read);
            came.extend(outcomes.map_err(|error| usage(format_args!("{name}: {error}")))?);
        }
        let Some(file) = &self.args.expect else {
            for line in &came {
                self.out.write(line.as_bytes())?;
                self.out.write(b"\n")?;
            }
            self.out.flush()?;
            return Ok(true);
        };
        let came: Vec<Came> = came.into_iter().map(Came::new).collect();
        let verdict = self.compare(file, &came);
        let name = file.display().to_string();
        Ok(report(&mut self.out, &[(name, verdict)])?)
    }

    // === Cases ===

    fn cases(&mut self, folders: &[PathBuf]) -> Result<bool, Stop> {
        let mut found = Vec::new();
        for folder in folders {
            found.extend(cases(folder).map_err(usage)?);
        }
        if let Some(wanted) = self.args.case.as_deref().map(WildMatch::new) {
            found.retain(|case| wanted.matches(&case.name));
        }
        if found.is_empty() {
            return Err(usage("there is no such case: a case is a NAME.input.jsonl in a folder"));
        }
        let mut verdicts = Vec::with_capacity(found.len());
        for case in found {
            let verdict = self.case(&case);
            verdicts.push((case.name, verdict));
        }
        Ok(report(&mut self.out, &verdicts)?)
    }

    fn case(&self, case: &Case) -> Verdict {
        let read = fs::read(&case.input).map_err(|error| error.to_string());
        match read.and_then(|content| self.outcomes(&case.input, &content)) {
            Ok(lines) => {
                self.compare(&case.expect, &lines.into_iter().map(Came::new).collect::<Vec<_>>())
            }
            Err(problem) => Verdict::Broken(format!("{}: {problem}", case.input.display())),
        }
    }

    fn compare(&self, file: &Path, came: &[Came]) -> Verdict {
        let shown = file.display();
        let (text, new) = match fs::read_to_string(file) {
            Ok(text) => (text, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), true),
            Err(error) => return Verdict::Broken(format!("{shown}: {error}")),
        };
        let expectation = match Expectation::parse(&text) {
            Ok(expectation) => expectation,
            Err(problem) => return Verdict::Broken(format!("{shown}: {problem}")),
        };
        let diff = expectation.diff(came);
        match (diff.is_empty() && !new, self.args.update) {
            (true, _) => Verdict::Ok(came.len()),
            (false, true) => match fs::write(file, expectation.update(came)) {
                Ok(()) => Verdict::Updated,
                Err(error) => Verdict::Broken(format!("{shown}: {error}")),
            },
            (false, false) if new => {
                Verdict::Broken(format!("{shown}: there is no such file; --update writes it"))
            }
            (false, false) => {
                let expected = counted(expectation.len(), "outcome");
                let came = came.len();
                Verdict::Differs(format!("{shown}: {expected} expected, {came} came\n{diff}"))
            }
        }
    }
}

fn usage(message: impl std::fmt::Display) -> Stop {
    Stop::Usage(message.to_string())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    input::open(path)?.read_to_end(&mut content)?;
    Ok(content)
}
