//! Secrets: they come from the environment, and are never printed.

use std::fmt;

use crate::ports::SinkError;

/// A secret, read from an environment variable that the configuration names.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    /// Reads the variable `name`; `key` is the key of the configuration that names it.
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when it is not set.
    pub(super) fn from_environment(key: &str, name: &str) -> Result<Self, SinkError> {
        match std::env::var(name) {
            Ok(secret) if !secret.is_empty() => Ok(Self(secret)),
            _ => Err(SinkError::Misconfigured(format!(
                "the environment variable {name} is not set ({key}): set it where the process starts"
            ))),
        }
    }

    /// As it is, for a request.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
