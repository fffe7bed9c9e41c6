//! Queues of moto, behind the proxy.

use std::{collections::HashSet, sync::Arc};

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName};
use serde_json::{Value, json};
use shardwright::{
    ports::{Sink, SinkError},
    sinks::{SinkConfig, SqsSink},
};

use super::{Moto, large, moto::connection};
use crate::{
    contract::{Again, Counterpart, Promise},
    faults::Faults,
    proxy::{self, REFUSED},
    wire::HttpServer,
};

/// A standard queue.
pub(crate) struct Queue(Behind);

/// A FIFO queue.
pub(crate) struct Fifo(Behind);

struct Behind {
    moto: Moto,
    faults: Faults,
    proxy: HttpServer,
    name: &'static str,
    /// What was read, and is not in the queue any more.
    read: Vec<Value>,
    /// Deduplication ids of what was read: SQS knows them for five minutes, moto only while the
    /// message is there.
    known: HashSet<String>,
}

impl Behind {
    async fn start(name: &'static str) -> Option<Self> {
        let (moto, faults) = (Moto::start().await?, Faults::new());
        let proxy = proxy::before(&moto.server.endpoint(), &faults).await;
        let (read, known) = (Vec::new(), HashSet::new());
        let behind = Self { moto, faults, proxy, name, read, known };
        behind.create().await;
        Some(behind)
    }

    async fn create(&self) {
        let create = self.moto.sqs().create_queue().queue_name(self.name);
        let mut create = create.attributes(QueueAttributeName::MaximumMessageSize, "262144");
        if self.is_fifo() {
            create = create.attributes(QueueAttributeName::FifoQueue, "true");
        }
        create.send().await.unwrap();
    }

    fn is_fifo(&self) -> bool {
        self.name.rsplit('.').next() == Some("fifo")
    }

    fn url(&self) -> String {
        format!("{}/123456789012/{}", self.moto.server.endpoint(), self.name)
    }

    fn config(&self) -> String {
        format!(
            "type = \"sqs\"\nqueue_url = \"{}\"\nendpoint_url = \"{}\"\ngroup = \"%shard\"\n\
             maximum_request_size = \"256KiB\"",
            self.url(),
            self.proxy.url()
        )
    }

    async fn open(&self, config: &str) -> Arc<dyn Sink> {
        let SinkConfig::Sqs(config) = toml::from_str(config).unwrap() else {
            unreachable!("it says so");
        };
        Arc::new(SqsSink::on(config, &connection(&self.proxy.url()).await))
    }

    /// Takes out all that is in the queue.
    async fn stored(&mut self) -> Vec<Value> {
        let (sqs, url) = (self.moto.sqs(), self.url());
        loop {
            let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(10);
            let receive = receive.message_system_attribute_names("All".into());
            let messages = receive.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return self.read.clone();
            }
            let mut delete = sqs.delete_message_batch().queue_url(&url);
            for (index, message) in messages.into_iter().enumerate() {
                let entry = DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle.unwrap());
                delete = delete.entries(entry.build().unwrap());
                let attributes = message.attributes.unwrap_or_default();
                let mut attributes = attributes.iter();
                let id = attributes.find(|(name, _)| name.as_str() == "MessageDeduplicationId");
                let new = id.is_none_or(|(_, id)| self.known.insert(id.clone()));
                if new {
                    self.read.push(serde_json::from_str(&message.body.unwrap()).unwrap());
                }
            }
            delete.send().await.unwrap();
        }
    }

    async fn stop(&mut self) {
        self.stored().await;
        self.moto.server.kill();
    }

    async fn start_again(&mut self) {
        self.moto.server.start_again().await;
        self.create().await;
    }

    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        let with = |from: &str, to: &str| self.config().replace(from, to);
        let nowhere = if self.is_fifo() { "nowhere.fifo" } else { "nowhere" };
        vec![
            (with(self.name, nowhere), "sqs:GetQueueAttributes"),
            (with("256KiB", "1MiB"), "maximum_request_size = 262144"),
        ]
    }
}

macro_rules! counterpart {
    ($name:ident, $queue:literal, $promise:expr) => {
        impl Counterpart for $name {
            const PROMISE: Promise = $promise;
            // Reading a long queue takes moto minutes.
            const MANY: u64 = 73;

            async fn start() -> Option<Self> {
                Some(Self(Behind::start($queue).await?))
            }

            fn config(&self) -> String {
                self.0.config()
            }

            async fn open(&self, config: &str) -> Result<Arc<dyn Sink>, SinkError> {
                Ok(self.0.open(config).await)
            }

            async fn stored(&mut self) -> Vec<Value> {
                self.0.stored().await
            }

            async fn stop(&mut self) {
                self.0.stop().await;
            }

            async fn start_again(&mut self) {
                self.0.start_again().await;
            }

            fn faults(&self) -> &Faults {
                &self.0.faults
            }

            fn refused(&self) -> Vec<(Value, &'static str)> {
                let unwanted = json!({"text": REFUSED});
                vec![(large(256 << 10), "maximum_request_size"), (unwanted, "InvalidMessageContents")]
            }

            fn misconfigured(&self) -> Vec<(String, &'static str)> {
                self.0.misconfigured()
            }
        }
    };
}

counterpart!(Queue, "orders", Promise { in_order: false, knows_again: Again::No });
counterpart!(Fifo, "orders.fifo", Promise { in_order: true, knows_again: Again::Event });
