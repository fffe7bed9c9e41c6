//! What the events of one envelope share, in the forms that the stages want, each made once.

use std::{cell::OnceCell, ptr, sync::Arc};

use super::document::Document;
use crate::{codec::render_header, model::LogSource};

/// The header of an envelope.
pub(super) struct Header<'e> {
    source: &'e LogSource,
    json: OnceCell<Vec<u8>>,
    fields: OnceCell<HeaderFields<'e>>,
}

/// Its known fields, for programs.
pub(super) struct HeaderFields<'e> {
    pub(super) owner: Document<'e>,
    pub(super) log_group: Document<'e>,
    pub(super) log_stream: Document<'e>,
    pub(super) subscription_filters: Document<'e>,
}

impl<'e> Header<'e> {
    pub(super) fn new(source: &'e LogSource) -> Self {
        Self { source, json: OnceCell::new(), fields: OnceCell::new() }
    }

    /// Whether this is the header of an event with that source.
    pub(super) fn is_of(&self, source: &Arc<LogSource>) -> bool {
        ptr::eq(self.source, &raw const **source)
    }

    /// What the lines of its events begin with.
    pub(super) fn json(&self) -> &[u8] {
        self.json.get_or_init(|| {
            let mut json = Vec::new();
            render_header(self.source, &mut json);
            json
        })
    }

    pub(super) fn fields(&self) -> &HeaderFields<'e> {
        self.fields.get_or_init(|| {
            let filters = self.source.subscription_filters.iter();
            HeaderFields {
                owner: Document::text(&self.source.owner),
                log_group: Document::text(&self.source.log_group),
                log_stream: Document::text(&self.source.log_stream),
                subscription_filters: Document::Array(filters.map(|f| Document::text(f)).collect()),
            }
        })
    }
}
