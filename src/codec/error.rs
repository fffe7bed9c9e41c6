//! Why a payload was refused.

use super::{envelope::EnvelopeError, gunzip::GunzipError};

/// Why a payload was refused. The same payload is refused for the same cause every time, so it goes
/// to the dead letters at once and is never tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing is there, perhaps only after decompression.
    #[error("the record is empty")]
    Empty,
    /// It cannot be decompressed.
    #[error(transparent)]
    Gunzip(#[from] GunzipError),
    /// It is not text.
    #[error("not utf-8 from byte {offset} on")]
    Utf8 {
        /// The first byte that is wrong, counted after decompression.
        offset: usize,
    },
    /// A document is not a CloudWatch Logs envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A document is not JSON.
    #[error("document {document}: not json: {problem}")]
    Json {
        /// The number of the document, from 1.
        document: usize,
        /// What the parser said.
        problem: String,
    },
    /// It holds more documents than one record may hold events.
    #[error("more than {limit} events in one record")]
    TooManyEvents {
        /// The most events allowed in one record.
        limit: usize,
    },
}

impl DecodeError {
    /// The step that refused it: `payload`, `gunzip`, `utf8`, `envelope` or `json`. Stable, for
    /// metrics and dead letters.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Empty => "payload",
            Self::Gunzip(_) => "gunzip",
            Self::Utf8 { .. } => "utf8",
            Self::Envelope(_) => "envelope",
            Self::Json { .. } | Self::TooManyEvents { .. } => "json",
        }
    }

    /// The cause in one stable word, such as `truncated` or `missing-message-type`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Gunzip(error) => error.reason(),
            Self::Utf8 { .. } => "invalid-utf8",
            Self::Envelope(error) => error.problem.reason(),
            Self::Json { .. } => "not-json",
            Self::TooManyEvents { .. } => "too-many-events",
        }
    }
}
