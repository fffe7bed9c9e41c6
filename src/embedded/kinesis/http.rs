//! One HTTP exchange: target and body in, faults applied, JSON out.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::connection::Cutter;
use super::error::ApiError;
use super::faults::{FaultKind, Verdict, refusal};
use super::operation::Operation;
use super::service::Service;
use super::shard::shard_id;
use super::token::{Position, Token};

/// 500 records at 10 MiB in all, as base64, with room for long keys; a larger body is refused.
const MAX_BODY_BYTES: usize = 70 * 1024 * 1024;
const JSON: &str = "application/x-amz-json-1.1";
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

async fn exchange(
    service: &Service,
    cutter: &Cutter,
    request: Request,
) -> Result<Vec<u8>, ApiError> {
    let (parts, body) = request.into_parts();
    let operation = operation_of(&parts.headers)?;
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ApiError::too_large())?;
    let verdict = judge(service, operation, &body);
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    match verdict.outcome {
        None => service.call(operation, &body),
        Some(FaultKind::CutConnection) => {
            cutter.cut();
            Ok(Vec::new())
        }
        Some(FaultKind::LoseResponse) => {
            let done = service.call(operation, &body);
            cutter.cut();
            done
        }
        Some(kind) => match refusal(kind, operation) {
            Some(error) => Err(error),
            None => service.call(operation, &body),
        },
    }
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

fn response(outcome: Result<Vec<u8>, ApiError>) -> Response {
    #[derive(Serialize)]
    struct Failure<'a> {
        #[serde(rename = "__type")]
        code: &'a str,
        message: &'a str,
    }
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            tracing::trace!(%error, "refused");
            let failure = Failure { code: error.code, message: &error.message };
            let body = serde_json::to_vec(&failure).unwrap_or_default();
            let status = StatusCode::from_u16(error.status);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body)
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    let id = uuid::Uuid::new_v4().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}
