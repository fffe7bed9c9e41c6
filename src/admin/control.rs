//! `/drain`, `/pause` and `/resume`: who may, and what they do.

use std::{fmt, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use subtle::ConstantTimeEq;
use tracing::{info, warn};

use super::{Watched, guard::sent_by_another_page};

/// A word that only operators know. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// This word.
    pub fn new(word: impl Into<String>) -> Self {
        Self(word.into())
    }

    /// Whether somebody said the word; takes as long for a good guess as for a bad one of its length.
    fn is(&self, said: &str) -> bool {
        self.0.as_bytes().ct_eq(said.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

type Answer = (StatusCode, String);

pub(super) async fn drain(State(watched): State<Arc<Watched>>, headers: HeaderMap) -> Answer {
    if let Err(refusal) = allowed(&watched, &headers, "drain") {
        return refusal;
    }
    info!("asked to drain through the admin port");
    watched.subject.drain.cancel();
    (StatusCode::ACCEPTED, "draining; the process ends when everything is delivered\n".to_owned())
}

pub(super) async fn pause(State(watched): State<Arc<Watched>>, headers: HeaderMap) -> Answer {
    if let Err(refusal) = allowed(&watched, &headers, "pause") {
        return refusal;
    }
    if watched.subject.context.pause.set(true) {
        warn!("reading paused through the admin port: leases stay, and their lag grows");
    }
    (StatusCode::OK, "paused: leases are kept, nothing is fetched until POST /resume\n".to_owned())
}

pub(super) async fn resume(State(watched): State<Arc<Watched>>, headers: HeaderMap) -> Answer {
    if let Err(refusal) = allowed(&watched, &headers, "resume") {
        return refusal;
    }
    if watched.subject.context.pause.set(false) {
        info!("reading resumed through the admin port");
    }
    (StatusCode::OK, "reading\n".to_owned())
}

/// Who may change something: who knows the token; without one, this machine's people, and not the web
/// pages that their browsers have open.
fn allowed(watched: &Watched, headers: &HeaderMap, what: &str) -> Result<(), Answer> {
    let refuse = |status, why: &str| {
        warn!(what, why, "refused on the admin port");
        Err((status, format!("{why}\n")))
    };
    if sent_by_another_page(headers) {
        return refuse(StatusCode::FORBIDDEN, "a page of another origin may not do that");
    }
    match &watched.subject.token {
        Some(token) => {
            let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let said = said.and_then(|value| value.strip_prefix("Bearer "));
            if !said.is_some_and(|said| token.is(said)) {
                let why = "needs the header `Authorization: Bearer <admin.token>`";
                return refuse(StatusCode::UNAUTHORIZED, why);
            }
        }
        None if !watched.loopback => {
            let why = "the port is open to more than loopback, and no admin.token is set: set \
                SHARDWRIGHT__ADMIN__TOKEN";
            return refuse(StatusCode::FORBIDDEN, why);
        }
        None => {}
    }
    Ok(())
}
