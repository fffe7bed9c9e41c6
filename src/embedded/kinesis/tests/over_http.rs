//! What only a socket shows: answers, cut connections, shutdown.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::*;
use super::{FIRST, HOUR, Rig};

/// Sends one request on a connection of its own and reads until the server closes it.
async fn exchange(server: &KinesisServer, operation: &str, body: &Value) -> String {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\
         x-amz-target: Kinesis_20131202.{operation}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A cut connection may end in a reset: what counts is that no answer came.
    let _ = socket.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn answers_over_http() {
    let rig = Rig::new(1).await;
    let answer = exchange(&rig.server, "ListStreams", &json!({})).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(r#""StreamNames":["s"]"#));
    assert!(answer.contains("content-type: application/x-amz-json-1.1"));
    let answer = exchange(&rig.server, "PutResourcePolicy", &json!({})).await;
    assert!(answer.starts_with("HTTP/1.1 400"));
    assert!(answer.contains(r#"{"__type":"UnknownOperationException","message":""#));
}

#[tokio::test]
async fn faults_over_http() {
    let rig = Rig::new(1).await;
    let record = json!({"StreamName": "s", "Data": "", "PartitionKey": "k"});
    let check = async |kind, answer: &str, stored: usize| {
        rig.server.faults().add(FaultRule::on(Operation::PutRecord, kind).times(1));
        let got = exchange(&rig.server, "PutRecord", &record).await;
        assert_eq!(
            (got.get(..12).unwrap_or(&got), rig.server.records("s").len()),
            (answer, stored)
        );
    };
    check(FaultKind::CutConnection, "", 0).await;
    check(FaultKind::InternalFailure, "HTTP/1.1 500", 0).await;
    check(FaultKind::Throttle, "HTTP/1.1 400", 0).await;
    check(FaultKind::LoseResponse, "", 1).await;
    let answer = exchange(&rig.server, "PutRecord", &record).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "the rules are spent: {answer}");
}

#[tokio::test]
async fn a_read_fault_finds_its_shard_in_the_iterator() {
    let rig = Rig::new(2).await;
    let rule = FaultRule::on(Operation::GetRecords, FaultKind::ExpiredIterator).shard(FIRST);
    rig.server.faults().add(rule);
    for (shard, expect) in [(FIRST, "HTTP/1.1 400"), ("shardId-000000000001", "HTTP/1.1 200")] {
        let request = json!({"ShardIterator": rig.iterator(shard, "LATEST")});
        let answer = exchange(&rig.server, "GetRecords", &request).await;
        assert!(answer.starts_with(expect), "{answer}");
    }
}

/// The first two frames of a subscription: the initial response and an event.
async fn two_events(mut body: hyper::body::Incoming) -> [String; 2] {
    let mut seen = Vec::new();
    let mut bytes = BytesMut::new();
    let mut decoder = MessageFrameDecoder::new();
    loop {
        if let DecodedFrame::Complete(message) = decoder.decode_frame(&mut bytes).unwrap() {
            let kind = message.headers().iter().find(|h| h.name().as_str() == ":event-type");
            seen.push(kind.unwrap().value().as_string().unwrap().as_str().to_owned());
            if let Ok(seen) = seen.clone().try_into() {
                return seen;
            }
            continue;
        }
        let frame = body.frame().await.unwrap().unwrap();
        bytes.extend_from_slice(&frame.into_data().unwrap());
    }
}

#[tokio::test]
async fn events_are_streamed_over_http_1_and_http_2() {
    let rig = Rig::new(1).await;
    let stream_arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let request = json!({"StreamARN": stream_arn, "ConsumerName": "app"});
    let consumer = rig.ok(Operation::RegisterStreamConsumer, &request);
    rig.put("a");
    let subscribe = json!({
        "ConsumerARN": consumer["Consumer"]["ConsumerARN"],
        "ShardId": FIRST,
        "StartingPosition": {"Type": "TRIM_HORIZON"},
    });
    let request = || {
        hyper::Request::post(rig.server.endpoint())
            .header("host", "x")
            .header("x-amz-target", "Kinesis_20131202.SubscribeToShard")
            .body(Full::new(Bytes::from(subscribe.to_string())))
            .unwrap()
    };
    let socket = async || TokioIo::new(TcpStream::connect(rig.server.address()).await.unwrap());

    let (mut one, connection) =
        hyper::client::conn::http1::handshake(socket().await).await.unwrap();
    tokio::spawn(connection);
    let answer = one.send_request(request()).await.unwrap();
    let kind = answer.headers().get("content-type").unwrap();
    assert_eq!(kind, "application/vnd.amazon.eventstream");
    let expect = ["initial-response", "SubscribeToShardEvent"].map(str::to_owned);
    assert_eq!(two_events(answer.into_body()).await, expect);

    rig.clock.advance(Duration::from_secs(5));
    let (mut two, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), socket().await).await.unwrap();
    tokio::spawn(connection);
    let answer = two.send_request(request()).await.unwrap();
    assert_eq!(answer.version(), hyper::Version::HTTP_2);
    assert_eq!(two_events(answer.into_body()).await, expect);
}

#[tokio::test]
async fn a_subscription_that_is_refused_is_answered_with_a_document() {
    let rig = Rig::new(1).await;
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/app:1";
    let position = json!({"Type": "LATEST"});
    let request = json!({"ConsumerARN": arn, "ShardId": FIRST, "StartingPosition": position});
    let answer = exchange(&rig.server, "SubscribeToShard", &request).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains(r#"{"__type":"ResourceNotFoundException","#), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_answer_comes_late() {
    let rig = Rig::new(1).await;
    let rule = FaultRule::on(Operation::ListStreams, FaultKind::Delay(HOUR));
    rig.server.faults().add(rule);
    let asked = tokio::time::Instant::now();
    let answer = exchange(&rig.server, "ListStreams", &json!({})).await;
    assert!(answer.starts_with("HTTP/1.1 200") && asked.elapsed() >= HOUR);
}

#[tokio::test]
async fn listens_on_loopback_only_until_it_is_shut_down() {
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let refused = KinesisServer::builder().address(everywhere).start().await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);

    let server = KinesisServer::builder().start().await.unwrap();
    let address = server.address();
    assert_eq!(server.endpoint(), format!("http://{address}"));
    let mut idle = TcpStream::connect(address).await.unwrap();
    server.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0, "idle connections are closed");
}
