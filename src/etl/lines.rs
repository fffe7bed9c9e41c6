//! Where the documents of one record are written.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::header::Header;
use crate::{codec::render_rest, model::LogEvent};

/// Bytes that are asked of the allocator at a time, unless one document alone is larger.
const PIECE: usize = 8 << 10;

/// Documents share pieces of memory: one of its own for each would cost more than writing it.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    written: BytesMut,
    /// How many more documents will probably be written: a piece holds no more than these.
    more: usize,
}

impl Lines {
    pub(super) fn expect(&mut self, documents: usize) {
        self.more = documents;
    }

    /// The line of an event, as [`crate::codec::render_event`] writes it.
    pub(super) fn event(&mut self, header: &Header<'_>, event: &LogEvent) -> Bytes {
        self.line.clear();
        self.line.extend_from_slice(header.json());
        render_rest(event, &mut self.line);
        self.keep()
    }

    /// What is written, which must be one line.
    ///
    /// # Errors
    /// What `write` says; the line is dropped.
    pub(super) fn line<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Bytes, E> {
        self.line.clear();
        write(&mut self.line)?;
        Ok(self.keep())
    }

    fn keep(&mut self) -> Bytes {
        let size = self.line.len();
        if self.written.capacity() < size {
            self.written.reserve(size.saturating_mul(self.more).min(PIECE).max(size));
        }
        self.more = self.more.saturating_sub(1);
        self.written.extend_from_slice(&self.line);
        self.written.split().freeze()
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_document_takes_no_more_memory_than_it_needs() {
        let mut lines = Lines::default();
        lines.expect(1);
        lines.line = vec![b'x'; 1000];
        assert_eq!(lines.keep().len(), 1000);
        assert!(lines.written.capacity() < 100, "{}", lines.written.capacity());
    }

    #[test]
    fn documents_share_pieces_and_keep_their_bytes() {
        let mut lines = Lines::default();
        lines.expect(100);
        let mut write = |byte| {
            lines.line = vec![byte; 1000];
            lines.keep()
        };
        let kept: Vec<Bytes> = (0..100).map(&mut write).collect();
        for (byte, line) in (0..).zip(&kept) {
            assert!(line.len() == 1000 && line.iter().all(|found| *found == byte));
        }
    }
}
