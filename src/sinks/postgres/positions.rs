//! How far each shard is written, and what was refused on the way: two tables of ours in the schema of
//! the target.

use std::{collections::BTreeMap, fmt::Write};

use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use super::fault::Fault;
use crate::{
    model::{Place, Position},
    ports::SinkError,
};

/// The two tables in one schema, for one sink of one application.
pub(super) struct Positions {
    /// Quoted.
    pub(super) schema: String,
    pub(super) application: String,
    pub(super) sink: String,
}

/// One shard of a stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ShardKey {
    pub(super) stream: String,
    pub(super) shard: String,
}

/// Columns of a place.
const PLACE: &str = "sequence_number, sub_sequence_number, event_index, route, document";
/// Says that our tables are being made, to other workers that would.
const LOCK: i64 = 0x0073_6861_7264_7772;

impl Positions {
    async fn are_there(&self, client: &Client) -> Result<bool, Fault> {
        let sql = "SELECT count(to_regclass(name)) = 2 FROM unnest($1::text[]) AS t(name)";
        let name = |table| format!("{}.shardwright_{table}", self.schema);
        let names = ["positions", "refusals"].map(name).to_vec();
        let found = client.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await?;
        Ok(found.first().is_some_and(|row| row.get(0)))
    }

    /// Whether the tables are there, or could be created.
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`].
    pub(super) async fn check(&self, client: &Client) -> Result<(), SinkError> {
        if self.are_there(client).await.map_err(Fault::into_error)? {
            return Ok(());
        }
        let schema = &self.schema;
        let sql = "SELECT bool_or(has_schema_privilege(oid, 'CREATE')) FROM pg_namespace \
                   WHERE quote_ident(nspname) = $1 OR nspname = trim(both '\"' from $1)";
        let rows = client.query_typed(sql, &[(schema, Type::TEXT)]).await;
        let rows = rows.map_err(|error| Fault::from(error).into_error())?;
        if rows.first().is_some_and(|row| row.get::<_, Option<bool>>(0) == Some(true)) {
            return Ok(());
        }
        Err(SinkError::Misconfigured(format!(
            "the role may not create the tables shardwright_positions and shardwright_refusals: GRANT \
             CREATE ON SCHEMA {schema} to it, or set exactly_once = false"
        )))
    }

    /// Creates the tables where they are not there. One transaction.
    pub(super) async fn ensure(&self, client: &Client) -> Result<(), Fault> {
        if self.are_there(client).await? {
            return Ok(());
        }
        let schema = &self.schema;
        let key = "application text NOT NULL, stream text NOT NULL, shard text NOT NULL, \
                   sink text NOT NULL, sequence_number text NOT NULL, \
                   sub_sequence_number bigint NOT NULL, event_index bigint NOT NULL, \
                   route bigint NOT NULL, document bigint NOT NULL";
        // Two that create at the same time would disturb each other even with IF NOT EXISTS.
        let create = format!(
            "BEGIN; SELECT pg_advisory_xact_lock({LOCK});
             CREATE TABLE IF NOT EXISTS {schema}.shardwright_positions ({key}, \
                updated_at timestamptz NOT NULL DEFAULT now(), \
                PRIMARY KEY (application, stream, shard, sink));
             CREATE TABLE IF NOT EXISTS {schema}.shardwright_refusals ({key}, \
                reason text NOT NULL, refused_at timestamptz NOT NULL DEFAULT now(), \
                PRIMARY KEY (application, stream, shard, sink, {PLACE}));
             COMMIT"
        );
        Ok(client.batch_execute(&create).await?)
    }

    /// Locks the shard's row until the transaction ends, and answers the place up to which the shard
    /// is written. Another transaction on this shard waits here, and then sees what this one did.
    pub(super) async fn lock(
        &self,
        client: &Client,
        shard: &ShardKey,
    ) -> Result<Option<Place>, Fault> {
        let schema = &self.schema;
        let sql = format!(
            "SELECT {PLACE} FROM {schema}.shardwright_positions \
             WHERE application = $1 AND stream = $2 AND shard = $3 AND sink = $4 FOR UPDATE"
        );
        let rows = client.query_typed(&sql, &self.key(shard)).await?;
        if let Some(row) = rows.first() {
            return Ok(place(row));
        }
        // An empty row to lock. If another has just made one, this waits until it is committed.
        let insert = format!(
            "INSERT INTO {schema}.shardwright_positions \
             (application, stream, shard, sink, {PLACE}) VALUES ($1, $2, $3, $4, '', 0, 0, 0, 0) \
             ON CONFLICT DO NOTHING"
        );
        client.query_typed(&insert, &self.key(shard)).await?;
        let rows = client.query_typed(&sql, &self.key(shard)).await?;
        Ok(rows.first().and_then(place))
    }

    /// Stores the place up to which the shard is written. Its row is locked.
    pub(super) async fn store(
        &self,
        client: &Client,
        shard: &ShardKey,
        place: &Place,
    ) -> Result<(), Fault> {
        let sql = format!(
            "UPDATE {}.shardwright_positions SET ({PLACE}) = ($5, $6, $7, $8, $9), updated_at = now() \
             WHERE application = $1 AND stream = $2 AND shard = $3 AND sink = $4",
            self.schema
        );
        let (sequence, numbers) = columns(place);
        let mut values = self.key(shard).to_vec();
        values.push((&sequence, Type::TEXT));
        values.extend(numbers.iter().map(|number| (number as Sql<'_>, Type::INT8)));
        client.query_typed(&sql, &values).await?;
        Ok(())
    }

    /// Notes what was refused.
    pub(super) async fn refuse(
        &self,
        client: &Client,
        shard: &ShardKey,
        refused: &[(Place, String)],
    ) -> Result<(), Fault> {
        let schema = &self.schema;
        for (place, reason) in refused {
            let sql = format!(
                "INSERT INTO {schema}.shardwright_refusals \
                 (application, stream, shard, sink, {PLACE}, reason) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"
            );
            let (sequence, numbers) = columns(place);
            let mut values = self.key(shard).to_vec();
            values.push((&sequence, Type::TEXT));
            values.extend(numbers.iter().map(|number| (number as Sql<'_>, Type::INT8)));
            values.push((reason, Type::TEXT));
            client.query_typed(&sql, &values).await?;
        }
        Ok(())
    }

    /// What was refused of the shard, with the reasons.
    pub(super) async fn refusals(
        &self,
        client: &Client,
        shard: &ShardKey,
    ) -> Result<BTreeMap<Place, String>, Fault> {
        let sql = format!(
            "SELECT {PLACE}, reason FROM {}.shardwright_refusals \
             WHERE application = $1 AND stream = $2 AND shard = $3 AND sink = $4",
            self.schema
        );
        let rows = client.query_typed(&sql, &self.key(shard)).await?;
        Ok(rows.iter().filter_map(|row| Some((place(row)?, row.get(5)))).collect())
    }

    /// Forgets what was refused before this place: a worker that begins here has a checkpoint behind
    /// all of it, so those are dead letters.
    pub(super) async fn forget_before(
        &self,
        client: &Client,
        shard: &ShardKey,
        place: &Place,
    ) -> Result<(), Fault> {
        let mut sql = format!(
            "DELETE FROM {}.shardwright_refusals \
             WHERE application = $1 AND stream = $2 AND shard = $3 AND sink = $4 \
             AND (sequence_number::numeric, sub_sequence_number, event_index, route, document) < \
             ($5::text::numeric",
            self.schema
        );
        for number in 6..=9 {
            // Writing into a string cannot fail.
            let _ = write!(sql, ", ${number}");
        }
        sql.push(')');
        let (sequence, numbers) = columns(place);
        let mut values = self.key(shard).to_vec();
        values.push((&sequence, Type::TEXT));
        values.extend(numbers.iter().map(|number| (number as Sql<'_>, Type::INT8)));
        client.query_typed(&sql, &values).await?;
        Ok(())
    }

    fn key<'a>(&'a self, shard: &'a ShardKey) -> [(Sql<'a>, Type); 4] {
        [
            (&self.application, Type::TEXT),
            (&shard.stream, Type::TEXT),
            (&shard.shard, Type::TEXT),
            (&self.sink, Type::TEXT),
        ]
    }
}

type Sql<'a> = &'a (dyn ToSql + Sync);

/// A place as [`PLACE`] has it: the sequence number, and the others as `bigint`.
fn columns(place: &Place) -> (&str, [i64; 4]) {
    let Place { position: Position { sequence, sub_sequence }, event, route, document } = place;
    let sub_sequence = i64::try_from(*sub_sequence).unwrap_or(i64::MAX);
    (sequence.as_str(), [sub_sequence, (*event).into(), (*route).into(), (*document).into()])
}

/// `None` for the empty row of a shard of which nothing is written yet.
fn place(row: &Row) -> Option<Place> {
    let sequence = row.get::<_, &str>(0).parse().ok()?;
    let number = |column: usize| row.get::<_, i64>(column);
    Some(Place {
        position: Position { sequence, sub_sequence: number(1).try_into().ok()? },
        event: number(2).try_into().ok()?,
        route: number(3).try_into().ok()?,
        document: number(4).try_into().ok()?,
    })
}
