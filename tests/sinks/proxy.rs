//! A proxy before an emulator of AWS: it fails requests and single entries as AWS documents it, and
//! holds requests to the limits of the service, which emulators do not.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

use crate::{
    faults::{Fault, Faults},
    wire::{Answer, HangUp, HttpServer, says},
};

/// An event with this word in it is refused by services that refuse single entries.
pub(crate) const REFUSED: &str = "refuse me";

/// A call that writes several entries.
struct Write {
    /// The end of `x-amz-target`.
    operation: &'static str,
    /// Where its entries are.
    entries: &'static str,
    /// Most entries and most bytes of them (API references).
    limits: (usize, usize),
    /// The fault of a whole request for its rate, and its status.
    throttled: (&'static str, u16),
    /// Bytes of an entry, as the service counts them.
    size: fn(&Value) -> usize,
}

const WRITES: [Write; 3] = [
    Write {
        operation: "Kinesis_20131202.PutRecords",
        entries: "Records",
        limits: (500, 10 << 20),
        throttled: ("ProvisionedThroughputExceededException", 400),
        size: |entry| base64_length(&entry["Data"]) + text(&entry["PartitionKey"]).len(),
    },
    Write {
        operation: "Firehose_20150804.PutRecordBatch",
        entries: "Records",
        limits: (500, 4 << 20),
        throttled: ("ServiceUnavailableException", 500),
        size: |entry| base64_length(&entry["Data"]),
    },
    Write {
        operation: "AmazonSQS.SendMessageBatch",
        entries: "Entries",
        limits: (10, 1 << 20),
        throttled: ("RequestThrottled", 400),
        size: |entry| text(&entry["MessageBody"]).len(),
    },
];

/// Starts a proxy before the server at `upstream`.
pub(crate) async fn before(upstream: &str, faults: &Faults) -> HttpServer {
    let authority = upstream.trim_start_matches("http://").to_owned();
    let faults = faults.clone();
    let handler = move |request| answer(request, authority.clone(), faults.clone());
    HttpServer::start(handler, None).await
}

async fn answer(request: Request<Bytes>, authority: String, faults: Faults) -> Answer {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let write = WRITES.iter().find(|write| Some(write.operation) == target);
    let Some(write) = write else { return forward(request, &authority).await };
    if let Some(why) = write.beyond_limits(request.body()) {
        return fault(("ValidationException", 400), &why);
    }
    match faults.meet().await {
        Some(Fault::Throttle) => fault(write.throttled, "Rate exceeded"),
        Some(Fault::LoseAnswer) => {
            forward(request, &authority).await?;
            Err(HangUp)
        }
        Some(Fault::Part) => part(write, request, &authority, |index, _| index % 3 == 1).await,
        None => {
            let refused = |_, entry: &Value| text(&entry["MessageBody"]).contains(REFUSED);
            part(write, request, &authority, refused).await
        }
    }
}

fn fault((code, status): (&str, u16), message: &str) -> Answer {
    says(status, json!({"__type": code, "message": message}).to_string())
}

impl Write {
    fn beyond_limits(&self, body: &Bytes) -> Option<String> {
        let request: Value = serde_json::from_slice(body).unwrap();
        let entries = request[self.entries].as_array().unwrap();
        let size: usize = entries.iter().map(self.size).sum();
        let (most, bytes) = self.limits;
        let fits = (1..=most).contains(&entries.len()) && size <= bytes;
        (!fits).then(|| format!("{} entries of {size} bytes", entries.len()))
    }
}

/// Forwards the entries that do not fail, and answers for all.
async fn part(
    write: &Write,
    request: Request<Bytes>,
    authority: &str,
    fails: impl Fn(usize, &Value) -> bool,
) -> Answer {
    let mut document: Value = serde_json::from_slice(request.body()).unwrap();
    let entries = document[write.entries].as_array().unwrap().clone();
    let failed: Vec<bool> =
        entries.iter().enumerate().map(|(index, entry)| fails(index, entry)).collect();
    if !failed.contains(&true) {
        return forward(request, authority).await;
    }
    let kept = entries.iter().zip(&failed).filter(|(_, failed)| !**failed);
    let kept: Vec<Value> = kept.map(|(entry, _)| entry.clone()).collect();
    let answered = if kept.is_empty() {
        json!({})
    } else {
        document[write.entries] = kept.into();
        let (head, _) = request.into_parts();
        let request = Request::from_parts(head, Bytes::from(document.to_string()));
        let answer = forward(request, authority).await?;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    };
    says(200, merged(&answered, &entries, &failed).to_string())
}

/// The answer for all entries, from that for those which did not fail.
fn merged(answered: &Value, entries: &[Value], failed: &[bool]) -> Value {
    let count = failed.iter().filter(|failed| **failed).count();
    let in_order = |list: &str, error: Value| -> Value {
        let mut good = answered[list].as_array().cloned().unwrap_or_default().into_iter();
        let each = failed.iter().map(|failed| match failed {
            true => error.clone(),
            false => good.next().unwrap(),
        });
        each.collect()
    };
    if entries.iter().any(|entry| entry.get("PartitionKey").is_some()) {
        let error = json!({"ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000001"});
        return json!({"FailedRecordCount": count, "Records": in_order("Records", error)});
    }
    if entries.iter().any(|entry| entry.get("MessageBody").is_none()) {
        let error = json!({"ErrorCode": "ServiceUnavailableException",
            "ErrorMessage": "Slow down."});
        return json!({"FailedPutCount": count,
            "RequestResponses": in_order("RequestResponses", error)});
    }
    let errors = entries.iter().zip(failed).filter(|(_, failed)| **failed).map(|(entry, _)| {
        let refused = text(&entry["MessageBody"]).contains(REFUSED);
        let code = if refused { "InvalidMessageContents" } else { "ServiceUnavailable" };
        json!({"Id": entry["Id"], "SenderFault": refused, "Code": code, "Message": "because"})
    });
    let mut answer = answered.as_object().cloned().unwrap_or_else(Map::new);
    answer.entry("Successful").or_insert_with(|| json!([]));
    answer.insert("Failed".to_owned(), errors.collect());
    answer.into()
}

/// Sends a request on. Signatures are nobody's business here.
pub(crate) async fn forward(request: Request<Bytes>, authority: &str) -> Answer {
    let (mut head, body) = request.into_parts();
    head.headers.insert("content-length", body.len().into());
    let stream = TcpStream::connect(authority).await.map_err(|_| HangUp)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| HangUp)?;
    tokio::spawn(connection);
    let request = Request::from_parts(head, Full::new(body));
    let answer = sender.send_request(request).await.map_err(|_| HangUp)?;
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| HangUp)?.to_bytes();
    // Its length is that of the body, however it came.
    head.headers.remove("transfer-encoding");
    head.headers.remove("connection");
    Ok(hyper::Response::from_parts(head, Full::new(body)))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Bytes that a base64 text stands for.
fn base64_length(value: &Value) -> usize {
    let text = text(value);
    text.len() / 4 * 3 - text.bytes().rev().take_while(|byte| *byte == b'=').count()
}
