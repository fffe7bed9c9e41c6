//! What an answer means for the batch.

use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::RETRY_AFTER};

use crate::ports::SinkError;

/// Characters of an answer's body that an error shows.
const SHOWN: usize = 300;

/// An answer, whole.
pub(super) struct Reply {
    /// The request, for people.
    pub(super) what: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// `Ok` for a 2xx.
    ///
    /// # Errors
    /// What another status means: see the table of the module.
    pub(super) fn success(self) -> Result<Self, SinkError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let said = self.said();
        Err(match self.status.as_u16() {
            408 | 425 | 429 | 500..=599 => match self.retry_after() {
                Some(retry_after) => SinkError::Busy { reason: said, retry_after },
                None => SinkError::Unavailable(said),
            },
            300..=399 => SinkError::Misconfigured(format!("{said}: give the URL it redirects to")),
            401 | 403 | 407 => SinkError::Misconfigured(format!(
                "{said}: look at bearer_env, user, password_env, headers_env, and what they may do"
            )),
            404 | 405 | 410 | 421 => SinkError::Misconfigured(format!("{said}: look at url")),
            _ => SinkError::BatchRefused(said),
        })
    }

    /// The request, the status and the beginning of the body.
    pub(super) fn said(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shown: String = line.chars().take(SHOWN).collect();
        if shown.len() < line.len() {
            shown.push('…');
        }
        let Self { what, status, .. } = self;
        let colon = if shown.is_empty() { "" } else { ": " };
        format!("{what}: HTTP {status}{colon}{shown}")
    }

    /// Seconds, or a date (RFC 9110, section 10.2.3).
    fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(date.duration_since(jiff::Timestamp::now())).ok()
    }
}
