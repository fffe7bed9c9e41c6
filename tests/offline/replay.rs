//! `replay`.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use shardwright::codec::gzip;

use crate::program::{Dir, Seen, names, program, run, run_with, seen};

/// A pipeline whose `orders` must be JSON with a `total`, and whose `copies` take everything.
const CONFIG: &str = r#"
application = "orders"
[shutdown]
drain_timeout = "100ms"
[[streams]]
name = "logs"
[[routes]]
name = "copies"
also = true
sink = "copies"
[[routes]]
name = "orders"
filter = "total"
validate = "order.json"
sink = "out"
[sinks.out]
type = "file"
path = "DIR/out"
[sinks.copies]
type = "file"
path = "DIR/copies"
[sinks.parked]
type = "file"
path = "DIR/parked"
[dead_letter]
sink = "parked"
"#;

struct Bench {
    dir: Dir,
    config: String,
}

impl Bench {
    fn new() -> Self {
        let dir = Dir::new();
        dir.file("order.json", r#"{"required":["total"]}"#);
        let text = CONFIG.replace("DIR", dir.path("").to_str().unwrap().trim_end_matches('/'));
        let config = dir.file("shardwright.toml", text);
        Self { dir, config }
    }

    fn replay(&self, args: &[&str]) -> Seen {
        run(&[&["replay", "-c", &self.config], args].concat())
    }

    /// What a sink has, in order.
    fn lines(&self, sink: &str) -> Vec<Value> {
        let text = content(&self.dir.path(sink));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn messages(&self, sink: &str) -> Vec<String> {
        let message = |line: &Value| line["message"].as_str().unwrap().to_owned();
        self.lines(sink).iter().map(message).collect()
    }

    /// The dead letters: of which message, and how often they failed.
    fn parked(&self) -> Vec<(String, u64)> {
        let letter = |line: &Value| {
            let message = line["event"]["message"].as_str().unwrap_or("a record").to_owned();
            (message, line["attempts"].as_u64().unwrap())
        };
        self.lines("parked").iter().map(letter).collect()
    }
}

/// What the finished files of a folder hold.
fn content(folder: &Path) -> String {
    let files = names(folder).into_iter().map(|name| folder.join(name));
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    files.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// A letter of an event that failed on the route `orders`.
fn letter(sequence: u32, message: &str) -> Value {
    json!({
        "version": 1, "stream": "logs", "shard": "shardId-000000000000",
        "sequence_number": sequence.to_string(), "sub_sequence_number": 0, "event_index": 0,
        "partition_key": "k", "arrival": "2026-01-31T08:00:00.000Z", "stage": "validate",
        "reason": "/total: too secret", "route": "orders", "configuration": "c0ffee",
        "attempts": 1,
        "event": {"owner": "1", "logGroup": "/app", "logStream": "s", "subscriptionFilters": [],
                  "id": "7", "timestamp": 1_700_000_000_000i64, "message": message},
    })
}

fn good(sequence: u32) -> Value {
    letter(sequence, &format!("{{\"total\":{sequence}}}"))
}

fn with(mut letter: Value, changes: &Value) -> Value {
    letter.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    letter
}

fn text(letters: &[Value]) -> String {
    let lines: Vec<String> = letters.iter().map(|letter| format!("{letter}\n")).collect();
    lines.concat()
}

fn zstd(data: &str) -> Vec<u8> {
    zstd::stream::encode_all(data.as_bytes(), 0).unwrap()
}

#[test]
fn files_of_every_kind_are_replayed() {
    let bench = Bench::new();
    let dir = &bench.dir;
    dir.file("in/a.jsonl", text(&[good(1), good(2)]));
    let two = [gzip(text(&[good(3)]).as_bytes()), gzip(text(&[good(4)]).as_bytes())].concat();
    dir.file("in/b.jsonl.gz", two);
    dir.file("in/c.jsonl.zst", zstd(&text(&[good(5)])));
    let half = good(7).to_string();
    dir.file("in/d.jsonl.open", text(&[good(6)]) + half.get(..40).unwrap());
    dir.file("in/notes.txt", "none of this");
    let folder = dir.text("in");
    let seen = bench.replay(&[&folder]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert_eq!(seen.out, "");
    assert!(seen.err.contains("d.jsonl.open: ends in half a batch"), "{seen:?}");
    assert!(
        seen.err.contains("replayed 6 letters: 6 delivered, 0 filtered, 0 dead-lettered again")
    );
    assert!(seen.err.contains("nothing remembers them"), "{seen:?}");
    let expect: Vec<String> = (1..=6).map(|number| format!("{{\"total\":{number}}}")).collect();
    assert_eq!(bench.messages("out"), expect);
    assert_eq!(names(&dir.path("copies")), [""; 0], "only the route that failed");
    assert_eq!(names(&dir.path("in")).len(), 5, "the files are where they were");

    let one = dir.text("in/a.jsonl");
    let stdin = run_with(&["replay", "-c", &bench.config], text(&[good(9)]).as_bytes());
    assert_eq!((stdin.code, bench.messages("out").len()), (0, 7), "{stdin:?}");
    let twice = bench.replay(&[&one, &folder, &one]);
    assert!(twice.err.contains("replayed 6 letters"), "each file once: {twice:?}");
}

#[test]
fn a_letter_that_fails_again_is_one_letter_with_its_history() {
    let bench = Bench::new();
    let first = bench.dir.file("in.jsonl", text(&[letter(1, "total: none"), good(2)]));
    let seen = bench.replay(&[&first, "--move-to", &bench.dir.text("replayed")]);
    assert_eq!(seen.code, 1, "{seen:?}");
    let summary = "replayed 2 letters: 1 delivered, 0 filtered, 1 dead-lettered again\n  1 × validate: the message is not JSON";
    assert!(seen.err.contains(summary), "{seen:?}");
    for attempts in 2..5 {
        assert_eq!(bench.parked(), [("total: none".to_owned(), attempts)]);
        let folder = bench.dir.text("parked");
        let seen = bench.replay(&[&folder, "--move-to", &bench.dir.text("replayed")]);
        assert!(seen.err.contains("replayed 1 letter: 0 delivered"), "{seen:?}");
    }
    let last = &bench.lines("parked")[0];
    assert_eq!(last["first_failure"]["reason"], "/total: too secret");
    assert_eq!(last["first_failure"]["configuration"], "c0ffee");
    assert!(last["reason"].as_str().unwrap().starts_with("the message is not JSON"), "{last}");
    for key in [
        "stream",
        "shard",
        "sequence_number",
        "sub_sequence_number",
        "event_index",
        "arrival",
        "partition_key",
        "route",
        "event",
    ] {
        assert_eq!(last[key], letter(1, "total: none")[key], "{key}");
    }
    assert_eq!(bench.messages("out").len(), 1);
}

#[test]
fn what_is_done_is_not_replayed_again() {
    let bench = Bench::new();
    let dir = &bench.dir;
    let bad = letter(3, "total: none");
    dir.file("in/a.jsonl", text(&[good(1), bad.clone()]));
    dir.file("in/b.jsonl", text(&[good(2)]) + "no letter\n" + &text(&[good(1)]));
    let (folder, moved) = (dir.text("in"), dir.text("replayed"));
    let args = [&*folder, "--move-to", &*moved];

    let first = bench.replay(&args);
    assert_eq!(first.code, 1, "{first:?}");
    assert!(first.err.contains("b.jsonl:2: not a dead letter: not JSON (column 2)"), "{first:?}");
    assert!(first.err.contains("b.jsonl: stays, 1 line in it not done"), "{first:?}");
    assert!(first.err.contains("further letters: 1 there twice"), "{first:?}");
    assert!(first.err.contains(&format!("1 file moved to {moved}")), "{first:?}");
    assert_eq!(names(&dir.path("in")), ["b.jsonl"]);
    assert_eq!(names(&dir.path("replayed")), ["a.jsonl", "replay.done"]);

    let second = bench.replay(&[&args[..], &["--unreadable", &dir.text("bad")]].concat());
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("replayed 0 letters"), "{second:?}");
    assert!(second.err.contains("further letters: 2 done before"), "{second:?}");
    assert_eq!(dir.read("bad"), "no letter\n");
    assert_eq!(names(&dir.path("in")), [""; 0]);
    assert_eq!(names(&dir.path("replayed")), ["a.jsonl", "b.jsonl", "replay.done"]);

    // The files that were moved, by themselves, with the list of what is done.
    let third = bench.replay(&[&moved, "--done", &dir.text("replayed/replay.done")]);
    assert_eq!(third.code, 1, "{third:?}");
    assert!(third.err.contains("replayed 0 letters"), "{third:?}");
    assert_eq!(bench.messages("out"), ["{\"total\":1}", "{\"total\":2}"]);
    assert_eq!(bench.parked(), [("total: none".to_owned(), 2)]);

    // A file of that name is there already: nothing is overwritten.
    dir.file("in/a.jsonl", text(&[good(8)]));
    let name = bench.replay(&args);
    assert_eq!(name.code, 1, "{name:?}");
    assert!(
        name.err.contains("a.jsonl: cannot be moved: ") && name.err.contains("is there already")
    );
    assert_eq!(dir.read("replayed/a.jsonl"), text(&[good(1), bad]));
}

#[test]
fn a_replay_may_come_in_parts() {
    let bench = Bench::new();
    let all: Vec<Value> = (1..=5).map(good).collect();
    let input = bench.dir.file("in.jsonl", text(&all));
    let (done, moved) = (bench.dir.text("done"), bench.dir.text("replayed"));
    let args = [&*input, "--done", &*done, "--move-to", &*moved, "--limit", "2"];
    for (count, before) in [(2, 0), (4, 2), (5, 4)] {
        let seen = bench.replay(&args);
        assert_eq!(seen.code, 0, "{seen:?}");
        assert_eq!(bench.messages("out").len(), count);
        assert_eq!(seen.err.contains("stopped at --limit"), count < 5, "{seen:?}");
        assert_eq!(seen.err.contains(&format!("{before} done before")), before > 0, "{seen:?}");
    }
    assert_eq!(names(&bench.dir.path("replayed")), ["in.jsonl"]);
    assert_eq!(bench.dir.read("done").lines().count(), 5);
}

#[test]
fn letters_are_chosen_by_what_they_say() {
    let check = |args: &[&str], expect: &[&str]| {
        let bench = Bench::new();
        let letters = [
            with(good(1), &json!({"arrival": "2026-01-30T08:00:00.000Z"})),
            with(good(2), &json!({"stage": "transform", "reason": "other"})),
            with(good(3), &json!({"route": "copies"})),
        ];
        let input = bench.dir.file("in.jsonl", text(&letters));
        let moved = bench.dir.text("replayed");
        let seen = bench.replay(&[&[&*input, "--move-to", &*moved], args].concat());
        assert_eq!(seen.code, 0, "{seen:?}");
        let found = [bench.messages("out"), bench.messages("copies")].concat();
        let expect: Vec<String> = expect.iter().map(|n| format!("{{\"total\":{n}}}")).collect();
        assert_eq!(found, expect, "{args:?}");
        let left = 3 - expect.len();
        assert_eq!(seen.err.contains(&format!("{left} not selected")), left > 0, "{seen:?}");
        assert_eq!(bench.dir.path("in.jsonl").exists(), left > 0);
    };
    check(&[], &["1", "2", "3"]);
    check(&["--stage", "transform"], &["2"]);
    check(&["--reason", "too secret"], &["1", "3"]);
    check(&["--route", "copies"], &["3"]);
    check(&["--until", "2026-01-31T00:00:00Z"], &["1"]);
    check(&["--since", "2026-01-31T08:00:00Z", "--stage", "validate"], &["3"]);
}

#[test]
fn a_dry_run_says_what_would_become_of_each_letter_and_does_nothing() {
    let bench = Bench::new();
    let record = json!({
        "version": 1, "stream": "logs", "shard": "s", "sequence_number": "9",
        "sub_sequence_number": 2, "partition_key": "k", "arrival": "2026-01-31T08:00:00.000Z",
        "stage": "decode", "reason": "r", "configuration": "c", "attempts": 3,
        "data": BASE64_STANDARD.encode(b"{"),
    });
    let letters = [good(1), letter(2, "total: none"), letter(3, "none"), record];
    let input = bench.dir.file("in.jsonl", text(&letters));
    let seen = bench.replay(&[&input, "--dry-run", "--move-to", &bench.dir.text("replayed")]);
    assert_eq!(seen.code, 1, "{seen:?}");
    let lines: Vec<Value> =
        seen.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short = |line: &Value| {
        format!("{} {} {} {}", line["letter"], line["line"], line["outcome"], line["route"])
    };
    assert_eq!(
        lines.iter().map(short).collect::<Vec<_>>(),
        [
            "\"logs/shardId-000000000000/1:0/0/orders\" 1 \"delivered\" \"orders\"",
            "\"logs/shardId-000000000000/2:0/0/orders\" 2 \"dead-lettered\" \"orders\"",
            "\"logs/shardId-000000000000/3:0/0/orders\" 3 \"filtered\" null",
            "\"logs/s/9:2\" 4 \"dead-lettered\" null",
        ]
    );
    assert_eq!(lines[0]["output"]["message"], "{\"total\":1}");
    assert_eq!(lines[2]["reason"], "route orders does not take it any more");
    assert!(seen.err.contains("1 delivered, 1 filtered, 2 dead-lettered again"), "{seen:?}");
    for folder in ["out", "parked", "replayed"] {
        assert!(!bench.dir.path(folder).exists(), "{folder}");
    }

    let all = bench.replay(&[&input, "--dry-run", "--all-routes", "--limit", "1"]);
    assert_eq!((all.code, all.lines().len()), (0, 2), "{all:?}");
}

#[test]
fn what_cannot_be_replayed_is_said_and_stays() {
    let bench = Bench::new();
    let lines = [
        with(good(1), &json!({"route": "gone"})),
        with(good(2), &json!({"sequence_number": "x"})),
        with(good(3), &json!({"version": 2})),
        good(4),
    ];
    let input = bench.dir.file("in.jsonl", text(&lines));
    let seen = bench.replay(&[&input, "--move-to", &bench.dir.text("replayed")]);
    assert_eq!(seen.code, 1, "{seen:?}");
    for said in [
        "in.jsonl:1: route \"gone\" is not in the configuration\n",
        "in.jsonl:2: a damaged dead letter: sequence_number is not a number\n",
        "in.jsonl:3: a dead letter of version 2; this program reads version 1\n",
        "in.jsonl: stays, 3 lines in it not done\n",
        "replayed 1 letter: 1 delivered",
        "further letters: 1 not of this configuration\n2 lines are no letters\n",
    ] {
        assert!(seen.err.contains(said), "{said}: {}", seen.err);
    }
    // Its route is gone, so it may go wherever it goes now.
    let all = bench.replay(&[&input, "--move-to", &bench.dir.text("replayed"), "--all-routes"]);
    assert!(all.err.contains("replayed 1 letter: 1 delivered"), "{all:?}");
    assert_eq!(bench.messages("copies"), ["{\"total\":1}"]);

    let damaged = bench.dir.file("in.jsonl.gz", &gzip(text(&lines).as_bytes())[..60]);
    let cut = bench.replay(&[&damaged]);
    assert_eq!(cut.code, 1, "{cut:?}");
    assert!(cut.err.contains("what follows there is not replayed"), "{cut:?}");
    let missing = bench.replay(&["missing.jsonl"]);
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.err.contains("missing.jsonl: there is no such file"), "{missing:?}");
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let bench = Bench::new();
    bench.dir.file("in/a.jsonl.open", text(&[good(1)]));
    let writer = File::options().append(true).open(bench.dir.path("in/a.jsonl.open")).unwrap();
    writer.lock().unwrap();
    let (folder, moved) = (bench.dir.text("in"), bench.dir.text("replayed"));
    let seen = bench.replay(&[&folder, "--move-to", &moved]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(seen.err.contains("a.jsonl.open: is being written, left alone"), "{seen:?}");
    assert!(seen.err.contains("replayed 0 letters"), "{seen:?}");
    // By its own name it is read as far as it goes, and never moved.
    let file = bench.dir.text("in/a.jsonl.open");
    let named = bench.replay(&[&file, "--move-to", &moved]);
    assert!(named.err.contains("replayed 1 letter"), "{named:?}");
    drop(writer);
    // Finished, and longer by a letter: only that is replayed.
    fs::remove_file(&file).unwrap();
    bench.dir.file("in/a.jsonl", text(&[good(1), good(2)]));
    let finished = bench.replay(&[&folder, "--move-to", &moved]);
    assert_eq!(finished.code, 0, "{finished:?}");
    // Files of the same second have no order.
    let mut found = bench.messages("out");
    found.sort();
    assert_eq!(found, ["{\"total\":1}", "{\"total\":2}"]);
    assert_eq!(names(&bench.dir.path("replayed")), ["a.jsonl", "replay.done"]);
}

// === Interrupted ===

/// A replay into standard output, which nobody reads: with enough letters its sink hangs.
#[cfg(unix)]
fn hanging(bench: &Bench, input: &str, done: &str) -> std::process::Child {
    let config = fs::read_to_string(&bench.config).unwrap();
    let out = format!(
        "type = \"file\"\npath = \"{}/out\"",
        bench.dir.path("").to_str().unwrap().trim_end_matches('/')
    );
    assert!(config.contains(&out));
    let config = bench.dir.file("hanging.toml", config.replace(&out, "type = \"stdout\""));
    bench.dir.file("order.json", r#"{"required":["total"]}"#);
    let mut child = program(&["replay", "-c", &config, input, "--done", done]).spawn().unwrap();
    // The first line is there, so the sink is in the middle of its work.
    let mut first = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    child
}

#[cfg(unix)]
#[test]
fn an_interrupted_replay_goes_on_where_it_was() {
    for signal in ["-TERM", "-KILL"] {
        let bench = Bench::new();
        let filler = "x".repeat(1000);
        let message = |number: u32| format!("{{\"total\":{number},\"filler\":\"{filler}\"}}");
        let count = 2_000;
        let all: Vec<Value> = (0..count).map(|number| letter(number, &message(number))).collect();
        let input = bench.dir.file("in.jsonl", text(&all));
        let done = bench.dir.text("done");
        let mut child = hanging(&bench, &input, &done);
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        // Still nobody reads, so the drain is cut short.
        let status = child.wait().unwrap();
        assert_eq!(status.code(), (signal == "-TERM").then_some(3));
        let mut took = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        while out.read_line(&mut took).unwrap() > 0 {}
        let listed = fs::read_to_string(&done).unwrap_or_default().lines().count();
        assert!(listed < all.len(), "it was interrupted");
        // The first line was read before.
        let printed = 1 + took.matches('\n').count();
        assert!(listed <= printed, "{listed} are done, {printed} were printed");

        let rest = bench.replay(&[&input, "--done", &done]);
        assert_eq!(rest.code, 0, "{rest:?}");
        assert!(rest.err.contains(&format!("replayed {} letters", all.len() - listed)), "{rest:?}");
        assert_eq!(bench.messages("out").len(), all.len() - listed);
        let again = bench.replay(&[&input, "--done", &done]);
        assert!(again.err.contains("replayed 0 letters"), "{again:?}");
    }
}

// === End to end ===

/// The demo's own dead letters, with the demo's configuration and with a mended one.
#[cfg(feature = "embedded")]
#[test]
fn what_the_demo_parked_comes_back_once() {
    let dir = Dir::new();
    let out = dir.text("out");
    let demo = program(&["demo", "--seconds", "3", "--seed", "5", "--out", &out]).output();
    assert_eq!(seen(demo.unwrap()).code, 0);
    let folder = dir.path("out").join(&names(&dir.path("out"))[0]);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let count = |name: &str| content(&folder.join(name)).lines().count();
    let (letters, delivered) = (count("dead-letters"), count("delivered"));
    assert!(letters > 0, "the producer puts what cannot be processed");
    let replay = |config: &str| {
        run(&["replay", "-c", config, &path("dead-letters"), "--move-to", &path("replayed")])
    };
    for _ in 0..2 {
        let same = replay(&path("shardwright.toml"));
        assert_eq!(same.code, 1, "{same:?}");
        assert_eq!((count("dead-letters"), count("delivered")), (letters, delivered), "{same:?}");
    }
    // Records that cannot be read stay so; orders may come as they are.
    let config = fs::read_to_string(path("shardwright.toml")).unwrap();
    let mended: String = config
        .lines()
        .filter(|line| !line.starts_with("validate") && !line.starts_with("transform"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut file = File::create(folder.join("mended.toml")).unwrap();
    file.write_all(mended.as_bytes()).unwrap();
    let mended = replay(&path("mended.toml"));
    let left = count("dead-letters");
    assert!(left < letters, "{mended:?}");
    assert_eq!(count("delivered"), delivered + letters - left, "{mended:?}");
    assert_eq!(mended.code, i32::from(left > 0), "{mended:?}");
}

#[test]
fn talk_stays_off_standard_output() {
    let bench = Bench::new();
    let input = bench.dir.file("in.jsonl", text(&[good(1), letter(2, "total: none")]));
    let mut command = program(&["replay", "-c", &bench.config, &input]);
    let seen = seen(command.stdin(Stdio::null()).output().unwrap());
    assert_eq!((seen.code, &*seen.out), (1, ""), "{seen:?}");
}
