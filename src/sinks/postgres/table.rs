//! What the catalog says of the target table, and the statements for it.

use tokio_postgres::{
    Client,
    types::{ToSql, Type},
};

use super::{
    PostgresConfig,
    column::{Column, Rendering},
    fault::Fault,
};
use crate::ports::SinkError;

/// The target table with the columns that are written.
pub(super) struct Table {
    /// The schema, quoted: our own tables stand in it too.
    pub(super) schema: String,
    /// Schema and name, quoted.
    name: String,
    pub(super) columns: Vec<Column>,
    /// Indices of the key's columns.
    pub(super) key: Vec<usize>,
    keep_first: Vec<String>,
}

/// Columns of the table that are in the catalog.
const COLUMNS: &str = "
    SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, -1),
           t.typcategory::text, a.attgenerated <> '',
           a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.oid = to_regclass($1)";

/// The columns of its unique indexes that hold for all rows.
const UNIQUE: &str = "
    SELECT (SELECT array_agg(a.attname::text) FROM pg_attribute a
            WHERE a.attrelid = i.indrelid
              AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
    FROM pg_index i
    WHERE i.indrelid = to_regclass($1)
      AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL";

impl Table {
    /// Asks the catalog.
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] with all that does not fit, when something does not.
    pub(super) async fn find(client: &Client, config: &PostgresConfig) -> Result<Self, SinkError> {
        let fault = |error| Fault::from(error).into_error();
        let rows = client.query_typed(COLUMNS, &[(&config.table, Type::TEXT)]).await;
        let rows = rows.map_err(fault)?;
        let Some(first) = rows.first() else {
            return Err(SinkError::Misconfigured(format!(
                "there is no table {}: create it, or look at `table` and at the search_path of the role",
                config.table
            )));
        };
        let schema = quoted(first.get(0));
        let name = format!("{schema}.{}", quoted(first.get(1)));
        let mut problems = Vec::new();
        let mut columns = Vec::new();
        for row in &rows {
            let (name, kind, category): (String, String, String) =
                (row.get(2), row.get(3), row.get(4));
            let (generated, needed): (bool, bool) = (row.get(5), row.get(6));
            match config.columns.get(&name) {
                Some(_) if generated => {
                    problems.push(format!("column {name:?} is generated, it takes no value"));
                }
                Some(source) => {
                    let rendering = Rendering::of(&kind, &category);
                    columns.push(Column { name, kind, rendering, source: source.clone() });
                }
                None if needed => problems.push(format!(
                    "column {name:?} is NOT NULL without a default, and `columns` has nothing for it"
                )),
                None => {}
            }
        }
        for missing in config.columns.keys() {
            if !rows.iter().any(|row| row.get::<_, String>(2) == *missing) {
                problems.push(format!("it has no column {missing:?}"));
            }
        }
        if !config.key.is_empty() && !has_unique_index(client, config).await.map_err(fault)? {
            let key = config.key.join(", ");
            problems.push(format!("it has no unique index on ({key}), the `key`"));
        }
        if !problems.is_empty() {
            let problems = problems.join("; ");
            return Err(SinkError::Misconfigured(format!("table {name}: {problems}")));
        }
        let index = |name: &String| columns.iter().position(|column| column.name == *name);
        let key = config.key.iter().filter_map(index).collect();
        Ok(Self { schema, name, columns, key, keep_first: config.keep_first.clone() })
    }

    /// What the role may not do here.
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`].
    pub(super) async fn check_rights(&self, client: &Client) -> Result<(), SinkError> {
        let needed = if self.key.is_empty() { "INSERT" } else { "INSERT, SELECT, UPDATE" };
        for right in needed.split(", ") {
            let sql = "SELECT has_table_privilege($1, $2)";
            let values: [(&(dyn ToSql + Sync), Type); 2] =
                [(&self.name, Type::TEXT), (&right, Type::TEXT)];
            let rows = client.query_typed(sql, &values).await;
            let rows = rows.map_err(|error| Fault::from(error).into_error())?;
            if !rows.first().is_some_and(|row| row.get(0)) {
                let table = &self.name;
                return Err(SinkError::Misconfigured(format!(
                    "the role may not {right} on {table}: GRANT {needed} ON {table} to it"
                )));
            }
        }
        Ok(())
    }

    /// `COPY … FROM STDIN`, in text.
    pub(super) fn copy(&self) -> String {
        format!("COPY {} ({}) FROM STDIN", self.name, self.names())
    }

    /// The upsert; it takes a list of texts for each column.
    pub(super) fn upsert(&self) -> String {
        let each = |part: &dyn Fn(usize, &Column) -> String| {
            let parts = self.columns.iter().enumerate();
            parts.map(|(index, column)| part(index, column)).collect::<Vec<_>>().join(", ")
        };
        let values = each(&|index, column| format!("u.c{index}::{}", column.kind));
        let lists = each(&|index, _| format!("${}::text[]", index + 1));
        let names = each(&|index, _| format!("c{index}"));
        let key: Vec<_> = self.key.iter().filter_map(|index| self.columns.get(*index)).collect();
        let updates: Vec<String> = self
            .columns
            .iter()
            .filter(|column| !key.iter().any(|other| other.name == column.name))
            .filter(|column| !self.keep_first.contains(&column.name))
            .map(|column| format!("{0} = EXCLUDED.{0}", quoted(&column.name)))
            .collect();
        let action = match updates.is_empty() {
            true => "NOTHING".to_owned(),
            false => format!("UPDATE SET {}", updates.join(", ")),
        };
        let key: Vec<_> = key.iter().map(|column| quoted(&column.name)).collect();
        format!(
            "INSERT INTO {} ({}) SELECT {values} FROM unnest({lists}) AS u({names}) \
             ON CONFLICT ({}) DO {action}",
            self.name,
            self.names(),
            key.join(", ")
        )
    }

    fn names(&self) -> String {
        let names = self.columns.iter().map(|column| quoted(&column.name));
        names.collect::<Vec<_>>().join(", ")
    }
}

async fn has_unique_index(
    client: &Client,
    config: &PostgresConfig,
) -> Result<bool, tokio_postgres::Error> {
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    let key = sorted(config.key.clone());
    let rows = client.query_typed(UNIQUE, &[(&config.table, Type::TEXT)]).await?;
    let mut indexes = rows.iter().filter_map(|row| row.get::<_, Option<Vec<String>>>(0));
    Ok(indexes.any(|index| sorted(index) == key))
}

/// A name as SQL takes it whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
