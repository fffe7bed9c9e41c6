//! `replay`: dead letters through the pipeline again.
//!
//! `reader` finds the letters, `select` chooses among them, `books` keeps what became of each, and
//! `done_list` remembers it for the next replay.

mod books;
mod done_list;
mod reader;
mod select;

use std::{
    convert::Infallible,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at},
};
use tracing::info;

use self::{
    books::{Books, Counts},
    done_list::DoneList,
    reader::{Place, Reader, SharedBooks, inputs},
    select::Selection,
};
use super::{
    CUT_SHORT, ConfigArgs, FOUND, block_on,
    check::counted,
    offline::{Offline, Streams},
    refuse, refuse_config,
    talk::{Data, Unwritten, complain, say},
};
use crate::{
    app::{Replay, ReplayEnd, StartError},
    config::{Compiled, LogFormat, LogSettings},
    consumer::{Letter, LetterOutcome},
    etl::{Explanation, Outcome, Stage},
    logging,
    shutdown::{Shutdown, Signals},
    sinks::private::{create_folders, open_options},
};

const HELP: &str = "\
Of a record only what failed is replayed: one event on the route that it failed on, or the whole \
record if it could not be decoded. A letter that fails again becomes one new letter, with one more \
in `attempts`. A letter is done once the sinks have what came of it; after a crash those that were \
under way are replayed again, so sinks may see an event twice.

Without --move-to or --done nothing is remembered: the same files replayed again are delivered \
again.

Exit codes: 0 all done, 1 some failed again or could not be read, 2 usage or configuration, \
3 interrupted.";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Files of dead letters, as a `file` sink writes them (plain, gzip, zstd), or folders with such
    /// files; `-` or none is standard input
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only show what would become of each letter
    #[arg(long, conflicts_with_all = ["unreadable"])]
    dry_run: bool,
    #[command(flatten)]
    selection: Selection,
    /// Move each file there of which nothing is left to do; its list of done letters is kept there
    /// too, unless --done names another
    #[arg(long, value_name = "FOLDER")]
    move_to: Option<PathBuf>,
    /// Remember in this file which letters are done, and skip those
    #[arg(long, value_name = "FILE")]
    done: Option<PathBuf>,
    /// Append lines that are no letters to this file; then they do not keep their file from being
    /// done
    #[arg(long, value_name = "FILE")]
    unreadable: Option<PathBuf>,
    /// Take events through all routes as if they were new, not only through the one they failed on
    #[arg(long)]
    all_routes: bool,
}

/// The list of done letters in the folder that files are moved to. No ending of a file of letters.
const DONE_LIST: &str = "replay.done";

/// Reasons that the summary names.
const MOST_REASONS: usize = 10;

/// Letters read ahead.
const AHEAD: usize = 64;

/// How often a long replay says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

pub(super) fn run(args: &Args) -> ExitCode {
    let compiled = match args.config.compile() {
        Ok(compiled) => compiled,
        Err(problems) => return refuse_config(&problems),
    };
    if args.dry_run {
        return dry_run(args, compiled);
    }
    if let Err(problem) = logging::start(&for_people(&compiled.settings.log), None) {
        return refuse(problem);
    }
    match block_on(replay(args, compiled)) {
        Ok(Ok(code)) => code,
        Ok(Err(problem)) => refuse(problem),
        Err(problem) => {
            complain(format!("cannot start the runtime: {problem}"));
            ExitCode::from(FOUND)
        }
    }
}

/// Log lines stand beside the summary here: text, unless the configuration wants it otherwise.
fn for_people(log: &LogSettings) -> LogSettings {
    match log.format {
        LogFormat::Auto => LogSettings { format: LogFormat::Text, ..log.clone() },
        _ => log.clone(),
    }
}

/// Why a replay cannot start.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Input(String),
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: io::Error },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ReplayError {
    move |problem| ReplayError::File { path: path.to_owned(), problem }
}

