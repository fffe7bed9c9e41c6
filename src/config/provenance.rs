//! The effective settings, one by one, with where each came from.

use config::{Value, ValueKind};

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key, such as `lease.failover_time` or `streams[0].name`.
    pub key: String,
    /// The value as TOML; secrets are replaced.
    pub value: String,
    /// `default`, the file, or the environment.
    pub origin: String,
}

/// Words in a key that make its value a secret.
const SECRET: [&str; 5] = ["password", "secret", "token", "authorization", "credential"];

/// Lists a tree of values, sorted by key.
pub fn effective(root: &Value) -> Vec<Setting> {
    let mut settings = Vec::new();
    walk(String::new(), root, &mut settings);
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

fn walk(key: String, value: &Value, out: &mut Vec<Setting>) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (name, inner) in table {
                let dot = if key.is_empty() { "" } else { "." };
                walk(format!("{key}{dot}{name}"), inner, out);
            }
        }
        ValueKind::Array(items)
            if items.iter().any(|item| matches!(item.kind, ValueKind::Table(_))) =>
        {
            for (index, inner) in items.iter().enumerate() {
                walk(format!("{key}[{index}]"), inner, out);
            }
        }
        _ => {
            let origin = value.origin().unwrap_or("the environment").to_owned();
            let lowered = key.to_lowercase();
            let secret = SECRET.iter().any(|word| lowered.contains(word));
            let value = if secret { "\"(redacted)\"".to_owned() } else { toml_text(value) };
            out.push(Setting { key, value: redact_url(value), origin });
        }
    }
}

fn toml_text(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => toml::Value::String(text.clone()).to_string(),
        ValueKind::Array(items) => {
            format!("[{}]", items.iter().map(toml_text).collect::<Vec<_>>().join(", "))
        }
        _ => value.to_string(),
    }
}

/// Takes the user's part out of a URL: `https://user:password@host` is a secret in plain sight.
fn redact_url(value: String) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value };
    match rest.split_once('@') {
        Some((user, host)) if !user.contains('/') => format!("{scheme}://(redacted)@{host}"),
        _ => value,
    }
}
