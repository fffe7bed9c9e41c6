//! Secrets stay out of what is printed.

use config::{Value, ValueKind};
use url::Url;

/// What stands in a secret's place.
const REDACTED: &str = "(redacted)";

/// Words in a key's name that make its value a secret.
const SECRET: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "credential",
    "api_key",
    "access_key",
    "cookie",
];

/// A value as it may be shown: secrets are replaced.
pub(super) fn shown(key: &str, value: &toml::Value) -> toml::Value {
    if is_secret(key) {
        return REDACTED.into();
    }
    match value {
        toml::Value::String(text) => redact(text).into(),
        toml::Value::Array(items) => {
            toml::Value::Array(items.iter().map(|item| shown(key, item)).collect())
        }
        toml::Value::Table(table) => {
            let shown = |(name, value): (&String, _)| (name.clone(), shown(name, value));
            toml::Value::Table(table.iter().map(shown).collect())
        }
        other => other.clone(),
    }
}

/// Whether the value of a key is a secret, by the key's name.
fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key).to_lowercase().replace('-', "_");
    // The name of an environment variable tells nothing.
    let is_name = name.ends_with("_env") || key.contains("_env.");
    !is_name && SECRET.iter().any(|word| name.contains(word))
}

/// Whether a value, as somebody wrote it, is a secret or holds one.
pub(super) fn may_be_secret(key: &str, value: &Value) -> bool {
    is_secret(key)
        || matches!(&value.kind, ValueKind::Table(table) if table.keys().any(|name| is_secret(name)))
}

/// Takes out of a URL what may be a secret: the user's part, the query and the fragment. Other text
/// stays as it is.
pub(super) fn redact(text: &str) -> String {
    let Some((scheme, _)) = text.split_once("://") else { return text.to_owned() };
    if !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return text.to_owned();
    }
    // A password that holds a `/` ends the host's part early: then the `@` comes later, and nobody
    // can say where the secret begins.
    let Some(mut url) = Url::parse(text).ok().filter(|url| !url.path().contains('@')) else {
        return REDACTED.to_owned();
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !has_user && url.query().is_none() && url.fragment().is_none() {
        return text.to_owned();
    }
    let query = url.query().or(url.fragment()).map(|_| REDACTED);
    url.set_query(query);
    url.set_fragment(None);
    if has_user && (url.set_password(None).is_err() || url.set_username(REDACTED).is_err()) {
        return REDACTED.to_owned();
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_user_and_query() {
        for (text, expect) in [
            ("http://localhost:4566", "http://localhost:4566"),
            (
                "https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com",
                "https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com",
            ),
            ("https://user:pass@host/path", "https://(redacted)@host/path"),
            ("https://user@host", "https://(redacted)@host/"),
            ("https://u:p%40ss@host", "https://(redacted)@host/"),
            ("https://u:p@ss@host", "https://(redacted)@host/"),
            ("https://host/?X-Amz-Security-Token=abc", "https://host/?(redacted)"),
            ("https://host/#token=abc", "https://host/?(redacted)"),
            ("https://u:12/ab@host", "(redacted)"),
            ("https://u:p/ab@host", "(redacted)"),
            ("https://u:p#ab@host", "(redacted)"),
            ("{ $.url = \"http://a?b\" }", "{ $.url = \"http://a?b\" }"),
            ("orders", "orders"),
        ] {
            assert_eq!(redact(text), expect, "{text}");
        }
    }

    #[test]
    fn keys_that_look_secret_are_hidden_whole() {
        for (key, hidden) in [
            ("sinks.db.password", true),
            ("sinks.db.API_Key", true),
            ("sinks.web.bearer_token", true),
            ("sinks.token-archive.path", false),
            ("sinks.next.partition_key", false),
            ("sinks.search.password_env", false),
            ("sinks.search.headers.authorization", true),
            ("sinks.search.headers.X-Api-Key", true),
            ("sinks.search.headers.x-scope-orgid", false),
        ] {
            let value = shown(key, &"value".into());
            assert_eq!(value.as_str() == Some(REDACTED), hidden, "{key}");
        }
    }
}