impl Args {
    fn inputs(&self) -> Result<Vec<PathBuf>, ReplayError> {
        let stdin = [PathBuf::from("-")];
        let paths = if self.paths.is_empty() { &stdin[..] } else { &self.paths };
        inputs(paths).map_err(ReplayError::Input)
    }

    /// The books, with what earlier replays were done with.
    fn books(&self) -> Result<Books, ReplayError> {
        let write = !self.dry_run;
        if let Some(folder) = self.move_to.as_deref().filter(|_| write) {
            create_folders(folder).map_err(at(folder))?;
        }
        let beside = self.move_to.as_ref().map(|folder| folder.join(DONE_LIST));
        let done = match self.done.as_ref().or(beside.as_ref()) {
            Some(path) => DoneList::open(path, write).map_err(at(path))?,
            None => DoneList::default(),
        };
        Ok(Books::new(done, self.move_to.clone().filter(|_| write)))
    }
}

// === In earnest ===

async fn replay(args: &Args, compiled: Compiled) -> Result<ExitCode, ReplayError> {
    let signals = Signals::catch().map_err(ReplayError::Signals)?;
    let streams = Streams::of(&compiled.settings);
    // Before the inputs are looked for: a file sink finishes what a crash left in its folder.
    let replay = Replay::build(compiled).await?;
    let inputs = args.inputs()?;
    let books = SharedBooks::new(Mutex::new(args.books()?));
    let unreadable = match &args.unreadable {
        Some(path) => {
            let file = open_options().append(true).create(true).open(path);
            Some(file.map_err(at(path))?)
        }
        None => None,
    };
    let (letters, taken) = mpsc::channel::<Letter>(AHEAD);
    let (pipeline, all_routes) = (replay.pipeline(), args.all_routes);
    let (selection, shared) = (args.selection.clone(), SharedBooks::clone(&books));
    // Not waited for when the replay is interrupted: it may be waiting for standard input.
    tokio::task::spawn_blocking(move || {
        let revive = |letter| pipeline.revive(letter, |name| streams.format(name), all_routes);
        let (selection, revive, books) = (&selection, &revive, &*shared);
        let mut take = |letter, _: &Place<'_>| match letters.blocking_send(letter) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        Reader { selection, revive, books, unreadable }.read(&inputs, &mut take);
    });
    let shutdown = Shutdown::default();
    let done = |number, outcome| lock(&books).done(number, &outcome);
    let end = tokio::select! { biased;
        end = replay.run(taken, done, shutdown.clone()) => end,
        never = signals.drive(shutdown.clone()) => match never {},
        never = say_progress(&books) => match never {},
    };
    let interrupted = end == ReplayEnd::Aborted || shutdown.drain.is_cancelled();
    let mut books = lock(&books);
    let problem = books.finish();
    summary(args, &books);
    if interrupted {
        let under_way = count(books.unfinished() as u64, "letter");
        say(format_args!("interrupted: {under_way} under way and what follows are not done"));
    }
    if let Some(problem) = &problem {
        complain(problem);
    }
    Ok(match (interrupted, problem.is_some() || books.counts.found_problems()) {
        (true, _) => ExitCode::from(CUT_SHORT),
        (false, true) => ExitCode::from(FOUND),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn say_progress(books: &Mutex<Books>) -> Infallible {
    let mut every = interval_at(Instant::now() + PROGRESS, PROGRESS);
    loop {
        every.tick().await;
        let Counts { delivered, filtered, again, .. } = lock(books).counts;
        let under_way = lock(books).unfinished();
        info!(delivered, filtered, again, under_way, "replaying");
    }
}

impl Counts {
    /// Whether an operator has something left to do.
    fn found_problems(&self) -> bool {
        self.again + self.unreadable + self.unfit + self.damaged > 0
    }
}

fn summary(args: &Args, books: &Books) {
    let counts = &books.counts;
    let done = counts.delivered + counts.filtered + counts.again;
    say(format_args!(
        "replayed {}: {} delivered, {} filtered, {} dead-lettered again",
        count(done, "letter"),
        counts.delivered,
        counts.filtered,
        counts.again
    ));
    for reason in books.reasons(MOST_REASONS) {
        say(format_args!("  {reason}"));
    }
    let others = [
        (counts.before, "done before"),
        (counts.repeated, "there twice"),
        (counts.unselected, "not selected"),
        (counts.unfit, "not of this configuration"),
    ];
    let others: Vec<String> = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !others.is_empty() {
        say(format_args!("further letters: {}", others.join(", ")));
    }
    if counts.limited {
        say("stopped at --limit; what follows stays");
    }
    match counts.unreadable {
        0 => {}
        1 => say("1 line is no letter"),
        many => say(format_args!("{many} lines are no letters")),
    }
    if let Some(folder) = args.move_to.as_ref().filter(|_| counts.moved > 0) {
        say(format_args!("{} moved to {}", count(counts.moved, "file"), folder.display()));
    }
    let remembered = args.move_to.is_some() || args.done.is_some() || args.dry_run;
    if !remembered && counts.delivered + counts.filtered > 0 {
        say("nothing remembers them: replayed again, they are delivered again (--move-to, --done)");
    }
}

fn count(count: u64, what: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), what)
}

// === Only shown ===

/// A line of a dry run.
#[derive(Serialize)]
struct Shown<'s> {
    letter: String,
    file: &'s str,
    line: u64,
    #[serde(flatten)]
    explanation: &'s Explanation,
}

