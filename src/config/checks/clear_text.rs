//! What may leave this machine in the clear. It works, so it is a warning.

use url::{Host, Url};

use super::Finding;
use crate::{
    config::Settings,
    sinks::{HttpConfig, PostgresConfig, SinkConfig},
};

/// The sinks that do not insist on TLS, with the key to change.
pub(in crate::config) fn sent_in_the_clear(settings: &Settings) -> Vec<Finding> {
    let finding = |(name, why): (&String, &str)| (format!("sinks.{name}.url"), why.to_owned());
    let sinks = settings.sinks.iter().filter_map(|(name, entry)| {
        let why = match &entry.sink {
            SinkConfig::Postgres(config) => postgres(config),
            SinkConfig::Http(config) => http(config),
            _ => None,
        };
        Some((name, why?))
    });
    sinks.map(finding).collect()
}

fn postgres(config: &PostgresConfig) -> Option<&'static str> {
    let url = Url::parse(&config.url).ok()?;
    let mode = url.query_pairs().find(|(name, _)| name == "sslmode").map(|(_, mode)| mode);
    let insists = mode.is_some_and(|mode| matches!(&*mode, "require" | "verify-full"));
    (!insists && leaves_the_machine(&url)).then_some(
        "events and what the server asks for the password may go over the network in the clear: \
         whoever is between can say that the server has no TLS. Write sslmode=require",
    )
}

fn http(config: &HttpConfig) -> Option<&'static str> {
    let url = Url::parse(&config.url).ok()?;
    let secret = config.bearer_env.is_some()
        || config.password_env.is_some()
        || !config.headers_env.is_empty();
    (secret && url.scheme() == "http" && leaves_the_machine(&url))
        .then_some("the secret goes over the network in the clear: write https://")
}

fn leaves_the_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => !address.is_loopback(),
        Some(Host::Ipv6(address)) => !address.to_canonical().is_loopback(),
        // Of a scheme that browsers do not know, the parser takes an address as a name.
        Some(Host::Domain(name)) => {
            let address = name.parse::<std::net::IpAddr>();
            !name.eq_ignore_ascii_case("localhost") && !address.is_ok_and(|it| it.is_loopback())
        }
        None => false,
    }
}
