//! What the events of one envelope share, in the forms that the stages want, each made once.

use std::{cell::OnceCell, sync::Arc};

use crate::{codec::render_header, model::LogSource};

/// The header of an envelope.
pub(super) struct Header {
    source: Arc<LogSource>,
    json: OnceCell<Vec<u8>>,
}

impl Header {
    pub(super) fn new(source: &Arc<LogSource>) -> Self {
        let source = Arc::clone(source);
        Self { source, json: OnceCell::new() }
    }

    /// Whether this is the header of an event with that source.
    pub(super) fn is_of(&self, source: &Arc<LogSource>) -> bool {
        Arc::ptr_eq(&self.source, source)
    }

    /// What the lines of its events begin with.
    pub(super) fn json(&self) -> &[u8] {
        self.json.get_or_init(|| {
            let mut json = Vec::new();
            render_header(&self.source, &mut json);
            json
        })
    }
}
