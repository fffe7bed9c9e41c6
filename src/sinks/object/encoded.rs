//! What became of events that were to be an object.

/// An object, and which events are not in it.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    /// Events that do not fit, by their indices, and why.
    pub(super) refused: Vec<(usize, String)>,
}
