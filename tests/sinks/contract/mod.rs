//! What any sink promises, as functions over a [`Counterpart`]: what the sink delivers to, with a hand
//! on it. A sink joins by one file in `counterparts` and one line in `suites`.
//!
//! | Case | What is shown |
//! |---|---|
//! | accepted | every event is there, whole, in the documented order; requests keep to the service's limits |
//! | throttled | nothing is taken: all of it is sent again, and is there once |
//! | taken in part | only what was not taken is sent again |
//! | answer lost | what was taken without an answer is sent again, and there as often as is documented |
//! | replayed | what a second delivery of the same events leaves behind; of a sink that prepares, of the same batch |
//! | refused | an event that is never taken is refused alone, with the reason; the others are delivered |
//! | slow | the sink waits, and sends nothing twice |
//! | dead and back | the server is ended and started again on its port: the same sink goes on, nothing is lost |
//! | checked | what is dead or misconfigured is found, and nothing is written |
//! | killed | the program is killed at many instants: nothing is lost, twice is only what may be |

mod cases;
mod delivering;
mod killed;

use std::sync::Arc;

use serde_json::Value;
use shardwright::{
    aws::AwsSettings,
    ports::{Sink, SinkError},
    sinks::{SinkConfig, SinkSite, build},
};

pub(crate) use cases::{
    accepted, answer_lost, checked, dead_and_back, refused, replayed, slow, taken_in_part,
    throttled,
};
pub(crate) use killed::killed;

use crate::{
    faults::{Fault, Faults},
    harness::{Daemon, World},
};

/// What `docs/sinks` says of a sink.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Whether events are there in the order in which they are delivered.
    pub(crate) in_order: bool,
    /// What is known again that is there already.
    pub(crate) knows_again: Again,
}

/// What a second delivery may be of, to leave nothing behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nothing is known again: it is there twice.
    No,
    /// An event, however batches are cut.
    Event,
    /// A batch as it was: the sink prepares, so it is what comes again after a crash.
    Batch,
}

/// What a sink delivers to.
pub(crate) trait Counterpart: Sized {
    const PROMISE: Promise;
    /// More events than one request takes, and more bytes than a pipe.
    const MANY: u64 = 1203;

    /// A running one that is empty; `None` when it is not installed, and nobody insists.
    async fn start() -> Option<Self>;

    /// The keys of a `[sinks.<name>]` that delivers here.
    fn config(&self) -> String;

    /// A sink with this configuration, as a process of its own would have it.
    async fn open(&self, config: &str) -> Result<Arc<dyn Sink>, SinkError> {
        let aws = AwsSettings::default();
        let site = SinkSite { application: "orders", name: "delivered", aws: &aws, replay: false };
        let config: SinkConfig = toml::from_str(config).unwrap();
        build(&config, &site).await
    }

    /// The documents that are there, in their order.
    async fn stored(&mut self) -> Vec<Value>;

    /// Ends it, with all its connections. What it held is still known to [`Self::stored`].
    async fn stop(&mut self);

    /// Starts it where it was.
    async fn start_again(&mut self);

    /// The switchboard of one that has such. One that has none shows fewer cases, or in its own way.
    fn faults(&self) -> &Faults {
        unreachable!("it shows no faults: leave the case out of its suite");
    }

    /// Lets the next attempt fail so.
    async fn fail_next(&mut self, fault: Fault) {
        self.faults().fail_next(fault);
    }

    /// Takes nothing from now on, without saying so.
    async fn hold(&mut self) {
        self.faults().hold();
    }

    /// Whether a delivery has come as far as it can.
    fn is_waiting(&self) -> bool {
        self.faults().is_waiting()
    }

    /// After [`Self::hold`].
    async fn let_go(&mut self) {
        self.faults().let_go();
    }

    /// Documents that are never taken, with a part of the reason. None: it takes everything.
    fn refused(&self) -> Vec<(Value, &'static str)> {
        Vec::new()
    }

    /// Configurations in which a human has to change something, with a part of what is said.
    fn misconfigured(&self) -> Vec<(String, &'static str)> {
        Vec::new()
    }

    /// Starts the program in this world.
    fn daemon(&self, world: &World) -> Daemon {
        world.daemon()
    }
}
