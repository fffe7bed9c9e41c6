//! `test` and `replay` as a script sees them: real processes, no AWS.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod blocks;
mod chapter;
#[cfg(all(
    feature = "embedded",
    feature = "postgres",
    feature = "sqs",
    feature = "firehose",
    feature = "s3"
))]
mod pages;
mod program;
mod replay;
mod test_command;
