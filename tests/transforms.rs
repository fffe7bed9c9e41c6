//! The programs of `config/transforms`, each configured as its own comment says and run on lines as
//! they are logged.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{collections::HashMap, fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use shardwright::{
    codec::encode_envelope,
    config::{Layers, compile},
    etl::{DeadLetter, Pipeline, PipelineParts, Source, SourceRecord},
    model::{EpochMillis, Format, LogEvent, LogSource, Position, ShardId, StreamName, UserRecord},
};

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "config", "transforms"].iter().collect()
}

/// The routes in the comment that the program begins with.
fn routes(program: &str) -> String {
    let comment = program.lines().take_while(|line| line.starts_with('#'));
    let lines = comment.map(|line| line.trim_start_matches("# ").trim_start_matches('#'));
    lines.skip_while(|line| *line != "[[routes]]").collect::<Vec<_>>().join("\n")
}

const SINKS: [&str; 8] =
    ["access", "events", "flows", "metrics", "orders", "parked", "rest", "rows"];

/// A configuration that has these routes first.
fn configured(routes: &str) -> Pipeline {
    let dir = tempfile::tempdir().unwrap();
    let mut text = format!("application = \"test\"\n[[streams]]\nname = \"logs\"\n{routes}\n");
    text += "[[routes]]\nname = \"rest\"\nsink = \"rest\"\n[dead_letter]\nsink = \"parked\"\n";
    text.extend(SINKS.map(|sink| format!("[sinks.{sink}]\ntype = \"file\"\npath = \"out\"\n")));
    let file = dir.path().join("shardwright.toml");
    fs::write(&file, text).unwrap();
    let copy = dir.path().join("transforms");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let layers = Layers { files: vec![file], environment: Some(HashMap::new()) };
    let compiled = compile(&layers).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(compiled.warnings, []);
    Pipeline::new(PipelineParts {
        routes: compiled.routes,
        sinks: compiled.settings.sinks.into_keys().collect(),
        dead_letters: compiled.dead_letters,
        limits: compiled.limits,
        configuration: compiled.hash,
    })
}

/// What became of a message.
#[derive(Debug, PartialEq)]
enum Became {
    /// This, in this sink.
    Sent(&'static str, Value),
    /// The program aborted it with this reason.
    Aborted(String),
    /// A dead letter with this in its reason.
    Parked(String),
}

struct Example {
    pipeline: Pipeline,
    log_group: &'static str,
}

impl Example {
    fn of(file: &str, log_group: &'static str) -> Self {
        let program = fs::read_to_string(folder().join(file)).unwrap();
        let routes = routes(&program);
        assert!(routes.contains(&format!("transforms/{file}")), "{file} says how to configure it");
        Self { pipeline: configured(&routes), log_group }
    }

    fn became(&self, message: &str) -> Vec<Became> {
        let source = Arc::new(LogSource {
            owner: "111122223333".to_owned(),
            log_group: self.log_group.to_owned(),
            log_stream: "stream/1".to_owned(),
            subscription_filters: vec!["all".to_owned()],
            extra: Map::new(),
        });
        let event = LogEvent {
            source: Arc::clone(&source),
            id: "42".to_owned(),
            timestamp: Some(EpochMillis(1_769_852_559_250)),
            message: message.into(),
            extra: Map::new(),
        };
        let record = UserRecord {
            position: Position { sequence: "1".parse().unwrap(), sub_sequence: 0 },
            partition_key: Arc::from("key"),
            explicit_hash_key: None,
            aggregated: false,
            data: encode_envelope(&source, &[event]),
            arrival: EpochMillis(1_769_852_560_000),
        };
        let stream = Source {
            stream: StreamName::new("logs"),
            shard: ShardId::new("shardId-000000000000"),
            format: Format::CloudwatchLogs,
        };
        let record = SourceRecord::new(Arc::new(stream), record);
        let processed = self.pipeline.process(&record);
        let aborted =
            processed.tally.aborts.iter().map(|(reason, _)| Became::Aborted(reason.to_owned()));
        let sent = processed.deliveries.iter().map(|delivery| {
            let json: &Bytes = &delivery.output.json;
            if delivery.route.is_none() {
                let letter: DeadLetter = serde_json::from_slice(json).unwrap();
                return Became::Parked(letter.reason);
            }
            Became::Sent(SINKS[delivery.sink], serde_json::from_slice(json).unwrap())
        });
        sent.chain(aborted).collect()
    }

