//! One HTTP exchange: target and body in, faults applied, JSON or a stream of events out.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use serde::Deserialize;

use super::connection::Cutter;
use super::error::{ApiError, Failure};
use super::faults::{FaultKind, StreamFault, Verdict, refusal};
use super::frame::EVENT_STREAM;
use super::operation::Operation;
use super::service::Service;
use super::shard::shard_id;
use super::subscription::Subscription;
use super::token::{Position, Token};
use super::wire::JSON;

/// 500 records at 10 MiB in all, as base64, with room for long keys; a larger body is refused.
const MAX_BODY_BYTES: usize = 70 * 1024 * 1024;
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Answers any request, whatever its path: the operation is in a header. Signatures are not checked.
pub(super) async fn handle(
    State(service): State<Arc<Service>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    request: Request,
) -> Response {
    response(exchange(&service, &cutter, request).await)
}

/// What a call is answered with.
enum Answer {
    Document(Vec<u8>),
    Events(Box<Subscription>),
}

async fn exchange(
    service: &Arc<Service>,
    cutter: &Cutter,
    request: Request,
) -> Result<Answer, ApiError> {
    let (parts, body) = request.into_parts();
    let operation = operation_of(&parts.headers)?;
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ApiError::too_large())?;
    let verdict = judge(service, operation, &body);
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    match verdict.outcome {
        None => perform(service, operation, &body, None),
        Some(FaultKind::CutConnection) => {
            cutter.cut();
            Ok(Answer::Document(Vec::new()))
        }
        Some(FaultKind::LoseResponse) => {
            let done = perform(service, operation, &body, None);
            cutter.cut();
            done
        }
        Some(FaultKind::Stream(fault)) => perform(service, operation, &body, Some(fault)),
        Some(kind) => match refusal(kind, operation) {
            Some(error) => Err(error),
            None => perform(service, operation, &body, None),
        },
    }
}

fn perform(
    service: &Arc<Service>,
    operation: Operation,
    body: &[u8],
    fault: Option<StreamFault>,
) -> Result<Answer, ApiError> {
    if operation == Operation::SubscribeToShard {
        return Ok(Answer::Events(Box::new(Subscription::begin(service, body, fault)?)));
    }
    service.call(operation, body).map(Answer::Document)
}

fn operation_of(headers: &HeaderMap) -> Result<Operation, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|value| value.starts_with("application/x-amz-cbor")) {
        return Err(ApiError::serialization(
            "this server speaks JSON only: start a Java client with -Daws.cborEnabled=false",
        ));
    }
    let target = headers.get(TARGET).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Operation::from_target(target).ok_or_else(|| {
        tracing::debug!(target, "operation not supported");
        ApiError::unknown_operation(format!("operation '{target}' is not supported"))
    })
}

fn judge(service: &Service, operation: Operation, body: &[u8]) -> Verdict {
    let faults = &service.settings.faults;
    let shard_id = if faults.need_shard() { shard_in(body) } else { None };
    faults.judge(operation, shard_id.as_deref())
}

/// The shard that a request names, outright or inside its iterator.
fn shard_in(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "ShardId")]
        id: Option<String>,
        #[serde(rename = "ShardIterator")]
        iterator: Option<String>,
        #[serde(rename = "ShardToSplit")]
        to_split: Option<String>,
        #[serde(rename = "ShardToMerge")]
        to_merge: Option<String>,
    }
    let named: Named = serde_json::from_slice(body).ok()?;
    let in_iterator = || {
        let token = Token::<Position>::open(named.iterator.as_deref()?)?;
        Some(shard_id(token.content.shard))
    };
    named.id.or(named.to_split).or(named.to_merge).or_else(in_iterator)
}

fn response(outcome: Result<Answer, ApiError>) -> Response {
    let (status, content_type, body) = match outcome {
        Ok(Answer::Document(body)) => (StatusCode::OK, JSON, Body::from(body)),
        Ok(Answer::Events(subscription)) => {
            let frames = stream::unfold(subscription, async |mut subscription| {
                Some((subscription.next().await?, subscription))
            });
            (StatusCode::OK, EVENT_STREAM, Body::from_stream(frames))
        }
        Err(error) => {
            tracing::trace!(%error, "refused");
            let status = StatusCode::from_u16(error.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, JSON, Body::from(Failure::from(&error).to_json()))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let id = uuid::Uuid::new_v4().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}
