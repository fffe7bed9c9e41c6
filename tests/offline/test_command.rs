//! `test`.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use shardwright::codec::{KplRecord, aggregate, gzip};

use crate::program::{Dir, run, run_with};

const CONFIG: &str = r#"
application = "orders"
[[streams]]
name = "logs"
[[streams]]
name = "texts"
format = "text"
[[routes]]
name = "orders"
log_groups = ["/app/*"]
filter = "order"
validate = "order.json"
transform = "order.vrl"
sink = "archive"
[[routes]]
name = "errors"
filter = "ERROR"
sink = "archive"
[sinks.archive]
type = "file"
path = "out"
[sinks.parked]
type = "file"
path = "parked"
[dead_letter]
sink = "parked"
"#;

/// A folder with a configuration; answers its path.
fn configured() -> (Dir, String) {
    let dir = Dir::new();
    dir.file("order.json", r#"{"required":["order"]}"#);
    dir.file(
        "order.vrl",
        r#"if .message.order == 0 { abort "no order" }
        . = {"order": .message.order, "group": .log_group, "arrival": %arrival, "stream": %stream}"#,
    );
    let config = dir.file("shardwright.toml", CONFIG);
    (dir, config)
}

fn envelope(group: &str, messages: &[&str]) -> Vec<u8> {
    let events: Vec<Value> = messages
        .iter()
        .map(|message| json!({"id": "1", "timestamp": 1_700_000_000_000i64, "message": message}))
        .collect();
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "1", "logGroup": group, "logStream": "s",
        "subscriptionFilters": ["f"], "logEvents": events,
    });
    gzip(envelope.to_string().as_bytes())
}

/// The outcomes, without the events that they are about.
fn short(lines: &[&str]) -> Vec<String> {
    let short = |line: &&str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().remove("event");
        line.to_string()
    };
    lines.iter().map(short).collect()
}

const DELIVERED: &str = r#"{"outcome":"delivered","output":{"arrival":1700000000000,"group":"/app/a","order":1,"stream":"logs"},"route":"orders","sink":"archive"}"#;

