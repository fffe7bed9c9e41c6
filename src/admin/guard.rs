//! What web pages may not do with the port. A browser on this machine, or within the network, also shows
//! pages of strangers, and lets them send requests here.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::{PAGE, Watched};

/// What every answer carries: no other site frames it, reads it or guesses what it is, and nothing of it is
/// kept.
static HEADERS: LazyLock<[(HeaderName, HeaderValue); 5]> = LazyLock::new(|| {
    let fixed = HeaderValue::from_static;
    [
        (header::CONTENT_SECURITY_POLICY, policy()),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin")),
    ]
});

/// The page runs its own script, known by its hash, and asks this port only.
fn policy() -> HeaderValue {
    let script = PAGE.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>"));
    let hash = BASE64_STANDARD.encode(Sha256::digest(script.map_or("", |(script, _)| script)));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    policy.parse().expect("it is visible ASCII")
}

/// Adds the headers to an answer.
pub(super) async fn harden(mut answer: Response) -> Response {
    answer.headers_mut().extend(HEADERS.clone());
    answer
}

/// Refuses what was sent to another name, while only this machine reaches the port: a page may have pointed
/// a name of its own at loopback (DNS rebinding), and would read the answer.
pub(super) async fn by_own_name(
    State(watched): State<Arc<Watched>>,
    request: Request,
    next: Next,
) -> Response {
    if watched.loopback && !named_loopback(request.headers()) {
        let why = "ask 127.0.0.1 or localhost, by that name\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    next.run(request).await
}

/// Every browser says the name; a client that does not is no browser.
fn named_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| is_loopback(host.host()))
}

fn is_loopback(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether the page of another origin has sent this (CSRF). Browsers say so in `Sec-Fetch-Site`, and in
/// `Origin` of every POST (Fetch standard, "append a request Origin header"); nobody else sends them.
pub(super) fn sent_by_another_page(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    let foreign_site = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let foreign_origin = text(&header::ORIGIN).is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_none() || authority != text(&header::HOST)
    });
    foreign_site || foreign_origin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn only_loopback_s_own_names_are_taken() {
        for host in ["127.0.0.1:9464", "127.8.9.1", "localhost:1", "LOCALHOST", "[::1]:9464"] {
            assert!(named_loopback(&headers(&[("host", host)])), "{host}");
        }
        for host in ["rebound.example:9464", "127.0.0.1.rebound.example", "0.0.0.0", "", "a b"] {
            assert!(!named_loopback(&headers(&[("host", host)])), "{host}");
        }
        assert!(named_loopback(&headers(&[])), "a probe of HTTP/1.0");
    }

    #[test]
    fn pages_of_other_origins_are_known() {
        let host = ("host", "localhost:9464");
        for own in [
            &[][..],
            &[("origin", "http://localhost:9464")],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!sent_by_another_page(&headers(&[&[host], own].concat())), "{own:?}");
        }
        for foreign in [
            ("origin", "https://elsewhere.example"),
            ("origin", "http://localhost:3000"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert!(sent_by_another_page(&headers(&[host, foreign])), "{foreign:?}");
            assert!(sent_by_another_page(&headers(&[foreign])), "{foreign:?}, no host");
        }
    }

    #[test]
    fn the_policy_names_the_page_s_script() {
        assert_eq!(PAGE.matches("<script>").count(), 1);
        assert!(policy().to_str().unwrap().contains("script-src 'sha256-"));
    }
}
