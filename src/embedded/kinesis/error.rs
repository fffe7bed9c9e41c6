//! Refusals as the service words them: an HTTP status, an error code and a message.

use axum::http::StatusCode;
use serde::Serialize;

/// The server's answer to a call that it refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The error's name as an SDK reports it, such as `ResourceNotFoundException`.
    pub code: &'static str,
    /// The sentence for people.
    pub message: String,
    /// The HTTP status: 400 for the caller's mistakes and throttling, 500 for the server's.
    pub status: u16,
}

impl ApiError {
    fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: StatusCode::BAD_REQUEST.as_u16() }
    }

    pub(super) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::refused("InvalidArgumentException", message)
    }

    /// A value that breaks the API model's own constraint (length, range, pattern, enum).
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::refused("ValidationException", message)
    }

    /// [`ApiError::validation`] in the sentence that the service uses for one member.
    pub(super) fn constraint(member: &str, value: &str, constraint: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy \
             constraint: {constraint}"
        ))
    }

    /// A required member that is not there.
    pub(super) fn missing(member: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
             Member must not be null"
        ))
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::refused("ResourceNotFoundException", message)
    }

    pub(super) fn in_use(message: impl Into<String>) -> Self {
        Self::refused("ResourceInUseException", message)
    }

    pub(super) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::refused("LimitExceededException", message)
    }

    pub(super) fn throughput_exceeded(message: impl Into<String>) -> Self {
        Self::refused("ProvisionedThroughputExceededException", message)
    }

    pub(super) fn expired_iterator(message: impl Into<String>) -> Self {
        Self::refused("ExpiredIteratorException", message)
    }

    pub(super) fn expired_token(message: impl Into<String>) -> Self {
        Self::refused("ExpiredNextTokenException", message)
    }

    /// The failure that a test asked for.
    pub(super) fn injected(code: &'static str) -> Self {
        Self::refused(code, "injected fault")
    }

    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self::refused("SerializationException", message)
    }

    pub(super) fn unknown_operation(message: impl Into<String>) -> Self {
        Self::refused("UnknownOperationException", message)
    }

    pub(super) fn too_large() -> Self {
        Self {
            code: "RequestEntityTooLargeException",
            message: "the request body is larger than this server takes".to_owned(),
            status: StatusCode::PAYLOAD_TOO_LARGE.as_u16(),
        }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self {
            code: "InternalFailure",
            message: message.into(),
            status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
        }
    }
}

/// A refusal as it travels.
#[derive(Serialize)]
pub(super) struct Failure<'e> {
    #[serde(rename = "__type")]
    code: &'e str,
    message: &'e str,
}

impl<'e> From<&'e ApiError> for Failure<'e> {
    fn from(error: &'e ApiError) -> Self {
        Self { code: error.code, message: &error.message }
    }
}

impl Failure<'_> {
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("two texts always serialize")
    }
}
