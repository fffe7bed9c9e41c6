//! Rows into the table, the bad ones found between savepoints.

use std::{collections::HashSet, ops::Range};

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::{
    Client,
    types::{ToSql, Type},
};

use super::{fault::Fault, row::Row, table::Table};

/// Writes rows within the transaction that is open. Answers for each why the database refused it, if
/// it did.
///
/// # Errors
/// When no row is at fault; the transaction is then good for nothing.
pub(super) async fn write(
    client: &Client,
    table: &Table,
    rows: &[Row],
) -> Result<Vec<Option<String>>, Fault> {
    let mut refused = vec![None; rows.len()];
    // The next part is the last: rows are written in their order.
    let mut parts = runs(table, rows);
    parts.reverse();
    while let Some(part) = parts.pop() {
        let Some(slice) = rows.get(part.clone()) else { continue };
        client.batch_execute("SAVEPOINT part").await?;
        let why = match insert(client, table, slice).await {
            Ok(()) => continue,
            Err(Fault::Other(error)) => return Err(Fault::Other(error)),
            Err(Fault::Rows(why)) => why,
        };
        client.batch_execute("ROLLBACK TO SAVEPOINT part").await?;
        if part.len() > 1 {
            let middle = part.start + part.len() / 2;
            parts.push(middle..part.end);
            parts.push(part.start..middle);
        } else if let Some(slot) = refused.get_mut(part.start) {
            *slot = Some(why);
        }
    }
    Ok(refused)
}

/// Parts without two rows of one key: a command may not touch a row twice.
fn runs(table: &Table, rows: &[Row]) -> Vec<Range<usize>> {
    if table.key.is_empty() {
        return std::iter::once(0..rows.len()).filter(|all| !all.is_empty()).collect();
    }
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    let mut start = 0;
    for (index, row) in rows.iter().enumerate() {
        let key: Vec<_> = table.key.iter().map(|column| row.get(*column)).collect();
        if seen.contains(&key) {
            runs.push(start..index);
            seen.clear();
            start = index;
        }
        seen.insert(key);
    }
    runs.push(start..rows.len());
    runs.retain(|run| !run.is_empty());
    runs
}

async fn insert(client: &Client, table: &Table, rows: &[Row]) -> Result<(), Fault> {
    if table.key.is_empty() {
        let mut copy = Box::pin(client.copy_in(&table.copy()).await?);
        copy.send(Bytes::from(super::row::copy_text(rows))).await?;
        copy.as_mut().finish().await?;
        return Ok(());
    }
    let columns: Vec<Vec<Option<&str>>> = (0..table.columns.len())
        .map(|column| rows.iter().map(|row| row.get(column)?.as_deref()).collect())
        .collect();
    let values: Vec<(&(dyn ToSql + Sync), Type)> =
        columns.iter().map(|column| (column as _, Type::TEXT_ARRAY)).collect();
    client.query_typed(&table.upsert(), &values).await?;
    Ok(())
}
