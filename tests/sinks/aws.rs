//! The `sqs` and `firehose` sinks, on moto.

use std::sync::{Arc, Mutex};

use aws_sdk_sqs::types::QueueAttributeName;
use base64::{Engine, prelude::BASE64_STANDARD};
use shardwright::{
    ports::{Sink, SinkError, Verdict},
    sinks::{FirehoseSink, SqsSink},
};

use crate::{
    counterparts::Moto,
    events::{event, events},
    wire::{HttpServer, says},
};

const ACCEPTED: Verdict = Verdict::Accepted;

impl Moto {
    async fn queue(&self, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
        let mut create = self.sqs().create_queue().queue_name(name);
        for (name, value) in attributes {
            create = create.attributes(name.clone(), *value);
        }
        create.send().await.unwrap().queue_url.unwrap()
    }

    fn sqs_sink(&self, queue_url: &str, extra: &str) -> SqsSink {
        let config = toml::from_str(&format!("queue_url = '{queue_url}'\n{extra}")).unwrap();
        SqsSink::on(config, &self.connection)
    }

    fn firehose_sink(&self, stream: &str) -> FirehoseSink {
        FirehoseSink::on(toml::from_str(&format!("stream = '{stream}'")).unwrap(), &self.connection)
    }

    /// All messages of a queue: body and group.
    async fn messages(&self, queue_url: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        loop {
            let answer = self
                .sqs()
                .receive_message()
                .queue_url(queue_url)
                .max_number_of_messages(10)
                .message_system_attribute_names("All".into())
                .send()
                .await
                .unwrap();
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                all.sort();
                return all;
            }
            for message in messages {
                let delete = self.sqs().delete_message().queue_url(queue_url);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
                let attributes = message.attributes.unwrap_or_default();
                let group = attributes
                    .iter()
                    .find(|(name, _)| name.as_str() == "MessageGroupId")
                    .map_or("", |(_, group)| group);
                all.push((message.body.unwrap(), group.to_owned()));
            }
        }
    }
}

fn bodies(messages: Vec<(String, String)>) -> Vec<String> {
    messages.into_iter().map(|(body, _)| body).collect()
}

#[tokio::test]
async fn a_queue_gets_every_event_in_batches_of_ten() {
    let Some(moto) = Moto::start().await else { return };
    let queue = moto.queue("orders", &[]).await;
    let sink = moto.sqs_sink(&queue, "");
    sink.check().await.unwrap_or_else(|error| {
        // moto's queues take 256 KiB, as AWS's did: the check says so.
        assert!(error.to_string().contains("maximum_request_size = 262144"), "{error}");
    });
    let sink = moto.sqs_sink(&queue, "maximum_request_size = '256KiB'");
    sink.check().await.unwrap();
    assert_eq!(sink.deliver(&events(10..35)).await.unwrap(), vec![ACCEPTED; 25]);
    assert_eq!(sink.deliver(&[]).await.unwrap(), []);
    let expect: Vec<_> = (10..35).map(|id| format!("{{\"id\":{id}}}")).collect();
    assert_eq!(bodies(moto.messages(&queue).await), expect);
}

#[tokio::test]
async fn requests_keep_to_the_size_that_a_queue_takes() {
    let Some(moto) = Moto::start().await else { return };
    let queue = moto.queue("orders", &[]).await;
    let sink = moto.sqs_sink(&queue, "maximum_request_size = '100KiB'");
    let sized = |number: u64, kib: usize| {
        event(number, &format!("{{\"id\":{number},\"x\":\"{}\"}}", "x".repeat(kib * 1024)))
    };
    let batch = [sized(1, 60), sized(2, 60), sized(3, 101), sized(4, 10)];
    let verdicts = sink.deliver(&batch).await.unwrap();
    assert!(matches!(&verdicts[2], Verdict::Refused(why) if why.contains("maximum_request_size")));
    assert_eq!([&verdicts[0], &verdicts[1], &verdicts[3]], [&ACCEPTED; 3]);
    assert_eq!(moto.messages(&queue).await.len(), 3);
}