fn dry_run(args: &Args, compiled: Compiled) -> ExitCode {
    let Offline { pipeline, streams, .. } = Offline::new(compiled);
    let prepared = args.inputs().and_then(|inputs| Ok((inputs, args.books()?)));
    let (inputs, books) = match prepared {
        Ok((inputs, books)) => (inputs, Mutex::new(books)),
        Err(problem) => return refuse(problem),
    };
    let mut out = Data::new();
    let mut stopped = None;
    let mut take = |letter: Letter, place: &Place<'_>| {
        let shown = pipeline.explain(&letter.record);
        match print(&mut out, place, &shown) {
            Ok(()) => {
                lock(&books).done(letter.number, &outcome_of(&shown));
                ControlFlow::Continue(())
            }
            Err(unwritten) => {
                stopped = Some(unwritten);
                ControlFlow::Break(())
            }
        }
    };
    let revive = |letter| pipeline.revive(letter, |name| streams.format(name), args.all_routes);
    let (selection, revive) = (&args.selection, &revive);
    Reader { selection, revive, books: &books, unreadable: None }.read(&inputs, &mut take);
    if let Some(unwritten) = stopped {
        return unwritten.exit();
    }
    let books = lock(&books);
    say("dry run, nothing was delivered; in earnest, if the sinks take it:");
    summary(args, &books);
    if books.counts.found_problems() { ExitCode::from(FOUND) } else { ExitCode::SUCCESS }
}

fn print(out: &mut Data, place: &Place<'_>, shown: &[Explanation]) -> Result<(), Unwritten> {
    for explanation in shown {
        let letter = place.id.to_string();
        let shown = Shown { letter, file: place.file, line: place.line, explanation };
        let mut line = serde_json::to_vec(&shown).unwrap_or_default();
        line.push(b'\n');
        out.write(&line)?;
    }
    out.flush()
}

/// What would become of a letter of which this is said.
fn outcome_of(shown: &[Explanation]) -> LetterOutcome {
    let dead = shown.iter().find(|one| one.outcome == Outcome::DeadLettered);
    if let Some(Explanation { stage, reason, .. }) = dead {
        let stage = stage.unwrap_or(Stage::Decode);
        return LetterOutcome::DeadLettered(stage, reason.clone().unwrap_or_default());
    }
    match shown.iter().any(|one| one.outcome == Outcome::Delivered) {
        true => LetterOutcome::Delivered,
        false => LetterOutcome::Filtered,
    }
}
