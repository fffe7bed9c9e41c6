//! Where the documents of one record are written.

use std::fmt;

use bytes::{Bytes, BytesMut};
use vrl::value::Value;

use super::{header::Header, program_value};
use crate::{codec::render_rest, model::LogEvent};

/// Bytes that are asked of the allocator at a time.
const PIECE: usize = 8 << 10;

/// Documents share pieces of memory: one of its own for each would cost more than writing it.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    written: BytesMut,
}

impl Lines {
    /// The line of an event, as [`crate::codec::render_event`] writes it.
    pub(super) fn event(&mut self, header: &Header, event: &LogEvent) -> Bytes {
        self.line.clear();
        self.line.extend_from_slice(header.json());
        render_rest(event, &mut self.line);
        self.keep()
    }

    /// What a program has made, in one line.
    pub(super) fn document(&mut self, document: &Value) -> serde_json::Result<Bytes> {
        self.line.clear();
        program_value::write(document, &mut self.line)?;
        Ok(self.keep())
    }

    fn keep(&mut self) -> Bytes {
        if self.written.capacity() < self.line.len() {
            self.written.reserve(self.line.len().max(PIECE));
        }
        self.written.extend_from_slice(&self.line);
        self.written.split().freeze()
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}
