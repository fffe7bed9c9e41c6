//! Against servers that act as the real ones do.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes as Body, http::Request, response::IntoResponse};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::testing::{event, events},
};

/// A request as the server got it, its body unpacked.
#[derive(Clone, Debug)]
struct Got {
    request: String,
    headers: HeaderMap,
    body: String,
}

type Reply = (StatusCode, HeaderMap, String);

/// A server on loopback that answers as `answer` says, and keeps what it got.
struct TestServer {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl TestServer {
    async fn start(mut answer: impl FnMut(&Got) -> Reply + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&got);
        let reply = Arc::new(Mutex::new(move |one: Got| {
            let reply = answer(&one);
            seen.lock().unwrap().push(one);
            reply
        }));
        let app = Router::new().fallback(move |request: Request<axum::body::Body>| {
            let reply = Arc::clone(&reply);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let request = format!("{} {}", parts.method, parts.uri);
                let body = unpacked(&parts.headers, &body);
                let one = Got { request, headers: parts.headers, body };
                (reply.lock().unwrap())(one).into_response()
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, got }
    }

    fn sink(&self, extra: &str) -> HttpSink {
        HttpSink::open(config(&self.url, extra)).unwrap()
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

fn unpacked(headers: &HeaderMap, body: &Body) -> String {
    if headers.get("content-encoding").is_none() {
        return String::from_utf8(body.to_vec()).unwrap();
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    text
}

fn config(url: &str, extra: &str) -> HttpConfig {
    toml::from_str(&format!("url = '{url}'\n{extra}")).unwrap()
}

fn says(status: u16, body: impl std::fmt::Display) -> Reply {
    (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), body.to_string())
}

fn says_later(status: u16, retry_after: &str) -> Reply {
    let mut reply = says(status, "later");
    reply.1.insert("retry-after", retry_after.parse().unwrap());
    reply
}

const ACCEPTED: Verdict = Verdict::Accepted;

// === Any endpoint ===

#[tokio::test]
async fn batches_are_lines_or_arrays_packed_or_not() {
    for (extra, kind, body) in [
        ("", "application/x-ndjson", "{\"number\":0}\n{\"number\":1}\n"),
        ("body = 'array'", "application/json", "[{\"number\":0},{\"number\":1}]"),
        ("compression = 'gzip'", "application/x-ndjson", "{\"number\":0}\n{\"number\":1}\n"),
    ] {
        let server = TestServer::start(|_| says(204, "")).await;
        let sink = server.sink(extra);
        assert_eq!(sink.deliver(&events(0..2)).await.unwrap(), [ACCEPTED, ACCEPTED]);
        assert_eq!(sink.deliver(&[]).await.unwrap(), []);
        let [got] = &server.got()[..] else { panic!("one request") };
        assert_eq!((got.request.as_str(), got.body.as_str()), ("POST /", body));
        assert_eq!(got.headers["content-type"], kind);
        assert_eq!(got.headers.contains_key("content-encoding"), extra.contains("gzip"));
    }
}

#[tokio::test]
async fn what_an_answer_means() {
    for (status, expect) in [
        (200, "accepted"),
        (400, "refused"),
        (401, "misconfigured"),
        (403, "misconfigured"),
        (404, "misconfigured"),
        (413, "refused"),
        (422, "refused"),
        (308, "misconfigured"),
        (408, "unavailable"),
        (429, "unavailable"),
        (500, "unavailable"),
        (503, "unavailable"),
    ] {
        let server = TestServer::start(move |_| says(status, "because\n  of this")).await;
        let sink = server.sink("");
        let many = sink.deliver(&events(0..2)).await;
        let found = match &many {
            Ok(_) => "accepted",
            Err(SinkError::BatchRefused(_)) => "refused",
            Err(SinkError::Misconfigured(_)) => "misconfigured",
            Err(_) => "unavailable",
        };
        assert_eq!(found, expect, "{status}: {many:?}");
        if let Err(error) = many {
            assert!(error.to_string().contains("because of this"), "{error}");
        }
        // Alone in its batch, an event is what was refused.
        if expect == "refused" {
            let alone = sink.deliver(&events(0..1)).await.unwrap();
            assert!(matches!(&alone[..], [Verdict::Refused(why)] if why.contains("because")));
        }
    }
}

#[tokio::test]
async fn a_server_may_say_how_long_to_leave_it_alone() {
    for (status, header) in [(429, "7"), (503, "7"), (503, "Fri, 01 Jan 2100 00:00:00 GMT")] {
        let server = TestServer::start(move |_| says_later(status, header)).await;
        let error = server.sink("").deliver(&events(0..1)).await.unwrap_err();
        let asked = error.retry_after().unwrap();
        match header {
            "7" => assert_eq!(asked, Duration::from_secs(7)),
            _ => assert!(asked > Duration::from_hours(24)),
        }
    }
    let server = TestServer::start(|_| says_later(429, "soon")).await;
    let error = server.sink("").deliver(&events(0..1)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_gone_or_silent_is_a_passing_fault() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in?key=hidden", listener.local_addr().unwrap());
    // It accepts connections and never answers.
    let sink = HttpSink::open(config(&url, "timeout = '50ms'")).unwrap();
    let silent = sink.deliver(&events(0..1)).await.unwrap_err();
    assert!(matches!(&silent, SinkError::Unavailable(why) if why.contains("timeout")), "{silent}");
    drop(listener);
    let gone = HttpSink::open(config(&url, "")).unwrap().deliver(&events(0..1)).await.unwrap_err();
    assert!(matches!(gone, SinkError::Unavailable(_)), "{gone:?}");
    assert!(!format!("{silent}{gone}").contains("hidden"), "a query may be a secret");
}

#[tokio::test]
async fn secrets_come_from_the_environment() {
    // PATH stands for a secret: it is set wherever tests run.
    let secret = std::env::var("PATH").unwrap();
    let server = TestServer::start(|_| says(401, "who are you")).await;
    for (extra, header, expect) in [
        ("bearer_env = 'PATH'", "authorization", format!("Bearer {secret}")),
        ("headers_env = { x-api-key = 'PATH' }", "x-api-key", secret.clone()),
        ("headers = { x-scope-orgid = 'orders' }", "x-scope-orgid", "orders".to_owned()),
    ] {
        let error = server.sink(extra).deliver(&events(0..1)).await.unwrap_err();
        assert!(!error.to_string().contains(&secret), "{error}");
        let got = server.got().pop().unwrap();
        assert_eq!(got.headers[header], expect.as_str());
    }
    let basic = server.sink("user = 'me'\npassword_env = 'PATH'");
    basic.deliver(&events(0..1)).await.unwrap_err();
    let header = server.got().pop().unwrap().headers["authorization"].clone();
    assert!(header.to_str().unwrap().starts_with("Basic bWU6"), "{header:?}");
    let missing = HttpSink::open(config(&server.url, "bearer_env = 'NOBODY_SETS_THIS'"));
    let Err(SinkError::Misconfigured(why)) = missing else { panic!("a variable is missing") };
    assert!(why.contains("NOBODY_SETS_THIS") && why.contains("bearer_env"), "{why}");
}

#[tokio::test]
async fn the_check_writes_nothing_and_says_what_to_do() {
    for (status, fine) in [(200, true), (405, true), (401, false), (404, false), (500, false)] {
        let server = TestServer::start(move |_| says(status, "")).await;
        let checked = server.sink("").check().await;
        assert_eq!(checked.is_ok(), fine, "{status}: {checked:?}");
        assert_eq!(server.got()[0].request, "HEAD /");
    }
    let server = TestServer::start(|_| says(404, "no such index")).await;
    server.sink("preset = 'opensearch'\nindex = 'orders'").check().await.unwrap();
    server.sink("preset = 'loki'").check().await.unwrap();
    let asked: Vec<_> = server.got().into_iter().map(|got| got.request).collect();
    assert_eq!(asked, ["HEAD /orders", "GET /ready"]);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    for (url, extra, key) in [
        ("ftp://host", "", "url"),
        ("https://me:secret@host", "", "url"),
        ("host", "", "url"),
        ("http://host", "timeout = '0s'", "timeout"),
        ("http://host", "headers = { 'a b' = 'c' }", "headers"),
        ("http://host", "user = 'me'", "user"),
        ("http://host", "user = 'a'\npassword_env = 'B'\nbearer_env = 'C'", "bearer_env"),
        ("http://host", "preset = 'elasticsearch'", "index"),
        ("http://host", "preset = 'loki'\nlabels = {}", "labels"),
        ("http://host", "labels = { 'a-b' = 'c' }", "labels"),
        ("http://host", "labels = { a = '$.b[*]' }", "labels"),
    ] {
        let problems = config(url, extra).problems();
        let keys: Vec<_> = problems.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [key], "{url} {extra}: {problems:?}");
        assert!(!format!("{problems:?}").contains("secret"));
    }
}

// === _bulk ===

/// What Elasticsearch does with `_bulk`: documents by id; mappings that fail, queues that are full.
#[derive(Default)]
struct Search {
    documents: BTreeMap<String, Value>,
    puts: usize,
}

impl Search {
    fn bulk(&mut self, body: &str) -> Reply {
        assert!(body.ends_with('\n'), "_bulk needs a newline at its end");
        let lines: Vec<Value> =
            body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let items: Vec<Value> = lines.chunks(2).map(|pair| self.item(&pair[0], &pair[1])).collect();
        says(200, json!({"took": 1, "errors": true, "items": items}))
    }

    fn item(&mut self, action: &Value, document: &Value) -> Value {
        let (name, target) = action.as_object().unwrap().iter().next().unwrap();
        let id = target["_id"].as_str().unwrap().to_owned();
        assert_eq!(target["_index"], "orders");
        let (status, error) = if document["bad"].is_string() {
            let error = json!({"type": "document_parsing_exception", "reason": "failed to parse",
                "caused_by": {"type": "x", "reason": "not a number"}});
            (400, Some(error))
        } else if document["busy"].is_string() {
            (429, Some(json!({"type": "es_rejected_execution_exception", "reason": "queue"})))
        } else if name == "create" && self.documents.contains_key(&id) {
            (409, Some(json!({"type": "version_conflict_engine_exception", "reason": "exists"})))
        } else {
            self.puts += 1;
            self.documents.insert(id.clone(), document.clone());
            (201, None)
        };
        json!({name: {"_index": "orders", "_id": id, "status": status, "error": error}})
    }
}

async fn search() -> (TestServer, Arc<Mutex<Search>>) {
    let search = Arc::new(Mutex::new(Search::default()));
    let state = Arc::clone(&search);
    let server = TestServer::start(move |got| {
        assert_eq!(got.request, "POST /_bulk");
        assert_eq!(got.headers["content-type"], "application/x-ndjson");
        state.lock().unwrap().bulk(&got.body)
    })
    .await;
    (server, search)
}

const SEARCH: &str = "preset = 'elasticsearch'\nindex = 'orders'\n";

#[tokio::test]
async fn each_document_has_an_answer_of_its_own() {
    let (server, search) = search().await;
    let sink = server.sink(SEARCH);
    let batch = [event(1, "{}"), event(2, "{\"bad\":\"x\"}"), event(3, "{\"busy\":\"x\"}")];
    let verdicts = sink.deliver(&batch).await.unwrap();
    assert_eq!(verdicts[0], ACCEPTED);
    assert!(matches!(&verdicts[1], Verdict::Refused(why)
        if why == "document_parsing_exception: failed to parse: not a number (HTTP 400)"));
    assert!(matches!(&verdicts[2], Verdict::Retry(why) if why.contains("es_rejected")));
    assert_eq!(search.lock().unwrap().documents.len(), 1);
}

#[tokio::test]
async fn a_replay_changes_nothing() {
    let (server, search) = search().await;
    for (extra, puts) in [("", 3), ("action = 'index'", 6)] {
        search.lock().unwrap().puts = 0;
        search.lock().unwrap().documents.clear();
        let sink = server.sink(&format!("{SEARCH}{extra}"));
        for _ in 0..2 {
            assert_eq!(sink.deliver(&events(0..3)).await.unwrap(), vec![ACCEPTED; 3]);
        }
        let search = search.lock().unwrap();
        assert_eq!((search.documents.len(), search.puts), (3, puts), "{extra}");
    }
}

#[tokio::test]
async fn a_document_id_may_be_a_field() {
    let (server, search) = search().await;
    let sink = server.sink(&format!("{SEARCH}document_id = '$.order.id'"));
    let long = format!(r#"{{"order":{{"id":"{}"}}}}"#, "é".repeat(300));
    let batch = [event(1, r#"{"order":{"id":42}}"#), event(2, r#"{"order":{}}"#), event(3, &long)];
    let verdicts = sink.deliver(&batch).await.unwrap();
    assert_eq!((&verdicts[0], &verdicts[2]), (&ACCEPTED, &ACCEPTED));
    assert!(matches!(&verdicts[1], Verdict::Refused(why) if why.contains("document_id")));
    let ids: Vec<String> = search.lock().unwrap().documents.keys().cloned().collect();
    assert_eq!((ids[0].as_str(), ids[1].len()), ("42", 64));
    // None of them has an id: nothing is sent.
    let requests = server.got().len();
    sink.deliver(&batch[1..2]).await.unwrap();
    assert_eq!(server.got().len(), requests);
}

#[tokio::test]
async fn a_bulk_answer_that_says_too_little_accepts_nothing() {
    for body in ["", "{}", r#"{"items":[]}"#, r#"{"items":[{},{}]}"#] {
        let server = TestServer::start(move |_| says(200, body)).await;
        let error = server.sink(SEARCH).deliver(&events(0..2)).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable(_)), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn a_bulk_request_that_is_too_large_is_split() {
    let server = TestServer::start(|_| says(413, "too large")).await;
    let sink = server.sink(SEARCH);
    let error = sink.deliver(&events(0..2)).await.unwrap_err();
    assert!(matches!(error, SinkError::BatchRefused(_)), "{error:?}");
    let alone = sink.deliver(&events(0..1)).await.unwrap();
    assert!(matches!(&alone[..], [Verdict::Refused(_)]), "{alone:?}");
}

// === Loki ===

/// What Loki does with a push: lines that are too far behind the newest of their stream are named in a
/// 400, the others are taken; a line that is there already is dropped.
#[derive(Default)]
struct Loki {
    streams: BTreeMap<String, BTreeSet<(i128, String)>>,
}

impl Loki {
    const WINDOW: i128 = 3_600_000_000_000;

    fn push(&mut self, body: &str) -> Reply {
        let body: Value = serde_json::from_str(body).unwrap();
        let mut behind = 0;
        for stream in body["streams"].as_array().unwrap() {
            assert!(!stream["stream"].as_object().unwrap().is_empty());
            let lines = self.streams.entry(stream["stream"].to_string()).or_default();
            for value in stream["values"].as_array().unwrap() {
                let time: i128 = value[0].as_str().unwrap().parse().unwrap();
                let newest = lines.last().map_or(time, |(newest, _)| *newest);
                if time + Self::WINDOW < newest {
                    behind += 1;
                } else {
                    lines.insert((time, value[1].as_str().unwrap().to_owned()));
                }
            }
        }
        match behind {
            0 => says(204, ""),
            _ => says(400, format!("entry too far behind, total ignored: {behind}")),
        }
    }
}

fn timed(number: u64, hour: u64, level: &str) -> OutputEvent {
    let millis = hour * 3_600_000 + number;
    event(
        number,
        &format!(r#"{{"timestamp":{millis},"level":"{level}","message":"line {number}"}}"#),
    )
}

#[tokio::test]
async fn lines_are_grouped_by_labels_and_old_ones_refused_alone() {
    let loki = Arc::new(Mutex::new(Loki::default()));
    let state = Arc::clone(&loki);
    let server = TestServer::start(move |got| {
        assert_eq!(got.request, "POST /base/loki/api/v1/push");
        state.lock().unwrap().push(&got.body)
    })
    .await;
    let sink = HttpSink::open(config(
        &format!("{}/base/", server.url),
        "preset = 'loki'\nline = '$.message'\nlabels = { app = 'orders', level = '$.level' }",
    ))
    .unwrap();
    let batch =
        [timed(1, 9, "info"), timed(2, 9, "warn"), timed(3, 1, "info"), timed(4, 9, "info")];
    let whole = sink.deliver(&batch).await;
    assert!(matches!(&whole, Err(SinkError::BatchRefused(why)) if why.contains("too far behind")));
    // As the consumer splits it.
    let halves =
        [sink.deliver(&batch[..2]).await.unwrap(), sink.deliver(&batch[3..]).await.unwrap()];
    assert_eq!(halves.concat(), [ACCEPTED, ACCEPTED, ACCEPTED]);
    let old = sink.deliver(&batch[2..3]).await.unwrap();
    assert!(matches!(&old[..], [Verdict::Refused(why)] if why.contains("too far behind")));
    let loki = loki.lock().unwrap();
    let lines = |labels: &str| loki.streams[labels].iter().cloned().collect::<Vec<_>>();
    let at = |millis: i128| 32_400_000_000_000 + millis * 1_000_000;
    assert_eq!(
        lines(r#"{"app":"orders","level":"info"}"#),
        [(at(1), "line 1".to_owned()), (at(4), "line 4".to_owned())],
        "each once, though sent twice"
    );
    assert_eq!(lines(r#"{"app":"orders","level":"warn"}"#), [(at(2), "line 2".to_owned())]);
}

#[tokio::test]
async fn a_line_without_a_time_has_that_of_its_record() {
    let server = TestServer::start(|_| says(204, "")).await;
    let sink = server.sink("preset = 'loki'\nlabels = { a = 'b', missing = '$.missing' }");
    let mut batch = vec![event(1, r#"{"timestamp":"2026-01-31T08:00:00.5Z"}"#), event(2, "{}")];
    batch[1].arrival = crate::model::EpochMillis(7);
    sink.deliver(&batch).await.unwrap();
    let body: Value = serde_json::from_str(&server.got()[0].body).unwrap();
    assert_eq!(
        body,
        json!({"streams": [{"stream": {"a": "b"}, "values": [
            ["1769846400500000000", r#"{"timestamp":"2026-01-31T08:00:00.5Z"}"#],
            ["7000000", "{}"],
        ]}]})
    );
}