    /// The line becomes exactly this, in this sink.
    #[track_caller]
    fn check(&self, message: &str, sink: &'static str, expect: Value) {
        assert_eq!(self.became(message), [Became::Sent(sink, expect)], "{message}");
    }

    #[track_caller]
    fn aborts(&self, message: &str, reason: &str) {
        assert_eq!(self.became(message), [Became::Aborted(reason.to_owned())], "{message}");
    }

    #[track_caller]
    fn parks(&self, message: &str, part: &str) {
        match self.became(message).as_slice() {
            [Became::Parked(reason)] => assert!(reason.contains(part), "{reason}"),
            other => panic!("{message}: {other:?}"),
        }
    }
}

#[test]
fn each_program_is_tested_here() {
    let mut files: Vec<_> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    let tested = [
        "access-log-alb.vrl",
        "access-log-combined.vrl",
        "lambda-report.vrl",
        "nested-to-columns.vrl",
        "python-lines.vrl",
        "vpc-flow-log.vrl",
    ];
    assert_eq!(files, tested);
}

#[test]
fn lambda_report() {
    let example = Example::of("lambda-report.vrl", "/aws/lambda/checkout");
    let expect = |message: &str, more: Value| {
        let mut report = json!({"function": "checkout", "time": "2026-01-31T09:42:39.250+00:00"});
        report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let became = example.became(message);
        // `also` lets the line itself through to the next route.
        assert_eq!(became.len(), 2, "{became:?}");
        assert_eq!(became[0], Became::Sent("metrics", report));
        assert!(matches!(became[1], Became::Sent("rest", _)));
    };
    let id = "06e46194-f277-454e-88d3-1dd7e3860eaa";
    expect(
        &format!(
            "REPORT RequestId: {id}\tDuration: 9.14 ms\tBilled Duration: 10 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 190.62 ms\t\nXRAY TraceId: 1-636d1462-33ef10600061cad86dab71c8\tSegmentId: 7ccb4860675ee485\tSampled: true\t\n"
        ),
        json!({"request_id": id, "duration_ms": 9.14, "billed_duration_ms": 10.0,
            "memory_size_mb": 128.0, "max_memory_used_mb": 36.0, "init_duration_ms": 190.62,
            "trace_id": "1-636d1462-33ef10600061cad86dab71c8"}),
    );
    // A space before the tab, as in older lines.
    expect(
        &format!(
            "REPORT RequestId: {id}\tDuration: 46.84 ms\tBilled Duration: 47 ms \tMemory Size: 192 MB\tMax Memory Used: 72 MB\t\n"
        ),
        json!({"request_id": id, "duration_ms": 46.84, "billed_duration_ms": 47.0,
            "memory_size_mb": 192.0, "max_memory_used_mb": 72.0}),
    );
    expect(
        &format!(
            "REPORT RequestId: {id}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tRestore Duration: 400.5 ms\tBilled Restore Duration: 401 ms\tStatus: error\tError Type: Runtime.ExitError\n"
        ),
        json!({"request_id": id, "duration_ms": 3000.0, "billed_duration_ms": 3000.0,
            "memory_size_mb": 128.0, "max_memory_used_mb": 30.0, "restore_duration_ms": 400.5,
            "billed_restore_duration_ms": 401.0, "status": "error",
            "error_type": "Runtime.ExitError"}),
    );
    expect(
        &format!(
            r#"{{"time":"2026-01-31T09:42:39.470Z","type":"platform.report","record":{{"requestId":"{id}","metrics":{{"durationMs":1233.96,"billedDurationMs":1698,"memorySizeMB":256,"maxMemoryUsedMB":123,"initDurationMs":463.512}},"status":"success"}}}}"#
        ),
        json!({"request_id": id, "duration_ms": 1233.96, "billed_duration_ms": 1698,
            "memory_size_mb": 256, "max_memory_used_mb": 123, "init_duration_ms": 463.512,
            "status": "success"}),
    );
    // The filter keeps other lines away; what only mentions a report is aborted.
    assert!(matches!(example.became("START RequestId: 1\n").as_slice(), [Became::Sent("rest", _)]));
    let mention = example.became("saw REPORT RequestId: 1");
    assert_eq!(mention[1], Became::Aborted("no report".to_owned()));
    let damaged = example.became("REPORT RequestId: 1\\tDuration: 3.16 ms");
    assert!(matches!(&damaged[0], Became::Parked(reason) if reason.contains("without a duration")));
    let other = example.became(r#"{"type":"platform.start","note":"platform.report"}"#);
    assert_eq!(other[1], Became::Aborted("no report".to_owned()));
}

#[test]
fn vpc_flow_log() {
    let example = Example::of("vpc-flow-log.vrl", "/vpc/flow-logs");
    example.check(
        "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK",
        "flows",
        json!({"version": 2, "account_id": "123456789010", "interface_id": "eni-1235b8ca123456789",
            "srcaddr": "172.31.16.139", "dstaddr": "172.31.16.21", "srcport": 20641, "dstport": 22,
            "protocol": "tcp", "packets": 20, "bytes": 4249, "start": "2014-12-14T04:06:50+00:00",
            "end": "2014-12-14T04:07:50+00:00", "action": "ACCEPT", "log_status": "OK"}),
    );
    match example.became("2 123456789010 eni-1 203.0.113.12 172.31.16.139 0 0 47 4 336 1432917027 1432917142 REJECT OK\n").as_slice() {
        [Became::Sent("flows", flow)] => assert_eq!(flow["protocol"], 47),
        other => panic!("{other:?}"),
    }
    for status in ["NODATA", "SKIPDATA"] {
        let line = format!("2 123456789010 eni-1 - - - - - - - 1431280876 1431280934 - {status}");
        example.aborts(&line, status);
    }
    example.parks("not a flow", "parse_aws_vpc_flow_log");
}

#[test]
fn access_log_alb() {
    let example = Example::of("access-log-alb.vrl", "/alb/shop");
    let line = |times: &str, status: &str| {
        format!(
            r#"https 2026-01-31T23:39:43.945958Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 {times} {status} 34 366 "GET https://www.example.com:443/a/b?x=1&y=%20z HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "-" 1 2026-01-31T23:39:43.900000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" "TID_1""#
        )
    };
    example.check(
        &line("0.125 0.25 0.5", "200 200"),
        "access",
        json!({"time": "2026-01-31T23:39:43.945958Z", "type": "https",
            "elb": "app/my-lb/50dc6c495c0c9188", "client": "192.168.131.39", "target": "10.0.0.1:80",
            "status": 200, "target_status": 200, "method": "GET", "host": "www.example.com",
            "path": "/a/b", "query": r#"{"x":"1","y":" z"}"#, "protocol": "HTTP/1.1", "bytes_in": 34,
            "bytes_out": 366, "duration_s": 0.875, "user_agent": "curl/7.46.0",
            "trace_id": "Root=1-58337281-1d84f3d73c47ec4e58577259", "rule_action": "forward",
            "error": null}),
    );
    match example.became(&line("-1 -1 -1", "460 -")).as_slice() {
        [Became::Sent("access", entry)] => {
            assert_eq!(entry["status"], 460);
            assert_eq!(
                (&entry["target_status"], &entry["duration_s"]),
                (&json!(null), &json!(null))
            );
        }
        other => panic!("{other:?}"),
    }
    example.parks("GET /", "parse_aws_alb_log");
}

#[test]
fn access_log_combined() {
    let example = Example::of("access-log-combined.vrl", "/nginx/access");
    example.check(
        r#"192.0.2.7 - frank [31/Jan/2026:13:55:36 +0100] "GET /a?b=1 HTTP/1.1" 200 2326 "https://example.com/\"x" "Mozilla/5.0 (X11)""#,
        "access",
        json!({"time": "2026-01-31T12:55:36+00:00", "client": "192.0.2.7", "user": "frank",
            "method": "GET", "path": "/a?b=1", "protocol": "HTTP/1.1", "status": 200, "bytes": 2326,
            "referrer": r#"https://example.com/\"x"#, "user_agent": "Mozilla/5.0 (X11)"}),
    );
    // API Gateway's common log format.
    example.check(
        "203.0.113.9 - - [31/Jan/2026:13:55:36 +0000] \"POST /orders HTTP/1.1\" 502 36 c6af9ac6-7b61-11e6-9a41-93e8deadbeef\n",
        "access",
        json!({"time": "2026-01-31T13:55:36+00:00", "client": "203.0.113.9", "user": null,
            "method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "status": 502, "bytes": 36,
            "referrer": null, "user_agent": null,
            "request_id": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"}),
    );
    example.check(
        r#"198.51.100.1 - - [31/Jan/2026:13:55:36 +0000] "\x16\x03\x01" 400 - "-" "-""#,
        "access",
        json!({"time": "2026-01-31T13:55:36+00:00", "client": "198.51.100.1", "user": null,
            "method": null, "path": null, "protocol": null, "status": 400, "bytes": null,
            "referrer": null, "user_agent": null, "request": r"\x16\x03\x01"}),
    );
    example.parks("worker process 17 exited", "could not find any pattern matches");
}

#[test]
fn nested_to_columns() {
    let example = Example::of("nested-to-columns.vrl", "/aws/lambda/collector");
    example.check(
        r#"{"is_save_kinesis": true, "dot_type": "share", "user_id": "42", "tags": ["a", 1],
            "header": {"appName": "app", "isMobile": false},
            "content": {"page": {"url": "https://e.x/", "index": 1}, "seen": [1, 2], "none": null}}"#,
        "rows",
        json!({"is_save_kinesis": true, "dot_type": "share", "user_id": "42", "tags": r#"["a",1]"#,
            "header": r#"{"appName":"app","isMobile":false}"#,
            "header_appName": "app", "header_isMobile": false,
            "content": r#"{"none":null,"page":{"index":1,"url":"https://e.x/"},"seen":[1,2]}"#,
            "content_page_url": "https://e.x/", "content_page_index": 1,
            "content_seen": "[1,2]", "content_none": null,
            "log_group": "/aws/lambda/collector",
            "event_id": "111122223333:/aws/lambda/collector:stream/1:all:42",
            "event_time": "2026-01-31T09:42:39.250+00:00"}),
    );
    assert!(matches!(example.became(r#"{"header":{}}"#).as_slice(), [Became::Sent("rest", _)]));
}

#[test]
fn python_lines() {
    let example = Example::of("python-lines.vrl", "/aws/lambda/collector");
    let event = |more: Value| {
        let mut event = json!({"log_stream": "stream/1",
            "event_id": "111122223333:/aws/lambda/collector:stream/1:all:42"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    example.check(
        "2026-01-31T09:42:39Z\tb5051b53\tINFO\t|312F14DS|{'dot_type': 'order', 'paid': True, 'note': None}\n",
        "orders",
        event(json!({"dot_type": "order", "paid": true, "note": null})),
    );
    example.check(
        r#"{'dot_type': 'click', "who": "it's", 'at': (1, 2.5)}"#,
        "events",
        event(json!({"dot_type": "click", "who": "it's", "at": [1, 2.5]})),
    );
    example.check(
        r#"INFO |312F14DS|{"dot_type": "click", "valid": true}"#,
        "events",
        event(json!({"dot_type": "click", "valid": true})),
    );
    example.check(r#"{"dot_type":"order"}"#, "orders", event(json!({"dot_type": "order"})));
    example.aborts("about dot_type", "no dict");
    example.parks("{'dot_type': Decimal('1')}", "not a Python literal at character 14");
}
