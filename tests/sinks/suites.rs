//! The contract, held by every sink. A case that a counterpart cannot show is left out of its line, and
//! why stands above it.

/// One test for each case.
macro_rules! suite {
    ($module:ident: $counterpart:ident [$($case:ident)*]) => {
        mod $module {
            use crate::{contract, counterparts::$counterpart};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    Box::pin(contract::$case::<$counterpart>()).await;
                }
            )*
        }
    };
}

// A pipe takes everything, knows nothing again, and has nothing to check.
suite!(stdout: Stdout [accepted replayed slow dead_and_back killed]);
// A disk takes everything, and cannot be made slow from here.
suite!(file: File [accepted replayed dead_and_back checked killed]);
// A body is taken as a whole.
suite!(http_lines: Lines [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
suite!(http_array: Array [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
suite!(http_search: Search [
    accepted replayed throttled taken_in_part answer_lost refused slow dead_and_back checked killed
]);
suite!(http_loki: Loki [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
// A transaction is taken as a whole.
suite!(postgres_copied: Copied [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
suite!(postgres_upserted: Upserted [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
suite!(kinesis: Kinesis [
    accepted replayed throttled taken_in_part answer_lost refused slow dead_and_back checked killed
]);
suite!(sqs_standard: Queue [
    accepted replayed throttled taken_in_part answer_lost refused slow dead_and_back checked killed
]);
suite!(sqs_fifo: Fifo [
    accepted replayed throttled taken_in_part answer_lost refused slow dead_and_back checked killed
]);
suite!(firehose: Firehose [
    accepted replayed throttled taken_in_part answer_lost refused slow dead_and_back checked killed
]);
// An object is taken as a whole. A disk cannot be made slow from here.
#[cfg(all(feature = "azure", feature = "gcs", feature = "parquet", feature = "s3"))]
suite!(folder: Folder [accepted replayed refused dead_and_back checked killed]);
#[cfg(all(feature = "azure", feature = "gcs", feature = "parquet", feature = "s3"))]
suite!(s3: S3 [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
#[cfg(all(feature = "azure", feature = "gcs", feature = "parquet", feature = "s3"))]
suite!(s3_parquet: S3Parquet [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
#[cfg(all(feature = "azure", feature = "gcs", feature = "parquet", feature = "s3"))]
suite!(azure: Azure [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
#[cfg(all(feature = "azure", feature = "gcs", feature = "parquet", feature = "s3"))]
suite!(gcs: Gcs [
    accepted replayed throttled answer_lost refused slow dead_and_back checked killed
]);
