//! `test` and `replay` as a script sees them: real processes, no AWS.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod chapter;
mod program;
mod replay;
mod test_command;
