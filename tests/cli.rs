//! The command line as a contract: what scripts see of the program.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::Value;
use shardwright::{
    codec::{KplRecord, aggregate, control_envelope, gzip},
    model::EpochMillis,
};
use tempfile::TempDir;

// === Running the program ===

/// What a script sees.
#[derive(Debug)]
struct Seen {
    code: i32,
    out: String,
    err: String,
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardwright"));
    command.args(args).stdin(Stdio::null()).env_remove("SHARDWRIGHT_CONFIG");
    command
}

fn seen(output: Output) -> Seen {
    Seen {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(args: &[&str]) -> Seen {
    seen(program(args).output().unwrap())
}

fn run_with(args: &[&str], stdin: &[u8]) -> Seen {
    let mut command = program(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    seen(child.wait_with_output().unwrap())
}

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let (_, writer) = io::pipe().unwrap();
    writer.into()
}

/// A disk without room.
#[cfg(target_os = "linux")]
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

// === Fixtures ===

const ENVELOPE: &str = r#"{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/app/web","logStream":"i-1","subscriptionFilters":["all"],"logEvents":[{"id":"e1","timestamp":1700000000000,"message":"first"},{"id":"e2","timestamp":1700000000001,"message":"Grüße\n\tand a tab"}]}"#;
const EVENTS: &str = concat!(
    r#"{"owner":"123456789012","logGroup":"/app/web","logStream":"i-1","subscriptionFilters":["all"],"id":"e1","timestamp":1700000000000,"message":"first"}"#,
    "\n",
    r#"{"owner":"123456789012","logGroup":"/app/web","logStream":"i-1","subscriptionFilters":["all"],"id":"e2","timestamp":1700000000001,"message":"Grüße\n\tand a tab"}"#,
    "\n",
);

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn base64(data: &[u8]) -> Vec<u8> {
    BASE64_STANDARD.encode(data).into_bytes()
}

/// A KPL aggregate of these payloads; the second forces its hash key.
fn kpl(payloads: &[&[u8]]) -> Bytes {
    let records = (0..).zip(payloads).map(|(index, payload)| KplRecord {
        partition_key: format!("key \"{index}\""),
        explicit_hash_key: (index == 1).then(|| "17".to_owned()),
        data: Bytes::copy_from_slice(payload),
    });
    aggregate(&records.collect::<Vec<_>>())
}

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

// === decode ===

#[test]
fn decode_finds_the_events_under_every_wrapping() {
    let dir = Dir::new();
    let (gzip, zlib) = (gzip(ENVELOPE.as_bytes()), zlib(ENVELOPE.as_bytes()));
    let kpl = kpl(&[&gzip]);
    for payload in [&*gzip, &zlib, ENVELOPE.as_bytes(), &kpl] {
        let text = base64(payload);
        let file = dir.file("raw", payload);
        let text_file = dir.file("base64", &text);
        for got in [
            run(&["decode", &file]),
            run(&["decode", &text_file]),
            run(&["decode", "--base64-lines", &text_file]),
            run_with(&["decode"], payload),
            run_with(&["decode", "-"], payload),
            run_with(&["decode"], &text),
            run_with(&["decode", "--base64-lines"], &text),
        ] {
            assert_eq!((got.code, &*got.out, &*got.err), (0, EVENTS, ""));
        }
    }
}

#[test]
fn a_refused_payload_prints_no_event_and_says_why() {
    let good = gzip(ENVELOPE.as_bytes());
    let mut torn = good.clone();
    torn.truncate(good.len() - 9);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let not_events = ENVELOPE.replace(r#""message":"first""#, r#""message":7"#);
    let check = |payload: &[u8], reason: &str| {
        let got = run_with(&["decode", "--max-decompressed", "1KiB"], payload);
        assert_eq!((got.code, &*got.out), (1, ""), "{got:?}");
        assert!(got.err.starts_with(&format!("shardwright: stdin: {reason}")), "{got:?}");
        assert!(got.err.ends_with("shardwright: 1 refused\n"), "{got:?}");
    };
    check(b"", "the record is empty");
    check(&gzip(b""), "the record is empty");
    check(&torn, "compressed data ends early");
    check(&damaged, "gzip length does not match the data");
    check(&gzip(&[b' '; 2000]), "decompressed data is larger than 1024 bytes");
    check(b"{\"a\":\"\xff\"}", "not utf-8 from byte 6 on");
    check(b"hello", "document 1: not json");
    check(b"{}", "document 1: messageType is missing");
    check(br#"{"messageType":"OTHER"}"#, "document 1: unknown messageType \"OTHER\"");
    check(br#"{"messageType":"DATA_MESSAGE"}"#, "document 1: logEvents is missing");
    check(not_events.as_bytes(), "document 1: ");
    // The second document is wrong, so the events of the first are not printed either.
    check(format!("{ENVELOPE}{{}}").as_bytes(), "document 2: messageType is missing");
}

#[test]
fn a_refused_line_or_user_record_leaves_the_others() {
    let good = gzip(ENVELOPE.as_bytes());
    let text = String::from_utf8(base64(&good)).unwrap();
    let got = run_with(
        &["decode", "--base64-lines"],
        format!("{text}\n*\n\n{text}\r\naGVsbG8=\n").as_bytes(),
    );
    assert_eq!((got.code, got.out), (1, EVENTS.repeat(2)));
    let said: Vec<&str> = got.err.lines().collect();
    assert_eq!(said[0], "shardwright: stdin:2: not base64");
    assert!(said[1].starts_with("shardwright: stdin:5: document 1: not json"), "{said:?}");
    assert_eq!(said[2..], ["shardwright: 2 refused"]);

    let got = run_with(&["decode"], &kpl(&[&good, b"hello", &good]));
    assert_eq!((got.code, got.out), (1, EVENTS.repeat(2)));
    assert!(got.err.starts_with("shardwright: stdin (user record 1): document 1"), "{}", got.err);
}

#[test]
fn control_messages_are_counted_and_hold_no_events() {
    let control = control_envelope(EpochMillis(1_700_000_000_000));
    let got = run_with(&["decode"], &control);
    let one = "shardwright: 1 control message, which holds no events\n";
    assert_eq!((got.code, &*got.out, &*got.err), (0, "", one));

    let lines = [base64(&control), base64(ENVELOPE.as_bytes()), base64(&control)].join(&b'\n');
    let got = run_with(&["decode", "--base64-lines"], &lines);
    let two = "shardwright: 2 control messages, which hold no events\n";
    assert_eq!((got.code, &*got.out, &*got.err), (0, EVENTS, two));

    let got = run_with(&["decode", "--base64-lines"], &[&lines, &b"\n*"[..]].concat());
    assert_eq!((got.code, &*got.out), (1, EVENTS));
    let both = "shardwright: 1 refused; 2 control messages, which hold no events\n";
    assert!(got.err.ends_with(both), "{}", got.err);
}

#[test]
fn decode_records_prints_user_records() {
    let expect = concat!(
        r#"{"sub_sequence":0,"partition_key":"key \"0\"","explicit_hash_key":null,"aggregated":true,"data":"YQ=="}"#,
        "\n",
        r#"{"sub_sequence":1,"partition_key":"key \"1\"","explicit_hash_key":"17","aggregated":true,"data":""}"#,
        "\n",
    );
    let kpl = kpl(&[b"a", b""]);
    for payload in [kpl.to_vec(), base64(&kpl)] {
        let got = run_with(&["decode", "--records"], &payload);
        assert_eq!((got.code, &*got.out, &*got.err), (0, expect, ""));
    }
    // Not an aggregate: one user record, as it is. It is not looked into, so nothing is refused.
    let got = run_with(&["decode", "--records"], b"hello");
    let line: Value = serde_json::from_str(&got.out).unwrap();
    assert_eq!(
        (got.code, &line["aggregated"], &line["data"]),
        (0, &false.into(), &"aGVsbG8=".into())
    );
}

#[test]
fn decode_goes_on_after_a_file_that_cannot_be_read() {
    let dir = Dir::new();
    let (good, bad) = (dir.file("good", ENVELOPE.as_bytes()), dir.file("bad", b"hello"));
    let missing = dir.path("missing").to_str().unwrap().to_owned();
    let folder = dir.0.path().to_str().unwrap();
    let check = |files: &[&str], code: i32, events: usize| {
        let got = run(&[&["decode"], files].concat());
        assert_eq!((got.code, got.out), (code, EVENTS.repeat(events)), "{}", got.err);
        got.err
    };
    let said = check(&[&missing, &good, &good], 2, 2);
    assert!(said.starts_with(&format!("shardwright: {missing}: No such file")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    check(&[folder, &good], 2, 1);
    check(&[&good, &bad], 1, 1);
    check(&[&bad, &missing, &good], 2, 1);
    check(&[&good, &good], 0, 2);
}

// === filter ===

const LINES: &str = "ERROR one\r\nINFO two\n\nERROR three \u{e9}";

#[test]
fn filter_prints_matching_lines_as_they_came() {
    let dir = Dir::new();
    let (file, missing) = (dir.file("log", LINES.as_bytes()), dir.path("missing"));
    let missing = missing.to_str().unwrap();
    let check = |args: &[&str], code: i32, out: &str| {
        let got = run_with(&[&["filter"], args].concat(), LINES.as_bytes());
        assert_eq!((got.code, &*got.out), (code, out), "{args:?}: {}", got.err);
        assert_eq!(got.err.is_empty(), code < 2, "{args:?}: {}", got.err);
    };
    let errors = "ERROR one\r\nERROR three \u{e9}\n";
    check(&["ERROR"], 0, errors);
    check(&["ERROR", "-"], 0, errors);
    check(&["ERROR", &file], 0, errors);
    check(&["ERROR", &file, &file], 0, &errors.repeat(2));
    check(&["-ERROR -two", &file], 0, "\n");
    check(&["", &file], 0, &format!("{LINES}\n"));
    check(&["FATAL", &file], 1, "");
    check(&["--count", "ERROR", &file], 0, "2\n");
    check(&["--count", "FATAL", &file], 1, "0\n");
    check(&["ERROR", missing, &file], 2, errors);
}

#[test]
fn filter_reads_messages_with_line_ends_as_json_strings() {
    let lines = "\"START\\nstep\"\n\"other\"\n  \"START\\nend\" \n";
    let got = run_with(&["filter", "--json-lines", "START step"], lines.as_bytes());
    assert_eq!((got.code, &*got.out, &*got.err), (0, "\"START\\nstep\"\n", ""));
    let got = run_with(&["filter", "--json-lines", "--count", "START"], lines.as_bytes());
    assert_eq!((got.code, &*got.out, &*got.err), (0, "2\n", ""));
    let got = run_with(&["filter", "--json-lines", "START"], b"\"START\"\nSTART\n");
    assert_eq!((got.code, &*got.out), (2, "\"START\"\n"));
    assert!(got.err.starts_with("shardwright: stdin: line 2 is not a JSON string"), "{}", got.err);
}

#[test]
fn a_bad_pattern_shows_where() {
    for pattern in ["{ $.a = }", "[a, b", "ERROR \"open", "{ $.größe ! 1 }"] {
        let got = run_with(&["filter", pattern], b"ERROR\n");
        assert_eq!((got.code, &*got.out), (2, ""), "{got:?}");
        let said: Vec<&str> = got.err.lines().collect();
        let [head, shown, caret] = said[..] else { panic!("three lines: {said:?}") };
        assert_eq!((head, shown), ("shardwright: bad pattern:", pattern));
        let (column, message) = caret.split_once('^').unwrap();
        assert!(column.chars().all(|space| space == ' '), "{caret:?}");
        let named = format!(" column {}: ", column.len() + 1);
        assert!(message.starts_with(&named), "the caret stands where the text says: {caret:?}");
    }
}

// === healthcheck ===

const CONFIG: &str = r#"
application = "orders"
[[streams]]
name = "orders"
format = "cloudwatch-logs"
[[routes]]
name = "all"
sink = "out"
[sinks.out]
type = "stdout"
[sinks.parked]
type = "file"
path = "parked"
[dead_letter]
sink = "parked"
"#;

/// Answers one request, then hangs up, or waits until the client does; its address.
fn answer_once(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        stream.write_all(answer.as_bytes()).unwrap();
        if !answer.contains("connection: close") {
            assert_eq!(reader.read_line(&mut line).unwrap(), 0);
        }
    });
    address
}

#[test]
fn healthcheck_asks_the_admin_port() {
    let dir = Dir::new();
    let check = |address: &str, args: &[&str], code: i32, said: &str| {
        let text = format!("{CONFIG}[admin]\nlisten = \"{address}\"\n");
        let config = dir.file("shardwright.toml", text.as_bytes());
        let got = run(&[&["healthcheck", "-c", &config], args].concat());
        assert_eq!((got.code, &*got.out), (code, ""), "{got:?}");
        assert!(got.err.contains(said), "{got:?}");
        assert_eq!(got.err.lines().count(), 1, "{got:?}");
    };
    let fine = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nalive\n";
    let not = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\ndraining\n";
    let closes = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nalive\n";
    check(&answer_once(fine), &[], 0, "alive");
    check(&answer_once(closes), &[], 0, "alive");
    let address = answer_once(not);
    check(&address, &["--ready"], 1, &format!("http://{address}/readyz: 503"));
    check(&answer_once(not), &["--ready"], 1, "draining");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    check(&nobody, &[], 1, &format!("http://{nobody}/livez: "));
    check(&nobody, &[], 1, "is the daemon running");
    check(&answer_once("connection: close\r\n"), &[], 1, "invalid HTTP version");
    let off = dir.file("off.toml", format!("{CONFIG}[admin]\nenabled = false\n").as_bytes());
    let got = run(&["healthcheck", "-c", &off]);
    assert_eq!(got.code, 2);
    assert!(got.err.contains("admin.enabled is false"), "{got:?}");
}

#[test]
fn check_online_asks_the_sinks_and_says_which_one_is_down() {
    let dir = TempDir::new().unwrap();
    // Bound and closed again: nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = |url: &str| {
        let out = dir.path().join("out");
        let text = format!(
            "application = \"orders\"\n[aws]\nendpoint_url = \"http://{nobody}\"\n\
             [[streams]]\nname = \"s\"\n[[routes]]\nname = \"all\"\nsink = \"web\"\n\
             [sinks.web]\ntype = \"http\"\nurl = \"{url}\"\n\
             [sinks.parked]\ntype = \"file\"\npath = \"{}\"\n[dead_letter]\nsink = \"parked\"\n",
            out.display()
        );
        let file = dir.path().join("shardwright.toml");
        fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let down = config(&format!("http://{nobody}/in"));
    assert_eq!(run(&["check", "-c", &down]).code, 0, "without --online nobody is asked");
    // Of AWS only that it cannot be asked: `tests/operations/doctor.rs` has the rest.
    let online = |config: &str| {
        let mut command = program(&["check", "--online", "-c", config]);
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
        let got = seen(command.output().unwrap());
        assert_eq!(got.code, 1, "{got:?}");
        assert!(got.out.contains("problem  identity: "), "{got:?}");
        got
    };
    let got = online(&down);
    assert!(got.out.contains("ok       sinks.parked: could take events now (file)"), "{got:?}");
    assert!(got.out.contains(&format!("problem  sinks.web: HEAD http://{nobody}/in: ")), "{got:?}");
    assert!(got.err.contains("2 problems, 0 warnings"), "{got:?}");

    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let up = config(&format!("http://{}/in", server.local_addr().unwrap()));
    let answer = thread::spawn(move || {
        let (mut socket, _) = server.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&socket).read_line(&mut line).unwrap();
        socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        line
    });
    let got = online(&up);
    assert!(got.out.contains("ok       sinks.web: could take events now (http)"), "{got:?}");
    assert_eq!(answer.join().unwrap(), "HEAD /in HTTP/1.1\r\n");
    let parked = dir.path().join("out");
    assert_eq!(fs::read_dir(parked).unwrap().count(), 0, "a check leaves no file");
}

#[test]
fn check_warns_of_routes_that_never_match() {
    let dir = Dir::new();
    let late = "[[routes]]\nname = \"late\"\nfilter = \"x\"\nsink = \"out\"\n";
    let config = dir.file("shardwright.toml", format!("{CONFIG}{late}").as_bytes());
    let got = run(&["check", "-c", &config]);
    assert_eq!(got.code, 0, "{got:?}");
    assert!(got.err.contains("warning: ") && got.err.contains("routes[1]: never takes"), "{got:?}");
}

// === Usage ===

#[test]
fn values_out_of_range_are_usage_errors() {
    let check = |args: &[&str], named: &str| {
        let got = run(args);
        assert_eq!((got.code, &*got.out), (2, ""), "{got:?}");
        assert!(got.err.contains(named), "{got:?}");
    };
    let year = "31536001";
    check(&["produce", "--stream", "s", "--seconds", "18446744073709551615"], "--seconds");
    check(&["produce", "--stream", "s", "--seconds", year], "--seconds");
    check(&["produce", "--stream", "s", "--lines", "0"], "--lines");
    check(&["produce", "--stream", ""], "--stream");
    check(&["produce", "--stream", "s", "--rate=-1"], "--rate");
    check(&["decode", "--max-decompressed", "5GiB"], "from 1B to 4GiB");
    check(&["decode", "--max-decompressed", "0"], "from 1B to 4GiB");
    check(&["decode", "--max-decompressed", "99999999999999999999PiB"], "--max-decompressed");
    check(&["decode", "--max-decompressed", "many"], "--max-decompressed");
    check(&["demo", "--seconds", "0"], "--seconds");
    check(&["demo", "--kinesis-port", "4567"], "--serve");
    check(&["nonsense"], "nonsense");
}

#[test]
fn help_names_the_exit_codes_and_the_environment() {
    let got = run(&["--help"]);
    assert_eq!((got.code, &*got.err), (0, ""));
    for part in ["Exit codes:", "\n  3  ", "SHARDWRIGHT_CONFIG", "SHARDWRIGHT__"] {
        assert!(got.out.contains(part), "{part}: {}", got.out);
    }
    for command in ["run", "decode", "filter", "check", "config", "produce", "healthcheck"] {
        assert_eq!(run(&["help", command]).code, 0, "{command}");
    }
}

// === Pipes and disks ===

#[test]
fn talk_that_nobody_hears_changes_nothing() {
    let dir = Dir::new();
    let bad = dir.file("bad.toml", b"nonsense = 1\n");
    let check = |args: &[&str], code: i32| {
        for stderr in [
            closed(),
            #[cfg(target_os = "linux")]
            full(),
        ] {
            let mut child = program(args).stderr(stderr).stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(b"*\n").unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
        }
    };
    check(&["decode", "--base64-lines"], 1);
    check(&["decode", "missing"], 2);
    check(&["filter", "[a"], 2);
    check(&["check", "-c", &bad], 2);
    check(&["config", "-c", &bad], 2);
    check(&["run", "-c", &bad], 2);
    check(&["healthcheck", "-c", &bad], 2);
    check(&["produce", "--stream", "s", "--region", "r"], 2);
    check(&["nonsense"], 2);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let dir = Dir::new();
    let (payload, log) = (dir.file("p", ENVELOPE.as_bytes()), dir.file("l", LINES.as_bytes()));
    for args in [
        &["decode", &payload][..],
        &["decode", "--records", &payload],
        &["filter", "ERROR", &log],
        &["filter", "--count", "ERROR", &log],
        &["--help"],
    ] {
        let got = seen(program(args).stdout(closed()).output().unwrap());
        assert_eq!((got.code, &*got.err), (0, ""), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_exits_with_1() {
    let dir = Dir::new();
    let (payload, log) = (dir.file("p", ENVELOPE.as_bytes()), dir.file("l", LINES.as_bytes()));
    for args in [
        &["decode", &payload][..],
        &["decode", "--records", &payload],
        &["filter", "ERROR", &log],
        &["filter", "--count", "ERROR", &log],
        #[cfg(feature = "embedded")]
        &["demo", "--serve"],
    ] {
        let child = program(args).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let got = seen(child.wait_with_output().unwrap());
        assert_eq!(got.code, 1, "{args:?}: {got:?}");
        assert!(got.err.starts_with("shardwright: standard output: No space left"), "{got:?}");
    }
}

// === demo ===

#[cfg(feature = "embedded")]
#[test]
fn the_demo_accounts_for_every_event_though_nobody_listens() {
    let dir = Dir::new();
    let out = dir.path("out");
    let args = ["demo", "--seconds", "2", "--seed", "1", "--out", out.to_str().unwrap()];
    let got = seen(program(&args).stderr(closed()).output().unwrap());
    assert_eq!(got.code, 0, "{got:?}");
    assert!(got.out.ends_with("every event has exactly one outcome\n"), "{got:?}");
    assert!(got.out.contains("(on purpose: "), "{got:?}");

    let run = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let log = fs::read_to_string(run.join("workers.log")).unwrap();
    assert!(log.contains("shardwright"), "{log}");
    assert!(!log.contains("dynoxide"), "the emulator's warnings are not the workers'");
}

#[cfg(feature = "embedded")]
#[cfg(unix)]
#[test]
fn an_interrupted_demo_says_so_once_and_is_still_sound() {
    let dir = Dir::new();
    let out = dir.path("out");
    let args = ["demo", "--seconds", "600", "--seed", "2", "--out", out.to_str().unwrap()];
    let mut command = program(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    // The empty line after the endpoints and files: the signals have been caught by then.
    let mut line = String::new();
    while err.read_line(&mut line).unwrap() > 1 {
        line.clear();
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let said: Vec<String> = err.lines().map(Result::unwrap).collect();
    let got = seen(child.wait_with_output().unwrap());
    // So early there may be nothing that was put, which is not sound either.
    assert!(got.code < 2, "{got:?} {said:?}");
    assert!(got.out.contains("records put"), "{got:?}");
    let ends: Vec<&String> =
        said.iter().filter(|line| line.contains("the workers finish")).collect();
    assert!(matches!(ends[..], [end] if end.contains("interrupted")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("last record")), "{said:?}");
}
