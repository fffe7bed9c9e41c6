//! Log lines as services write them.

use jiff::Timestamp;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

use crate::model::EpochMillis;

/// Which program writes the lines of a log group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// An application that logs a JSON object a line.
    Json,
    /// Tracking events that carry the key `is_save_kinesis`: JSON, Python literals, and JSON behind
    /// a marker.
    SaveKinesis,
    /// A Lambda function: `START`, its own lines, `END`, `REPORT`.
    Lambda,
    /// An HTTP server with the common log format.
    AccessLog,
    /// VPC flow logs, version 2.
    VpcFlow,
    /// A Java service: plain lines and stack traces of many lines.
    Java,
    /// Text with escapes, scripts of the world, ANSI colours and NUL.
    Odd,
}

/// Writes `count` lines that follow each other, as events of one envelope.
pub fn messages(family: Family, count: usize, now: EpochMillis, rng: &mut StdRng) -> Vec<String> {
    let line: fn(EpochMillis, &mut StdRng) -> String = match family {
        Family::Json => json_line,
        Family::SaveKinesis => save_kinesis,
        Family::Lambda => return lambda(count, now, rng),
        Family::AccessLog => access_log,
        Family::VpcFlow => vpc_flow,
        Family::Java => java,
        Family::Odd => |_, rng| odd(rng),
    };
    (0..count).map(|_| line(now, rng)).collect()
}

fn pick<'a>(choices: &[&'a str], rng: &mut StdRng) -> &'a str {
    choices.choose(rng).copied().unwrap_or_default()
}

fn level(rng: &mut StdRng) -> &'static str {
    pick(&["INFO", "INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"], rng)
}

/// A random id in the form of a UUID.
pub(super) fn uuid(rng: &mut StdRng) -> String {
    let bits = rng.random::<u128>();
    let group = |shift: u32, digits: u32| bits >> shift & ((1 << (4 * digits)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        group(96, 8),
        group(80, 4),
        group(64, 4),
        group(48, 4),
        group(0, 12)
    )
}

fn json_line(now: EpochMillis, rng: &mut StdRng) -> String {
    let level = level(rng);
    let error = (level == "ERROR").then(|| {
        json!({
            "type": pick(&["TimeoutError", "ValidationError"], rng),
            "stack": "TimeoutError: no answer\n    at call (/app/client.js:42:7)",
        })
    });
    let line = json!({
        "timestamp": now.to_string(),
        "level": level,
        "requestId": uuid(rng),
        "service": pick(&["orders", "payments", "stock"], rng),
        "message": pick(&["order placed", "payment taken", "stock reserved", "mail queued"], rng),
        "latency_ms": rng.random_range(1..2_000),
        "price": f64::from(rng.random_range(100..100_000_u32)) / 100.0,
        "retry": rng.random_bool(0.1),
        "user": {
            "id": rng.random_range(1..1_000_000),
            "tier": pick(&["free", "pro"], rng),
            "tags": [pick(&["eu", "us", "apac"], rng), pick(&["web", "app"], rng)],
        },
        "parent": null,
        "error": error,
    });
    line.to_string()
}

/// The tracking events of a common Glue tutorial, in the three spellings seen in its streams.
fn save_kinesis(now: EpochMillis, rng: &mut StdRng) -> String {
    let kind = pick(&["page_view", "share_page", "purchase"], rng);
    let key = uuid(rng);
    let user = rng.random_range(1..100_000);
    let mobile = rng.random_bool(0.5);
    let index = rng.random_range(0..50);
    if rng.random_range(0..4) == 0 {
        let mobile = if mobile { "True" } else { "False" };
        return format!(
            "{{'is_save_kinesis': True, 'dot_type': '{kind}', 'unique_key': '{key}', \
             'user_id': '{user}', 'header': {{'appName': 'shop', 'isMobile': {mobile}}}, \
             'content': {{'url': 'https://shop.example/', 'index': {index}, 'note': None}}}}"
        );
    }
    let line = json!({
        "is_save_kinesis": true,
        "dot_type": kind,
        "unique_key": key,
        "user_id": user.to_string(),
        "header": {"appName": "shop", "appVersion": "1.2.0", "isMobile": mobile, "userAgent": "UA"},
        "content": {"url": "https://shop.example/p/7", "index": index, "title": "Schön & günstig"},
    });
    if rng.random_range(0..4) == 0 {
        return format!("{now}\t{}\tINFO\t|312F14DS|{line}", uuid(rng));
    }
    line.to_string()
}

/// Invocations of a function, cut off after `count` lines as a batch of CloudWatch Logs may be.
fn lambda(count: usize, now: EpochMillis, rng: &mut StdRng) -> Vec<String> {
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        let request = uuid(rng);
        lines.push(format!("START RequestId: {request} Version: $LATEST\n"));
        for _ in 0..rng.random_range(1..4) {
            let level = level(rng);
            let text = pick(&["handled the event", "cache miss", "calling upstream"], rng);
            lines.push(format!("{now}\t{request}\t{level}\t{text}\n"));
        }
        let duration = f64::from(rng.random_range(50..300_000_u32)) / 100.0;
        let billed = duration.ceil();
        let used = rng.random_range(40..128);
        lines.push(format!("END RequestId: {request}\n"));
        lines.push(format!(
            "REPORT RequestId: {request}\tDuration: {duration:.2} ms\tBilled Duration: {billed} ms\t\
             Memory Size: 128 MB\tMax Memory Used: {used} MB\t\n"
        ));
    }
    lines.truncate(count);
    lines
}

