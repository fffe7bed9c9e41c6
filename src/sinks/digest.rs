//! Ids that must not be long.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The SHA-256 of a text, 64 hex digits: the same on every replay.
pub(super) fn sha256(text: &str) -> String {
    let mut shown = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        // Writing into a string cannot fail.
        let _ = write!(shown, "{byte:02x}");
    }
    shown
}
