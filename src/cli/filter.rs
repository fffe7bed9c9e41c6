//! `filter`: grep with CloudWatch Logs filter patterns.

use std::{
    io::{self, BufRead},
    path::PathBuf,
    process::ExitCode,
};

use super::{
    FOUND, USAGE,
    input::{self, Stop},
    refuse,
    talk::{Data, Unwritten},
};
use crate::etl::filter::FilterPattern;

#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 some lines match, 1 none does, 2 a bad pattern or input.")]
pub(super) struct Args {
    /// A CloudWatch Logs filter pattern
    #[arg(allow_hyphen_values = true)]
    pattern: String,
    /// Files to read; `-` or none is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Each input line is a JSON string that holds a message, for messages with line ends
    #[arg(long)]
    json_lines: bool,
    /// Print only how many lines match
    #[arg(long)]
    count: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let pattern = match FilterPattern::parse(&args.pattern) {
        Ok(pattern) => pattern,
        // The caret stands under its character only if the pattern begins a line.
        Err(error) => return refuse(format!("bad pattern:\n{}", error.render())),
    };
    let mut filter = Filter { pattern, args, matched: 0, out: Data::new() };
    let all_read = input::each(&args.files, |_, input| filter.lines(input));
    match all_read.and_then(|all_read| filter.finish().map(|()| all_read)) {
        Ok(false) => ExitCode::from(USAGE),
        Ok(true) if filter.matched == 0 => ExitCode::from(FOUND),
        Ok(true) => ExitCode::SUCCESS,
        Err(unwritten) => unwritten.exit(),
    }
}

/// Prints lines that match.
struct Filter<'a> {
    pattern: FilterPattern,
    args: &'a Args,
    matched: u64,
    out: Data,
}

impl Filter<'_> {
    fn lines(&mut self, input: &mut dyn BufRead) -> Result<(), Stop> {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
            if self.matches(bytes, number)? {
                self.matched += 1;
                self.print(bytes)?;
            }
        }
        Ok(())
    }

    fn matches(&self, line: &[u8], number: u64) -> io::Result<bool> {
        let text = String::from_utf8_lossy(line);
        if !self.args.json_lines {
            return Ok(self.pattern.matches(&text));
        }
        let message: String = serde_json::from_str(&text).map_err(|error| {
            let problem = format!("line {number} is not a JSON string: {error}");
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })?;
        Ok(self.pattern.matches(&message))
    }

    fn print(&mut self, line: &[u8]) -> Result<(), Unwritten> {
        if self.args.count {
            return Ok(());
        }
        self.out.write(line)?;
        self.out.write(b"\n")?;
        self.out.flush()
    }

    fn finish(&mut self) -> Result<(), Unwritten> {
        if self.args.count {
            self.out.write(format!("{}\n", self.matched).as_bytes())?;
        }
        self.out.flush()
    }
}
