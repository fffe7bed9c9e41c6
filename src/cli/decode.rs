//! `decode`: record payloads in, decoded log events out.

use std::{
    fs,
    io::{self, BufRead, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::json;

use super::{FOUND, complain, refuse};
use crate::{
    codec::{DecodeLimits, deaggregate, decode_user_record, payload, render_event},
    model::{EpochMillis, Format, RawRecord, SequenceNumber, UserRecord},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Files, one payload each: raw or base64; gzip, zlib or plain; KPL aggregate or not. `-` or
    /// none is standard input
    files: Vec<PathBuf>,
    /// Each input line is one payload in base64
    #[arg(long)]
    base64_lines: bool,
    /// Stop before the envelope: print each user record, its data in base64
    #[arg(long)]
    records: bool,
    /// Most bytes that a payload may decompress to
    #[arg(long, default_value = "64MiB")]
    max_decompressed: bytesize::ByteSize,
}

/// Counts what was seen, for the last word on standard error.
#[derive(Default)]
struct Seen {
    control: u64,
    refused: u64,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let decoder = Decoder {
        records: args.records,
        limits: DecodeLimits {
            max_decompressed: usize::try_from(args.max_decompressed.as_u64()).unwrap_or(usize::MAX),
            ..DecodeLimits::default()
        },
    };
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &stdin } else { args.files.as_slice() };
    let mut seen = Seen::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for file in files {
        let done = match args.base64_lines {
            true => lines(file, &decoder, &mut seen, &mut out),
            false => whole(file, &decoder, &mut seen, &mut out),
        };
        match done {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
            Err(error) => return refuse(format!("{}: {error}", file.display())),
        }
    }
    if out.flush().is_err() {
        return ExitCode::SUCCESS;
    }
    if seen.control > 0 {
        complain(format!("{} control messages, which hold no events", seen.control));
    }
    if seen.refused > 0 { ExitCode::from(FOUND) } else { ExitCode::SUCCESS }
}

fn whole(file: &Path, decoder: &Decoder, seen: &mut Seen, out: &mut impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    match file.as_os_str() == "-" {
        true => io::stdin().lock().read_to_end(&mut bytes)?,
        false => fs::File::open(file)?.read_to_end(&mut bytes)?,
    };
    let data = payload::record_bytes(&Bytes::from(bytes));
    decoder.payload(&file.display().to_string(), data, seen, out)
}

fn lines(file: &Path, decoder: &Decoder, seen: &mut Seen, out: &mut impl Write) -> io::Result<()> {
    let input: Box<dyn BufRead> = match file.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(io::BufReader::new(fs::File::open(file)?)),
    };
    for (number, line) in (1u64..).zip(input.split(b'\n')) {
        let line = line?;
        let name = format!("{}:{number}", file.display());
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Some(data) = payload::decode_base64(&line) else {
            seen.refused += 1;
            complain(format!("{name}: not base64"));
            continue;
        };
        decoder.payload(&name, Bytes::from(data), seen, out)?;
    }
    Ok(())
}

struct Decoder {
    records: bool,
    limits: DecodeLimits,
}

impl Decoder {
    /// Prints what one payload holds.
    fn payload(
        &self,
        name: &str,
        data: Bytes,
        seen: &mut Seen,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let members = deaggregate(&as_record(data));
        if members.unreadable > 0 {
            complain(format!(
                "{name}: {} user records of this KPL aggregate name keys that it does not hold",
                members.unreadable
            ));
            seen.refused += u64::from(!self.records);
        }
        for user in members.records {
            if self.records {
                print_record(&user, out)?;
                continue;
            }
            match decode_user_record(Format::CloudwatchLogs, &user, &self.limits) {
                Ok(decoded) => {
                    seen.control += decoded.control;
                    let mut line = Vec::new();
                    for event in &decoded.events {
                        line.clear();
                        render_event(event, &mut line);
                        line.push(b'\n');
                        out.write_all(&line)?;
                    }
                }
                Err(error) => {
                    seen.refused += 1;
                    let member = if user.aggregated {
                        format!(" (user record {})", user.position.sub_sequence)
                    } else {
                        String::new()
                    };
                    complain(format!("{name}{member}: {error}"));
                }
            }
        }
        Ok(())
    }
}

fn print_record(user: &UserRecord, out: &mut impl Write) -> io::Result<()> {
    // Written by hand for the order of the keys, which is part of the command's contract.
    let key = json!(&*user.partition_key);
    let hash = json!(user.explicit_hash_key.as_deref());
    writeln!(
        out,
        r#"{{"sub_sequence":{},"partition_key":{key},"explicit_hash_key":{hash},"aggregated":{},"data":"{}"}}"#,
        user.position.sub_sequence,
        user.aggregated,
        BASE64_STANDARD.encode(&user.data),
    )
}

/// A payload has no place in a stream; one is made up, and nothing of it is printed.
fn as_record(data: Bytes) -> RawRecord {
    let sequence: SequenceNumber = "0".parse().expect("zero is a number");
    RawRecord { sequence, partition_key: String::new(), data, arrival: EpochMillis(0) }
}
