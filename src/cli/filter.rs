//! `filter`: grep with CloudWatch Logs filter patterns.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::ExitCode,
};

use super::{USAGE, complain, refuse};
use crate::etl::filter::FilterPattern;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A CloudWatch Logs filter pattern
    #[arg(allow_hyphen_values = true)]
    pattern: String,
    /// Files to read; `-` or none is standard input
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
        Err(error) => return refuse(error.render()),
    };
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &stdin } else { args.files.as_slice() };
    let mut matched = 0u64;
    let mut out = io::stdout().lock();
    for file in files {
        match matching_lines(file, &pattern, args, &mut out) {
            Ok(count) => matched += count,
            // The reader of the pipe has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => {
                complain(format!("{}: {error}", file.display()));
                return ExitCode::from(USAGE);
            }
        }
    }
    if args.count && writeln!(out, "{matched}").is_err() {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(u8::from(matched == 0))
}

fn matching_lines(
    file: &PathBuf,
    pattern: &FilterPattern,
    args: &Args,
    out: &mut impl Write,
) -> io::Result<u64> {
    let mut input: Box<dyn BufRead> = match file.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(file)?)),
    };
    let mut matched = 0;
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = String::from_utf8_lossy(bytes);
        let hit = if args.json_lines {
            let message: String = serde_json::from_str(&text).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("line {number} is not a JSON string: {error}"),
                )
            })?;
            pattern.matches(&message)
        } else {
            pattern.matches(&text)
        };
        if hit {
            matched += 1;
            if !args.count {
                out.write_all(bytes)?;
                out.write_all(b"\n")?;
            }
        }
    }
    Ok(matched)
}
