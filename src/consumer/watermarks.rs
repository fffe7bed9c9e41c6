//! How far the windows of routes had come at a checkpoint: what the lease row keeps of it.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    etl::window::{Watermark, Window},
    model::{Checkpoint, Lease, Position},
};

/// What is written with a checkpoint, and read with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    /// The checkpoint that it belongs to.
    at: String,
    routes: BTreeMap<String, KeptRoute>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptRoute {
    /// The length of the windows, in milliseconds: those of another length are other windows.
    size: u64,
    #[serde(flatten)]
    mark: Watermark,
}

const VERSION: u32 = 1;

impl Kept {
    /// The watermarks of routes at a checkpoint.
    pub(super) fn new<'r>(
        at: &Position,
        marks: impl Iterator<Item = (&'r Arc<str>, &'r Arc<Window>, Watermark)>,
    ) -> Self {
        let route = |(name, window, mark): (&Arc<str>, &Arc<Window>, _)| {
            (name.to_string(), KeptRoute { size: window.millis(), mark })
        };
        Self { version: VERSION, at: at.to_string(), routes: marks.map(route).collect() }
    }

    /// What was kept with the checkpoint of a lease; nothing if what is there belongs to another one.
    /// `any` says whether somebody wants to know.
    pub(super) fn of(lease: &Lease, any: bool) -> Self {
        let nothing = Self { version: VERSION, at: String::new(), routes: BTreeMap::new() };
        let (Checkpoint::After(position), Some(text), true) =
            (&lease.checkpoint, &lease.watermarks, any)
        else {
            return nothing;
        };
        match serde_json::from_str::<Self>(text) {
            Ok(kept) if kept.version == VERSION && kept.at == position.to_string() => kept,
            _ => {
                warn!(lease = %lease.key, %position, "the watermarks of windows belong to another \
                    checkpoint: windows that began before this one are counted in part");
                nothing
            }
        }
    }

    /// The watermark of a route.
    pub(super) fn mark(&self, name: &str, window: &Window) -> Option<Watermark> {
        let kept = self.routes.get(name)?;
        let same = kept.size == window.millis();
        if !same {
            warn!(
                route = name,
                was_ms = kept.size,
                "the windows have another length than before: \
                those that are cut by the change are counted in part"
            );
        }
        same.then_some(kept.mark)
    }

    /// As the row keeps it.
    pub(super) fn text(&self) -> Option<Arc<str>> {
        serde_json::to_string(self).ok().map(Arc::from)
    }
}
