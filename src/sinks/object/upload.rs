//! One object into the store.

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart, path::Path};
use tracing::warn;

/// Parts of one object that are under way at a time.
const PARTS_AT_A_TIME: usize = 4;

/// Puts an object in place, whole or not at all; a larger one in parts. What stands there is overwritten.
///
/// # Errors
/// The store's. Parts that were uploaded are taken back.
///
/// # Cancel safety
/// Dropped in the middle, it may leave parts that no listing shows: a lifecycle rule of the bucket
/// (`AbortIncompleteMultipartUpload`) clears them away.
pub(super) async fn upload(
    store: &dyn ObjectStore,
    key: &Path,
    object: Bytes,
    part_size: usize,
) -> object_store::Result<()> {
    if object.len() <= part_size {
        return store.put(key, object.into()).await.map(drop);
    }
    let parts = store.put_multipart(key).await?;
    let mut write = WriteMultipart::new_with_chunk_size(parts, part_size);
    let mut rest = object;
    while !rest.is_empty() {
        if let Err(error) = write.wait_for_capacity(PARTS_AT_A_TIME).await {
            if let Err(left) = write.abort().await {
                // What failed first is what the batch waits for.
                warn!(call = "s3:AbortMultipartUpload", %key, error = %left, "parts may be left");
            }
            return Err(error);
        }
        write.put(rest.split_to(part_size.min(rest.len())));
    }
    write.finish().await.map(drop)
}
