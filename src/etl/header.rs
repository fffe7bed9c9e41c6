//! What the events of one envelope share, in the forms that the stages want, each made once.

use std::{cell::OnceCell, sync::Arc};

use vrl::value::Value;

use super::program_value::text;
use crate::{codec::render_header, model::LogSource};

/// The header of an envelope.
pub(super) struct Header {
    source: Arc<LogSource>,
    json: OnceCell<Vec<u8>>,
    for_program: OnceCell<[Value; 4]>,
}

impl Header {
    pub(super) fn new(source: &Arc<LogSource>) -> Self {
        let source = Arc::clone(source);
        Self { source, json: OnceCell::new(), for_program: OnceCell::new() }
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

    /// Owner, log group, log stream and subscription filters for a program. Copies of them share their
    /// memory.
    pub(super) fn for_program(&self) -> [Value; 4] {
        let values = self.for_program.get_or_init(|| {
            let LogSource { owner, log_group, log_stream, subscription_filters, .. } =
                &*self.source;
            let filters = subscription_filters.iter().map(|name| text(name)).collect();
            [text(owner), text(log_group), text(log_stream), Value::Array(filters)]
        });
        values.clone()
    }
}