fn address(rng: &mut StdRng) -> String {
    format!("10.{}.{}.{}", rng.random::<u8>(), rng.random::<u8>(), rng.random_range(1..255))
}

fn access_log(now: EpochMillis, rng: &mut StdRng) -> String {
    let time = Timestamp::from_millisecond(now.0).unwrap_or_default();
    let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
    let user = pick(&["-", "-", "frank", "alice"], rng);
    let method = pick(&["GET", "GET", "GET", "POST", "DELETE"], rng);
    let path = pick(&["/", "/api/orders?page=2", "/favicon.ico", "/login"], rng);
    let status = pick(&["200", "200", "200", "304", "404", "500"], rng);
    let size = rng.random_range(0..50_000);
    format!("{} - {user} [{time}] \"{method} {path} HTTP/1.1\" {status} {size}", address(rng))
}

fn vpc_flow(now: EpochMillis, rng: &mut StdRng) -> String {
    let end = now.0 / 1000;
    let start = end - 60;
    let interface = format!("eni-{:017x}", rng.random::<u64>() >> 8);
    if rng.random_range(0..20) == 0 {
        return format!("2 123456789012 {interface} - - - - - - - {start} {end} - NODATA");
    }
    let (from, to) = (address(rng), address(rng));
    let port = rng.random_range(1024..65_536);
    let service = pick(&["22", "80", "443", "3389", "5432"], rng);
    let packets = rng.random_range(1..500);
    let bytes = packets * rng.random_range(40..1500);
    let action = pick(&["ACCEPT", "ACCEPT", "REJECT"], rng);
    format!(
        "2 123456789012 {interface} {from} {to} {port} {service} 6 {packets} {bytes} {start} {end} \
         {action} OK"
    )
}

fn java(now: EpochMillis, rng: &mut StdRng) -> String {
    let thread = rng.random_range(1..32);
    if rng.random_range(0..5) > 0 {
        let level = level(rng);
        return format!("{now} [http-{thread}] {level} c.e.shop.OrderService - saved order");
    }
    let line = rng.random_range(10..400);
    format!(
        "{now} [http-{thread}] ERROR c.e.shop.OrderService - cannot save order\n\
         java.lang.IllegalStateException: order has no lines\n\
         \tat com.example.shop.OrderService.save(OrderService.java:{line})\n\
         \tat com.example.shop.OrderController.post(OrderController.java:31)\n\
         Caused by: java.sql.SQLException: constraint \"lines_fk\"\n\t... 12 more\n"
    )
}

fn odd(rng: &mut StdRng) -> String {
    let number = rng.random_range(0..1000);
    let text = pick(
        &[
            "\u{1b}[32mINFO\u{1b}[0m ready",
            "path C:\\temp\\\"new\"\tand a / slash",
            "zażółć gęślą jaźń 日本語 العربية 👩‍💻",
            "nul \0 and bell \u{7}",
            "separators \u{2028} \u{2029} \u{feff}",
            "\r\n",
            "{not json",
            "",
        ],
        rng,
    );
    format!("{text} {number}")
}
