//! The configuration of a `postgres` sink.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::sinks::ValueSource;

/// The configuration of a `postgres` sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgres://user@host:5432/database?sslmode=require`, without a password. `sslmode` is `disable`,
    /// `prefer`, `require`, or `verify-full`, which is the same. Default: `prefer`.
    pub url: String,
    /// The environment variable that holds the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The table, as SQL names it: `orders`, `public.orders`, `"Orders"`. It must be there.
    pub table: String,
    /// Columns, and where their values come from.
    pub columns: BTreeMap<String, ValueSource>,
    /// Columns of a unique index: a row whose key is there updates it. Empty: rows are only added, by
    /// COPY.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns that an update leaves as they are: a row keeps its first value.
    #[serde(default)]
    pub keep_first: Vec<String>,
    /// Whether positions are stored with the rows, so that a replay changes nothing. Default: true.
    #[serde(default = "yes")]
    pub exactly_once: bool,
    /// Most connections of this process. Each delivery needs one. Default: 4.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Time for one batch. Default: 30s.
    #[serde(default = "default_timeout", with = "humantime_serde")]
    pub timeout: Duration,
}

/// The values of `sslmode`; libpq's `allow` and `verify-ca` would check less than we do.
const SSL_MODES: [&str; 4] = ["disable", "prefer", "require", "verify-full"];

fn yes() -> bool {
    true
}

fn default_connections() -> usize {
    4
}

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

impl PostgresConfig {
    /// What cannot be used: the key, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut that = |holds: bool, key: &'static str, why: &str| {
            if !holds {
                found.push((key, why.to_owned()));
            }
        };
        that(
            self.is_url(),
            "url",
            "expected postgres://user@host:5432/database, without a password: that belongs into an \
             environment variable, named by password_env",
        );
        let mode = self.ssl_mode().filter(|mode| !SSL_MODES.contains(&mode.as_str()));
        let why =
            format!("sslmode={}: expected {}", mode.as_deref().unwrap_or(""), SSL_MODES.join(", "));
        that(mode.is_none(), "url", &why);
        that(!self.table.trim().is_empty(), "table", "must name a table");
        that(
            !self.columns.is_empty(),
            "columns",
            "missing: say which fields go where, as in { id = \"$.order.id\", body = \"$\" }",
        );
        let unknown = |names: &[String]| {
            let unknown = names.iter().find(|name| !self.columns.contains_key(*name));
            unknown.map(|name| format!("{name:?} is not among the columns"))
        };
        let key = unknown(&self.key);
        that(key.is_none(), "key", &key.unwrap_or_default());
        let kept = unknown(&self.keep_first);
        that(kept.is_none(), "keep_first", &kept.unwrap_or_default());
        that(
            self.keep_first.is_empty() || !self.key.is_empty(),
            "keep_first",
            "without key no row is ever updated",
        );
        let key: BTreeSet<&String> = self.key.iter().collect();
        that(key.len() == self.key.len(), "key", "names a column twice");
        that(self.connections > 0, "connections", "must be at least 1");
        that(!self.timeout.is_zero(), "timeout", "must be above 0s");
        found
    }

    fn ssl_mode(&self) -> Option<String> {
        let url = Url::parse(&self.url).ok()?;
        let mode = url.query_pairs().find(|(name, _)| name == "sslmode")?;
        Some(mode.1.into_owned())
    }

    /// The URL in the words of the client: certificates and the host's name are checked whenever there
    /// is TLS, so `verify-full` asks for nothing that `require` does not.
    #[cfg(feature = "postgres")]
    pub(super) fn client_url(&self) -> String {
        self.url.replace("sslmode=verify-full", "sslmode=require")
    }

    fn is_url(&self) -> bool {
        Url::parse(&self.url).is_ok_and(|url| {
            let scheme = matches!(url.scheme(), "postgres" | "postgresql");
            let password = url.query_pairs().any(|(name, _)| name == "password");
            scheme && url.has_host() && url.password().is_none() && !password
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_that_cannot_work_are_refused() {
        let config = |url: &str, rest: &str| -> PostgresConfig {
            toml::from_str(&format!("url = '{url}'\ntable = 't'\n{rest}")).unwrap()
        };
        let url = "postgres://me@host/db";
        for mode in ["", "?sslmode=disable", "?sslmode=require", "?sslmode=verify-full"] {
            let url = format!("{url}{mode}");
            assert_eq!(config(&url, "columns = { id = '$.id' }").problems(), []);
        }
        for (url, rest, key) in [
            ("mysql://me@host/db", "columns = { id = '$.id' }", "url"),
            ("postgres://me:secret@host/db", "columns = { id = '$.id' }", "url"),
            ("postgres://me@host/db?password=secret", "columns = { id = '$.id' }", "url"),
            ("postgres://me@host/db?sslmode=verify-ca", "columns = { id = '$.id' }", "url"),
            (url, "columns = {}", "columns"),
            (url, "columns = { id = '$.id' }\nkey = ['other']", "key"),
            (url, "columns = { id = '$.id' }\nkey = ['id', 'id']", "key"),
            (url, "columns = { id = '$.id' }\nkeep_first = ['id']", "keep_first"),
            (url, "columns = { id = '$.id' }\nconnections = 0", "connections"),
            (url, "columns = { id = '$.id' }\ntimeout = '0s'", "timeout"),
        ] {
            let problems = config(url, rest).problems();
            let keys: Vec<_> = problems.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, [key], "{url} {rest}: {problems:?}");
            assert!(!format!("{problems:?}").contains("secret"));
        }
    }
}
