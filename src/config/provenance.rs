//! The effective settings, one by one, with where each came from.

use sha2::{Digest, Sha256};

use super::redact::shown;

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key, such as `lease.failover_time` or `streams[0].name`.
    pub key: String,
    /// The value as TOML, typed and in its one spelling; secrets are replaced.
    pub value: String,
    /// `default`, the file and line, or the environment variable.
    pub origin: String,
    /// Of the whole value: two secrets differ although they look the same.
    digest: [u8; 32],
}

impl Setting {
    pub(super) fn new(key: String, value: &toml::Value, origin: String) -> Self {
        let digest = Sha256::digest(value.to_string()).into();
        Self { value: shown(&key, value).to_string(), key, origin, digest }
    }

    /// Mixes key and value into a hash.
    pub(super) fn hash_into(&self, hash: &mut Sha256) {
        hash.update(&self.key);
        hash.update(self.digest);
    }
}
