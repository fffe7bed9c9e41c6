//! All streams of the server and the way from a call to its operation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::clock::{Clock, millis};
use super::error::ApiError;
use super::faults::Faults;
use super::limits::Limits;
use super::operation::Operation;
use super::shard::{Shard, parse_shard_id};
use super::stream::{Status, Stream};

/// How to reach a stream from several calls at a time.
pub(super) type Handle = Arc<Mutex<Stream>>;

/// How a server behaves, as its builder left it.
pub(super) struct Settings {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) faults: Faults,
    pub(super) region: String,
    pub(super) account: String,
    /// How long a stream stays CREATING, UPDATING or DELETING.
    pub(super) status_window: Duration,
}

pub(super) struct Service {
    pub(super) settings: Settings,
    /// Ends the subscriptions when the server shuts down.
    pub(super) closing: CancellationToken,
    streams: RwLock<BTreeMap<String, Handle>>,
}

impl Service {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, closing: CancellationToken::new(), streams: RwLock::default() }
    }

    /// Performs one call: a JSON document in, a JSON document (or nothing) out.
    pub(super) fn call(&self, operation: Operation, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        match operation {
            Operation::AddTagsToStream => silent(body, |r| self.add_tags_to_stream(r)),
            Operation::CreateStream => silent(body, |r| self.create_stream(r)),
            Operation::DecreaseStreamRetentionPeriod => {
                silent(body, |r| self.decrease_retention(&r))
            }
            Operation::DeleteStream => silent(body, |r| self.delete_stream(&r)),
            Operation::DeregisterStreamConsumer => {
                silent(body, |r| self.deregister_stream_consumer(&r))
            }
            Operation::DescribeAccountSettings => {
                answer(body, |_: Nothing| Ok(Self::describe_account_settings()))
            }
            Operation::DescribeLimits => answer(body, |_: Nothing| Ok(self.describe_limits())),
            Operation::DescribeStream => answer(body, |r| self.describe_stream(&r)),
            Operation::DescribeStreamConsumer => {
                answer(body, |r| self.describe_stream_consumer(&r))
            }
            Operation::DescribeStreamSummary => answer(body, |r| self.describe_stream_summary(&r)),
            Operation::DisableEnhancedMonitoring | Operation::EnableEnhancedMonitoring => {
                answer(body, |r| self.enhanced_monitoring(r))
            }
            Operation::GetRecords => answer(body, |r| self.get_records(r)),
            Operation::GetShardIterator => answer(body, |r| self.get_shard_iterator(&r)),
            Operation::IncreaseStreamRetentionPeriod => {
                silent(body, |r| self.increase_retention(&r))
            }
            Operation::ListShards => answer(body, |r| self.list_shards(&r)),
            Operation::ListStreamConsumers => answer(body, |r| self.list_stream_consumers(&r)),
            Operation::ListStreams => answer(body, |r| self.list_streams(r)),
            Operation::ListTagsForResource => answer(body, |r| self.list_tags_for_resource(r)),
            Operation::ListTagsForStream => answer(body, |r| self.list_tags_for_stream(&r)),
            Operation::MergeShards => silent(body, |r| self.merge_shards(r)),
            Operation::PutRecord => answer(body, |r| self.put_record(r)),
            Operation::PutRecords => answer(body, |r| self.put_records(r)),
            Operation::RegisterStreamConsumer => answer(body, |r| self.register_stream_consumer(r)),
            Operation::RemoveTagsFromStream => silent(body, |r| self.remove_tags_from_stream(r)),
            Operation::SplitShard => silent(body, |r| self.split_shard(r)),
            Operation::StartStreamEncryption => silent(body, |r| self.start_stream_encryption(r)),
            Operation::StopStreamEncryption => silent(body, |r| self.stop_stream_encryption(r)),
            Operation::SubscribeToShard => Err(ApiError::unknown_operation(
                "SubscribeToShard answers with a stream of events: call it over HTTP",
            )),
            Operation::TagResource => silent(body, |r| self.tag_resource(r)),
            Operation::UntagResource => silent(body, |r| self.untag_resource(r)),
            Operation::UpdateMaxRecordSize => silent(body, |r| self.update_max_record_size(r)),
            Operation::UpdateShardCount => answer(body, |r| self.update_shard_count(r)),
            Operation::UpdateStreamMode => silent(body, |r| self.update_stream_mode(r)),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.settings.clock.now_millis()
    }

    pub(super) fn status_window_ms(&self) -> u64 {
        millis(self.settings.status_window)
    }

    pub(super) fn arn(&self, stream: &str) -> String {
        let Settings { region, account, .. } = &self.settings;
        format!("arn:aws:kinesis:{region}:{account}:stream/{stream}")
    }

    /// `stream … under account …`, as most messages put it.
    pub(super) fn place(&self, stream: &str) -> String {
        format!("stream {stream} under account {}", self.settings.account)
    }

    /// The stream that a call names by its name, its ARN, or both if they agree.
    pub(super) fn name_of(
        &self,
        name: Option<&str>,
        arn: Option<&str>,
    ) -> Result<String, ApiError> {
        let Some(arn) = arn else {
            return name.map(str::to_owned).ok_or_else(|| {
                ApiError::invalid_argument("either StreamName or StreamARN must be given")
            });
        };
        let in_arn = arn.rsplit_once(":stream/").map(|(_, name)| name).filter(|n| !n.is_empty());
        let Some(in_arn) = in_arn else {
            return Err(ApiError::constraint(
                "streamARN",
                arn,
                "Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+",
            ));
        };
        if name.is_some_and(|name| name != in_arn) {
            return Err(ApiError::invalid_argument("StreamName and StreamARN name two streams"));
        }
        if arn != self.arn(in_arn) {
            return Err(ApiError::not_found(format!("stream {arn} not found")));
        }
        Ok(in_arn.to_owned())
    }

    /// Runs `work` on a stream that has been brought up to date.
    pub(super) fn with_stream<R>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Stream, u64) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        let handle = self.read_streams().get(name).map(Arc::clone);
        let handle = handle.ok_or_else(|| self.no_such_stream(name))?;
        let mut stream = lock(&handle);
        let now_ms = self.now_ms();
        stream.settle(now_ms);
        if stream.is_deleted() {
            return Err(self.no_such_stream(name));
        }
        work(&mut stream, now_ms)
    }

    /// As [`Service::with_stream`], on a stream that has shards to read and write.
    pub(super) fn with_shards_of<R>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Stream, u64) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        self.with_stream(name, |stream, now_ms| match stream.status() {
            Status::Creating | Status::Deleting => Err(self.no_such_stream(name)),
            Status::Active | Status::Updating => work(stream, now_ms),
        })
    }

    /// As [`Service::with_stream`], on a stream that may be changed.
    pub(super) fn with_active<R>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Stream, u64) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        self.with_stream(name, |stream, now_ms| match stream.status() {
            Status::Active => work(stream, now_ms),
            status => Err(ApiError::in_use(format!(
                "{} not ACTIVE, instead in state {}",
                self.place(name),
                status.name()
            ))),
        })
    }

    /// Adds a stream unless one of its name exists.
    pub(super) fn insert(&self, stream: Stream) -> Result<(), ApiError> {
        let name = stream.name.clone();
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(existing) = streams.get(&name) {
            let mut existing = lock(existing);
            existing.settle(self.now_ms());
            if !existing.is_deleted() {
                return Err(ApiError::in_use(format!("{} already exists", self.place(&name))));
            }
        }
        streams.insert(name, Arc::new(Mutex::new(stream)));
        Ok(())
    }

    /// Applies `look` to every stream, in the order of their names, and forgets deleted ones.
    pub(super) fn each_stream<R>(&self, mut look: impl FnMut(&Stream) -> R) -> Vec<R> {
        let handles: Vec<Handle> = self.read_streams().values().map(Arc::clone).collect();
        let now_ms = self.now_ms();
        let mut seen = Vec::new();
        for handle in handles {
            let mut stream = lock(&handle);
            stream.settle(now_ms);
            if !stream.is_deleted() {
                seen.push(look(&stream));
                continue;
            }
            let name = stream.name.clone();
            drop(stream);
            self.forget(&name, &handle);
        }
        seen
    }

    /// Frees a deleted stream, unless a new one has taken its name.
    pub(super) fn forget(&self, name: &str, handle: &Handle) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.get(name).is_some_and(|current| Arc::ptr_eq(current, handle)) {
            streams.remove(name);
        }
    }

    /// The shard that a call names.
    pub(super) fn shard_of<'s>(&self, stream: &'s Stream, id: &str) -> Result<&'s Shard, ApiError> {
        let number = parse_shard_id(id);
        number.and_then(|number| stream.shards.get(&number)).ok_or_else(|| {
            let place = self.place(&stream.name);
            ApiError::not_found(format!("shard {id} in {place} does not exist"))
        })
    }

    pub(super) fn no_such_stream(&self, name: &str) -> ApiError {
        ApiError::not_found(format!("{} not found", self.place(name)))
    }

    fn read_streams(&self) -> RwLockReadGuard<'_, BTreeMap<String, Handle>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream stays usable after a panic in another call: no operation leaves one half-changed.
fn lock(handle: &Handle) -> MutexGuard<'_, Stream> {
    handle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(serde::Deserialize)]
struct Nothing {}

pub(super) fn request<Q: DeserializeOwned>(body: &[u8]) -> Result<Q, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| ApiError::serialization(error.to_string()))
}

fn answer<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let answer = operation(request(body)?)?;
    serde_json::to_vec(&answer).map_err(|error| ApiError::internal(error.to_string()))
}

/// An operation whose answer has no body.
fn silent<Q: DeserializeOwned>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    operation(request(body)?)?;
    Ok(Vec::new())
}
