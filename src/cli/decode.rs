//! `decode`: record payloads in, decoded log events out.

use std::{io::BufRead, path::PathBuf, process::ExitCode};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use bytesize::ByteSize;
use serde_json::json;

use super::{
    FOUND, USAGE,
    input::{self, Stop},
    talk::{Data, Unwritten, complain},
};
use crate::{
    codec::{DecodeLimits, deaggregate, decode_user_record, payload, render_event},
    model::{EpochMillis, Format, RawRecord, SequenceNumber, UserRecord},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Files, one payload each: raw or base64; gzip, zlib or plain; a KPL aggregate or not. `-` or
    /// none is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Each input line is one payload in base64
    #[arg(long)]
    base64_lines: bool,
    /// Stop before the envelope: print each user record, with its data in base64
    #[arg(long)]
    records: bool,
    /// The most bytes that a payload may decompress to; up to 4GiB
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = max_decompressed)]
    max_decompressed: usize,
}

fn max_decompressed(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse()?;
    if !(ByteSize::b(1)..=ByteSize::gib(4)).contains(&size) {
        return Err("expected a size from 1B to 4GiB".to_owned());
    }
    usize::try_from(size.as_u64()).map_err(|_| "too large for this machine".to_owned())
}

/// Counts what gave no events, for the last word on standard error.
#[derive(Default)]
struct Seen {
    control: u64,
    refused: u64,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let limits =
        DecodeLimits { max_decompressed: args.max_decompressed, ..DecodeLimits::default() };
    let mut decoder =
        Decoder { records: args.records, limits, seen: Seen::default(), out: Data::new() };
    let all_read = input::each(&args.files, |name, input| match args.base64_lines {
        true => decoder.lines(name, input),
        false => decoder.whole(name, input),
    });
    let all_read = match all_read {
        Ok(all_read) => all_read,
        Err(unwritten) => return unwritten.exit(),
    };
    if let Some(summary) = decoder.seen.summary() {
        complain(summary);
    }
    match decoder.seen.refused {
        _ if !all_read => ExitCode::from(USAGE),
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(FOUND),
    }
}

impl Seen {
    fn summary(&self) -> Option<String> {
        let refused = (self.refused > 0).then(|| format!("{} refused", self.refused));
        let control = match self.control {
            0 => None,
            1 => Some("1 control message, which holds no events".to_owned()),
            many => Some(format!("{many} control messages, which hold no events")),
        };
        let said: Vec<String> = refused.into_iter().chain(control).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

/// Prints what payloads hold.
struct Decoder {
    records: bool,
    limits: DecodeLimits,
    seen: Seen,
    out: Data,
}

impl Decoder {
    /// The whole input is one payload.
    fn whole(&mut self, name: &str, input: &mut dyn BufRead) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        self.payload(name, payload::record_bytes(&Bytes::from(bytes)))?;
        Ok(())
    }

    /// Each line of the input is one payload.
    fn lines(&mut self, name: &str, input: &mut dyn BufRead) -> Result<(), Stop> {
        for (number, line) in (1u64..).zip(input.split(b'\n')) {
            let line = line?;
            let name = format!("{name}:{number}");
            if line.trim_ascii().is_empty() {
                continue;
            }
            match payload::decode_base64(&line) {
                Some(data) => self.payload(&name, Bytes::from(data))?,
                None => self.refuse(&name, "not base64"),
            }
        }
        Ok(())
    }

    fn payload(&mut self, name: &str, data: Bytes) -> Result<(), Unwritten> {
        let members = deaggregate(&as_record(data));
        if members.unreadable > 0 {
            complain(format_args!(
                "{name}: {} user records of this KPL aggregate name keys that it does not hold",
                members.unreadable
            ));
            self.seen.refused += u64::from(!self.records);
        }
        for user in &members.records {
            match self.records {
                true => self.out.write(record_line(user).as_bytes())?,
                false => self.user_record(name, user)?,
            }
        }
        self.out.flush()
    }

    fn user_record(&mut self, name: &str, user: &UserRecord) -> Result<(), Unwritten> {
        let decoded = match decode_user_record(Format::CloudwatchLogs, user, &self.limits) {
            Ok(decoded) => decoded,
            Err(error) if user.aggregated => {
                let member = user.position.sub_sequence;
                self.refuse(&format!("{name} (user record {member})"), error);
                return Ok(());
            }
            Err(error) => {
                self.refuse(name, error);
                return Ok(());
            }
        };
        self.seen.control += decoded.control;
        let mut line = Vec::new();
        for event in &decoded.events {
            line.clear();
            render_event(event, &mut line);
            line.push(b'\n');
            self.out.write(&line)?;
        }
        Ok(())
    }

    fn refuse(&mut self, name: &str, reason: impl std::fmt::Display) {
        self.seen.refused += 1;
        complain(format_args!("{name}: {reason}"));
    }
}

fn record_line(user: &UserRecord) -> String {
    // Written by hand for the order of the keys, which is part of the command's contract.
    let key = json!(&*user.partition_key);
    let hash = json!(user.explicit_hash_key.as_deref());
    format!(
        "{{\"sub_sequence\":{},\"partition_key\":{key},\"explicit_hash_key\":{hash},\"aggregated\":{},\"data\":\"{}\"}}\n",
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
