//! `check --online`: what stands in the way, found without writing.

use shardwright::ports::{Sink, SinkError};

use super::{server::Database, sink};

async fn finding(database: &Database, config: &str) -> String {
    match sink(database, config).check().await {
        Ok(()) => String::new(),
        Err(SinkError::Misconfigured(why)) => why,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn all_that_does_not_fit_is_said_at_once() {
    let Some(database) = Database::start().await else { return };
    let columns = "columns = { id = '$.id', twice = '$.n', absent = '$.a' }\nkey = ['id']";
    let config = format!("table = 't'\n{columns}");
    assert!(finding(&database, &config).await.contains("there is no table t"));
    let sql =
        "CREATE TABLE t (id int, twice int GENERATED ALWAYS AS (id * 2) STORED, need int NOT NULL)";
    database.run(sql).await;
    let found = finding(&database, &config).await;
    for part in [
        "\"twice\" is generated",
        "\"need\" is NOT NULL",
        "no column \"absent\"",
        "unique index on (id)",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    // Indexes that hold for some rows only, or for other columns, do not help.
    database
        .run("CREATE UNIQUE INDEX ON t (id) WHERE id > 1; CREATE UNIQUE INDEX ON t (id, need)")
        .await;
    assert!(finding(&database, &config).await.contains("unique index on (id)"));
    database.run("DROP TABLE t; CREATE TABLE t (id int, UNIQUE (id), twice int, absent int)").await;
    assert_eq!(finding(&database, &config).await, "");
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'shardwright%'";
    assert_eq!(database.rows(tables).await, ["0"], "a check writes nothing");
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let Some(database) = Database::start().await else { return };
    database.run("CREATE ROLE weak LOGIN; CREATE TABLE t (id int PRIMARY KEY)").await;
    let weak =
        |config: &str| format!("{}\n{config}", "table = 'public.t'\ncolumns = { id = '$.id' }");
    let check = async |config: &str| {
        let url = database.url().replace("me@", "weak@");
        let text = format!("url = '{url}'\n{}", weak(config));
        let aws = shardwright::aws::AwsSettings::default();
        let site =
            shardwright::sinks::SinkSite { application: "a", name: "n", aws: &aws, replay: false };
        let sink = shardwright::sinks::PostgresSink::open(toml::from_str(&text).unwrap(), &site);
        sink.unwrap().check().await.map_err(|error| error.to_string())
    };
    assert!(check("").await.unwrap_err().contains("may not INSERT on \"public\".\"t\""));
    database.run("GRANT INSERT ON t TO weak").await;
    assert!(check("key = ['id']").await.unwrap_err().contains("may not SELECT"));
    let found = check("").await.unwrap_err();
    assert!(found.contains("GRANT CREATE ON SCHEMA \"public\""), "{found}");
    check("exactly_once = false").await.unwrap();
    database.run("GRANT CREATE ON SCHEMA public TO weak").await;
    check("").await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_down_is_said_so() {
    let Some(mut database) = Database::start().await else { return };
    database.stop();
    let error =
        sink(&database, "table = 't'\ncolumns = { id = '$.id' }").check().await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
}