/// SQS takes the characters of XML only; moto takes all, so it is the text that is looked at.
#[tokio::test]
async fn characters_that_a_queue_refuses_are_sent_in_json_s_other_way() {
    let Some(moto) = Moto::start().await else { return };
    let queue = moto.queue("orders", &[]).await;
    let sink = moto.sqs_sink(&queue, "maximum_request_size = '256KiB'");
    let batch = [event(1, "{\"id\":\"\u{fffe}\u{ffff}\u{fffd}\"}")];
    assert_eq!(sink.deliver(&batch).await.unwrap(), [ACCEPTED]);
    let expect = "{\"id\":\"\\ufffe\\uffff\u{fffd}\"}";
    assert_eq!(bodies(moto.messages(&queue).await), [expect]);
}

#[tokio::test]
async fn a_fifo_queue_knows_an_event_again() {
    let Some(moto) = Moto::start().await else { return };
    let queue = moto.queue("orders.fifo", &[(QueueAttributeName::FifoQueue, "true")]).await;
    let sink = moto.sqs_sink(&queue, "group = '$.customer'\nmaximum_request_size = '256KiB'");
    let batch = [
        event(1, r#"{"a":1,"customer":"x y"}"#),
        event(2, r#"{"b":1,"customer":"z"}"#),
        event(3, r#"{"c":1}"#),
    ];
    for _ in 0..2 {
        assert_eq!(sink.deliver(&batch).await.unwrap(), vec![ACCEPTED; 3]);
    }
    let messages = moto.messages(&queue).await;
    let groups: Vec<_> = messages.iter().map(|(_, group)| group.as_str()).collect();
    assert_eq!(messages.len(), 3, "the second delivery was dropped: {messages:?}");
    assert_eq!((groups[0].len(), &groups[1..]), (64, &["z", "key-3"][..]));
}

#[tokio::test]
async fn a_queue_that_is_gone_wants_a_human_and_a_dead_server_is_waited_for() {
    let Some(moto) = Moto::start().await else { return };
    let queue = format!("{}/123456789012/nowhere", moto.server.endpoint());
    let sink = moto.sqs_sink(&queue, "");
    for error in [sink.check().await, sink.deliver(&events(0..2)).await.map(|_| ())] {
        assert!(matches!(error, Err(SinkError::Misconfigured(_))), "{error:?}");
    }
    let firehose = moto.firehose_sink("nowhere");
    for error in [firehose.check().await, firehose.deliver(&events(0..2)).await.map(|_| ())] {
        assert!(matches!(error, Err(SinkError::Misconfigured(_))), "{error:?}");
    }
    let Moto { server, .. } = moto;
    drop(server);
    let error = sink.deliver(&events(0..2)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
    let error = firehose.deliver(&events(0..2)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_firehose_stream_gets_lines() {
    let Some(moto) = Moto::start().await else { return };
    // moto hands the records on to an endpoint of ours.
    let got = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&got);
    let handler = move |request: hyper::Request<bytes::Bytes>| {
        seen.lock().unwrap().push(request.into_body());
        async { says(200, "{}") }
    };
    let endpoint = HttpServer::start(handler, None).await;
    moto.firehose_stream("orders", &endpoint.url()).await;
    let sink = moto.firehose_sink("orders");
    sink.check().await.unwrap();
    let large = event(2, &format!("{{\"x\":\"{}\"}}", "x".repeat(1000 * 1024)));
    let batch = [events(0..600), vec![large]].concat();
    let verdicts = sink.deliver(&batch).await.unwrap();
    assert_eq!(verdicts[..600], vec![ACCEPTED; 600]);
    assert!(matches!(&verdicts[600], Verdict::Refused(why) if why.contains("1024000")));
    let mut lines = Vec::new();
    for request in got.lock().unwrap().iter() {
        let request: serde_json::Value = serde_json::from_slice(request).unwrap();
        for record in request["records"].as_array().unwrap() {
            let data = BASE64_STANDARD.decode(record["data"].as_str().unwrap()).unwrap();
            lines.push(String::from_utf8(data).unwrap());
        }
    }
    let expect: Vec<_> = (0..600).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    assert_eq!(lines, expect);
}