#[test]
fn captured_payloads_are_explained_whatever_their_wrapping() {
    let (dir, config) = configured();
    let payload = envelope("/app/a", &[r#"{"order":1}"#]);
    let text = BASE64_STANDARD.encode(&payload);
    let member = |data: &[u8]| KplRecord {
        partition_key: "k".to_owned(),
        explicit_hash_key: None,
        data: Bytes::copy_from_slice(data),
    };
    let kpl = aggregate(&[member(&payload), member(&payload)]);
    let check = |content: &[u8], count: usize| {
        let file = dir.file("captured", content);
        for seen in
            [run(&["test", "-c", &config, &file]), run_with(&["test", "-c", &config, "-"], content)]
        {
            assert_eq!((seen.code, &*seen.err), (0, ""), "{seen:?}");
            assert_eq!(short(&seen.lines()), vec![DELIVERED; count]);
        }
    };
    check(&payload, 1);
    check(text.as_bytes(), 1);
    check(&kpl, 2);
    check(BASE64_STANDARD.encode(&kpl).as_bytes(), 2);
    let lines =
        run_with(&["test", "-c", &config, "--base64-lines"], format!("{text}\n{text}").as_bytes());
    assert_eq!(short(&lines.lines()), [DELIVERED; 2]);
}

#[test]
fn each_event_has_its_route_outcome_and_output() {
    let (_dir, config) = configured();
    let messages = "{\"order\":1}\n{\"order\":0}\norder without json\nERROR\nnoise\n";
    let args = ["test", "-c", &config, "--messages", "--log-group", "/app/a"];
    let seen = run_with(&args, messages.as_bytes());
    assert_eq!((seen.code, &*seen.err), (0, ""), "{seen:?}");
    let lines = seen.lines();
    assert!(lines[0].starts_with(
        r#"{"event":"{\"order\":1}","outcome":"delivered","route":"orders","sink":"archive","output":{"#
    ));
    assert_eq!(
        lines[1],
        r#"{"event":"{\"order\":0}","outcome":"filtered","route":"orders","reason":"aborted: no order"}"#
    );
    assert!(lines[2].starts_with(
        r#"{"event":"order without json","outcome":"dead-lettered","route":"orders","stage":"validate","reason":"the message is not JSON"#
    ));
    assert!(lines[3].starts_with(
        r#"{"event":"ERROR","outcome":"delivered","route":"errors","sink":"archive","output":{"owner":"000000000000","logGroup":"/app/a""#
    ));
    assert_eq!(lines[4], r#"{"event":"noise","outcome":"filtered","reason":"no route takes it"}"#);
    assert_eq!(lines.len(), 5);
}

#[test]
fn windows_are_shown_with_their_rows() {
    let dir = Dir::new();
    let window = "filter = \"ERROR\"\nwindow = \"60s\"\ngroup_by = [\"message.code\"]\n\
                  aggregates = { n = \"count\", worst = \"max message.ms\" }";
    let text = CONFIG.replace("filter = \"ERROR\"", window);
    let first = text.find("[[routes]]").unwrap()..text.rfind("[[routes]]").unwrap();
    let mut text = text;
    text.replace_range(first, "");
    let config = dir.file("shardwright.toml", text);
    let line = |timestamp: i64, message: &str| {
        json!({"timestamp": timestamp, "message": message, "%arrival": "2026-01-01T00:02:00Z"})
            .to_string()
    };
    let day = 1_767_225_600_000;
    let input = [
        line(day + 1000, r#"{"level":"ERROR","code":5,"ms":7}"#),
        line(day + 2000, r#"{"level":"ERROR","code":5,"ms":9.5}"#),
        line(day + 80_000, r#"{"level":"ERROR","code":6,"ms":1}"#),
        line(day + 3000, r#"{"level":"ERROR","code":5,"ms":1}"#),
        line(day + 81_000, r#"{"level":"ERROR","ms":"slow"}"#),
    ];
    let seen = run_with(&["test", "-c", &config, "--json-lines"], input.join("\n").as_bytes());
    assert_eq!((seen.code, &*seen.err), (0, ""), "{seen:?}");
    let lines: Vec<Value> = seen.lines().iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    let (windowed, delivered, dead) = ("windowed", "delivered", "dead-lettered");
    assert_eq!(
        outcomes,
        [windowed, windowed, windowed, delivered, dead, dead, delivered],
        "{seen:?}"
    );
    assert_eq!(lines[0]["reason"], "in the window that ends at 2026-01-01T00:01:00.000Z");
    assert_eq!(
        (&lines[4]["stage"], &lines[4]["reason"]),
        (&json!("window"), &json!("late: its window is closed"))
    );
    assert_eq!(lines[5]["reason"], "message.ms is no number");
    let row = &lines[3]["output"];
    assert_eq!(
        (&row["code"], &row["n"], &row["worst"], &row["documents"]),
        (&json!(5), &json!(2), &json!(9.5), &json!(2))
    );
    assert_eq!(row["window_start"], "2026-01-01T00:00:00.000Z");
    assert!(
        row["event_id"].as_str().unwrap().contains("/errors/2026-01-01T00:01:00.000Z/60000ms/"),
        "{row}"
    );
}

#[test]
fn json_lines_hold_every_kind_of_input() {
    let (dir, config) = configured();
    let record = BASE64_STANDARD.encode(envelope("/app/a", &[r#"{"order":1}"#]));
    let letter = json!({
        "version": 1, "stream": "logs", "shard": "s", "sequence_number": "1",
        "sub_sequence_number": 0, "event_index": 0, "partition_key": "k",
        "arrival": "2023-11-14T22:13:20Z", "stage": "validate", "reason": "r",
        "route": "orders", "configuration": "c", "attempts": 1,
        "event": {"message": "{\"order\":1}", "logGroup": "/app/a"},
    });
    let text = format!(
        "# a comment\n\n\"ERROR\"\n{{\"message\":{{\"order\":1}},\"logGroup\":\"/app/a\",\"timestamp\":1700000000000}}\n\
         {{\"data\":\"{record}\",\"sub_sequence\":0,\"partition_key\":\"k\",\"explicit_hash_key\":null,\"aggregated\":true}}\n{letter}\n\
         {{\"message\":\"ERROR\",\"%stream\":\"texts\"}}\n\
         {{\"message\":{{\"order\":1}},\"logGroup\":\"/app/a\",\"%arrival\":\"2026-01-31T08:00:00Z\"}}\n"
    );
    let file = dir.file("all.jsonl", &text);
    let seen = run(&["test", "-c", &config, &file]);
    assert_eq!((seen.code, &*seen.err), (0, ""), "{seen:?}");
    let found = short(&seen.lines());
    assert_eq!(found.len(), 6);
    assert_eq!(found[1..4], [DELIVERED; 3]);
    // An event of a text stream has no header.
    assert!(found[4].contains(r#""logGroup":"""#), "{found:?}");
    assert!(found[5].contains(r#""arrival":1769846400000"#), "{found:?}");
    assert_eq!(run_with(&["test", "-c", &config, "--json-lines"], text.as_bytes()).out, seen.out);
}

#[test]
fn what_cannot_be_read_names_file_and_line() {
    let (dir, config) = configured();
    let check = |line: &str, problem: &str| {
        let file = dir.file("in.jsonl", format!("# one\n\"ERROR\"\n{line}\n"));
        let seen = run(&["test", "-c", &config, &file]);
        assert_eq!((seen.code, &*seen.out), (2, ""), "{seen:?}");
        let expect = format!("shardwright: {file}: line 3: {problem}");
        assert!(seen.err.starts_with(&expect), "{expect}\n{}", seen.err);
    };
    check("{", "not JSON (column 1)");
    check("[1]", "expected a text (a message), or an object with message");
    check("{\"a\":1}", "expected a text (a message), or an object with message");
    check(r#"{"message":"m","%shrad":"s"}"#, "unknown key %shrad; there are %stream");
    check(
        r#"{"message":"m","%stream":"gone"}"#,
        "stream \"gone\" is not in the configuration; there are: logs, texts",
    );
    check(r#"{"message":"m","logGroup":"/a","%stream":"texts"}"#, "logGroup says nothing here");
    check(r#"{"message":"m","%arrival":"soon"}"#, "%arrival: expected a time as in");
    check(r#"{"data":"?"}"#, "data: expected base64");
    let none = run(&["test", "-c", &config, "missing"]);
    assert_eq!(none.code, 2);
    assert!(none.err.contains("missing: "), "{none:?}");
}

// === Expectations ===

#[test]
fn outcomes_are_held_against_a_file() {
    let (dir, config) = configured();
    let input = dir.file("in.txt", "{\"order\":1}\nnoise\n");
    let expect = dir.text("out.jsonl");
    let args = ["test", "-c", &config, "--log-group", "/app/a", &input, "--expect", &expect];

    let missing = run(&args);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.out.contains("there is no such file; --update writes it"), "{missing:?}");

    let update = run(&[&args[..], &["--update"]].concat());
    assert_eq!(update.code, 0, "{update:?}");
    let printed = run(&args[..6]);
    assert_eq!(dir.read("out.jsonl"), printed.out, "the expectation is what is printed");
    assert_eq!(run(&args).code, 0);

    dir.file(
        "out.jsonl",
        "{\"outcome\":\"delivered\",\"sink\":\"elsewhere\"}\n# done\n{\"event\":\"noise\"}\n",
    );
    let differs = run(&args);
    assert_eq!(differs.code, 1, "{differs:?}");
    let shown = "\n@@ outcome 1 differs: \"{\\\"order\\\":1}\"\n {\n   \"outcome\": \"delivered\",\n-  \"sink\": \"elsewhere\"\n+  \"sink\": \"archive\"\n }\n";
    assert!(differs.out.contains(shown), "{}", differs.out);
    assert!(!differs.out.contains('\x1b'), "no colours into a pipe");
    assert_eq!(run(&[&args[..], &["--update"]].concat()).code, 0);
    assert!(dir.read("out.jsonl").ends_with("# done\n{\"event\":\"noise\"}\n"));
}

// === Cases ===

#[test]
fn cases_stand_beside_the_configuration() {
    let (dir, config) = configured();
    let none = run(&["test", "-c", &config]);
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.err.contains("there is no folder"), "{none:?}");

    dir.file("tests/b.input.jsonl", "{\"message\":{\"order\":1},\"logGroup\":\"/app/a\"}\n");
    dir.file("tests/b.expect.jsonl", "{\"outcome\":\"delivered\"}\n");
    dir.file("tests/sub/a.input.txt", "noise\nERROR\n");
    dir.file("tests/sub/a.expect.jsonl", "{\"outcome\":\"filtered\"}\n{\"route\":\"errors\"}\n");
    let good = run(&["test", "-c", &config]);
    assert_eq!(
        (good.code, &*good.out),
        (0, "ok      b (1 outcome)\nok      sub/a (2 outcomes)\n\n2 cases: 2 ok\n"),
        "{good:?}"
    );

    dir.file("tests/b.expect.jsonl", "{\"outcome\":\"filtered\"}\n");
    dir.file("tests/c.input", "{");
    let folder = dir.text("tests");
    let bad = run(&["test", "-c", &config, &folder]);
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(
        bad.out.starts_with("FAILED  b\nFAILED  c\nok      sub/a (2 outcomes)\n\n--- b\n"),
        "{}",
        bad.out
    );
    assert!(bad.out.ends_with("\n3 cases: 1 ok, 2 failed\n"), "{}", bad.out);
    assert!(bad.out.contains("-  \"outcome\": \"filtered\"\n+  \"outcome\": \"delivered\"\n"));
    assert_eq!(run(&["test", "-c", &config, &folder]).out, bad.out, "the same in each run");

    let one = run(&["test", "-c", &config, &folder, "--case", "sub/*"]);
    assert_eq!((one.code, one.lines()[0]), (0, "ok      sub/a (2 outcomes)"));
    let update = run(&["test", "-c", &config, &folder, "--update"]);
    assert_eq!(
        (update.code, update.lines().last().copied()),
        (0, Some("3 cases: 1 ok, 2 updated"))
    );
    assert_eq!(run(&["test", "-c", &config, &folder]).code, 0);
    assert_eq!(
        dir.read("tests/sub/a.expect.jsonl"),
        "{\"outcome\":\"filtered\"}\n{\"route\":\"errors\"}\n"
    );
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let (dir, config) = configured();
    dir.file("cases/a.input.txt", "x");
    dir.file("empty/README", "x");
    dir.file("odd/a.expect.jsonl", "");
    let [cases, empty, odd] = ["cases", "empty", "odd"].map(|name| dir.text(name));
    let input = dir.file("in.txt", "x");
    let check = |args: &[&str], problem: &str| {
        let seen = run(&[&["test", "-c", &config], args].concat());
        assert_eq!((seen.code, &*seen.out), (2, ""), "{seen:?}");
        assert!(seen.err.contains(problem), "{problem}: {}", seen.err);
    };
    check(&[&cases, &input], "not both");
    check(&[&cases, "--messages"], "a folder's cases say themselves");
    check(&[&cases, "--expect", "x"], "a folder's cases say themselves");
    check(&[&cases, "--case", "b"], "there is no such case");
    check(&[&empty], "there is no such case");
    check(&[&odd], "there is no input beside it");
    check(&[&input, "--update"], "--update needs --expect");
    check(&[&input, "--case", "a"], "--case chooses");
    check(
        &[&input, "--stream", "gone"],
        "\"gone\" is not in the configuration; there are: logs, texts",
    );
    check(&[&input, "--messages", "--json-lines"], "cannot be used with");
    check(&[&input, "--arrival", "soon"], "expected a time");
}

#[test]
fn the_shipped_cases_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = root.join("config/production.toml");
    let seen = run(&["test", "--config", config.to_str().unwrap()]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(seen.out.contains("ok      orders (3 outcomes)"), "{seen:?}");
}
