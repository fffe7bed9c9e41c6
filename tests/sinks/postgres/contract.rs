//! What any sink promises: accepted, refused, slow, dead and back.

use shardwright::ports::{Sink, SinkError, Verdict};

use super::{server::Database, sink};
use crate::events::{event, events};

const ACCEPTED: Verdict = Verdict::Accepted;

#[tokio::test]
async fn values_have_the_types_of_their_columns() {
    let Some(database) = Database::start().await else { return };
    let columns = "columns = { id = '$.id', price = '$.price', at = '$.at', body = '$', tags = '$.tags', \
                   flag = '$.flag', note = '$.note', shard = '%shard', seen = '%arrival' }";
    let types = "id bigint PRIMARY KEY, price numeric(20, 2), at timestamptz, body jsonb, \
                 tags text[], flag boolean, note varchar(20), shard text, seen timestamptz, \
                 made text DEFAULT 'by default'";
    let expect = "1|12345678901234.50|2023-11-14 22:13:20.123+00|it's|{a,NULL,\"b c\"}|t|NULL|\
                  shardId-000000000000|2023-11-14 22:13:20+00|by default";
    for (table, rest) in [("upserted", "key = ['id']"), ("copied", "")] {
        database.run(&format!("CREATE TABLE {table} ({types})")).await;
        let sink = sink(&database, &format!("table = '{table}'\n{columns}\n{rest}"));
        let json = r#"{"id":1,"price":12345678901234.50,"at":1700000000123,"text":"it's",
            "tags":["a",null,"b c"],"flag":true,"note":null}"#;
        assert_eq!(sink.deliver(&[event(1, json)]).await.unwrap(), [ACCEPTED]);
        let sql = format!(
            "SET timezone = 'UTC'; SELECT id, price, at, body->>'text', tags, flag, note, shard, seen, \
             made FROM {table}"
        );
        assert_eq!(database.rows(&sql).await, [expect], "{table}");
        database.run("TRUNCATE shardwright_positions").await;
    }
}

#[tokio::test]
async fn an_upsert_updates_all_but_what_keeps_its_first_value() {
    let Some(database) = Database::start().await else { return };
    database.run("CREATE TABLE t (id int, b text, first text, last text, UNIQUE (b, id))").await;
    let config = "table = 't'\nkey = ['id', 'b']\nkeep_first = ['first']\n\
                  columns = { id = '$.id', b = '$.b', first = '$.v', last = '$.v' }";
    let sink = sink(&database, config);
    let row = |number: u64, id: u64, value: &str| {
        event(number, &format!(r#"{{"id":{id},"b":"x","v":"{value}"}}"#))
    };
    // The same key twice in one batch: a command may not touch a row twice.
    let batch = [row(1, 7, "a"), row(2, 8, "b"), row(3, 7, "c"), row(4, 7, "d")];
    assert_eq!(sink.deliver(&batch).await.unwrap(), vec![ACCEPTED; 4]);
    assert_eq!(sink.deliver(&[row(5, 8, "e")]).await.unwrap(), [ACCEPTED]);
    let rows = database.rows("SELECT id, first, last FROM t ORDER BY id").await;
    assert_eq!(rows, ["7|a|d", "8|b|e"]);
}

#[tokio::test]
async fn a_bad_row_is_refused_alone_with_the_databases_words() {
    let Some(database) = Database::start().await else { return };
    let config = "table = 't'\ncolumns = { id = '$.id', n = '$.n', short = '$.short' }";
    for (number, rest) in ["key = ['id']", ""].into_iter().enumerate() {
        let sql = "DROP TABLE IF EXISTS t, parents, shardwright_positions, shardwright_refusals; \
            CREATE TABLE parents (id int PRIMARY KEY); \
            CREATE TABLE t (id int NOT NULL, n int CHECK (n < 100), short varchar(3), \
              UNIQUE (id), \
              FOREIGN KEY (n) REFERENCES parents DEFERRABLE INITIALLY DEFERRED); \
            INSERT INTO parents SELECT generate_series(1, 50); \
            CREATE OR REPLACE FUNCTION grumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
              IF NEW.n = 13 THEN RAISE EXCEPTION 'not thirteen'; END IF; RETURN NEW; END $$; \
            CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION grumble()";
        database.run(sql).await;
        let sink = sink(&database, &format!("{config}\n{rest}"));
        let refused = [
            (r#"{"id":2,"n":"many"}"#, "invalid input syntax for type integer"),
            (r#"{"id":3,"n":100}"#, "t_n_check"),
            (r#"{"n":1}"#, "null value in column"),
            (r#"{"id":4,"short":"four"}"#, "too long for type character varying(3)"),
            (r#"{"id":5,"n":13}"#, "not thirteen"),
            (r#"{"id":6,"n":99}"#, "violates foreign key constraint"),
            (r#"{"id":7,"short":"\u0000"}"#, "0x00"),
            (r#"{"id":99999999999}"#, "out of range"),
            ("[1]", "null value in column"),
        ];
        let mut batch = vec![event(1, r#"{"id":1,"n":1}"#)];
        for (index, (json, _)) in (2..).zip(refused) {
            batch.push(event(index, json));
        }
        batch.push(event(50, r#"{"id":50,"n":50,"short":"abc"}"#));
        let verdicts = sink.deliver(&batch).await.unwrap();
        assert_eq!((&verdicts[0], &verdicts[10]), (&ACCEPTED, &ACCEPTED), "{verdicts:?}");
        for (verdict, (json, part)) in verdicts[1..].iter().zip(refused) {
            assert!(
                matches!(verdict, Verdict::Refused(why) if why.contains(part)),
                "{number} {json}: {verdict:?}"
            );
        }
        assert_eq!(
            database.rows("SELECT id, short FROM t ORDER BY id").await,
            ["1|NULL", "50|abc"]
        );
    }
}

#[tokio::test]
async fn a_dead_database_is_waited_for() {
    let Some(mut database) = Database::start().await else { return };
    database.run("CREATE TABLE t (id int)").await;
    let sink = sink(&database, "table = 't'\ncolumns = { id = '$.id' }");
    assert_eq!(sink.deliver(&events(1..3)).await.unwrap(), vec![ACCEPTED; 2]);
    database.stop();
    for _ in 0..2 {
        let error = sink.deliver(&events(3..5)).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
    }
    database.begin().await;
    assert_eq!(sink.deliver(&events(3..5)).await.unwrap(), vec![ACCEPTED; 2]);
    assert_eq!(database.rows("SELECT id FROM t ORDER BY id").await, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_slow_database_is_given_up_and_tried_again() {
    let Some(database) = Database::start().await else { return };
    database.run("CREATE TABLE t (id int)").await;
    let config = "table = 't'\ncolumns = { id = '$.id' }";
    let patient = sink(&database, config);
    assert_eq!(patient.deliver(&events(1..2)).await.unwrap(), [ACCEPTED]);
    let other = database.connect().await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE t").await.unwrap();
    let hasty = sink(&database, &format!("{config}\ntimeout = '300ms'"));
    let error = hasty.deliver(&events(2..3)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(patient.deliver(&events(2..3)).await.unwrap(), [ACCEPTED]);
    assert_eq!(database.rows("SELECT id FROM t ORDER BY id").await, ["1", "2"]);
}

#[tokio::test]
async fn a_table_that_is_not_there_wants_a_human_and_no_restart() {
    let Some(database) = Database::start().await else { return };
    let sink = sink(&database, "table = 't'\ncolumns = { id = '$.id', n = '$.n' }");
    let missing = |error: SinkError, part: &str| {
        let SinkError::Misconfigured(why) = error else { panic!("{error:?}") };
        assert!(why.contains(part), "{why}");
    };
    missing(sink.deliver(&events(1..2)).await.unwrap_err(), "there is no table t");
    database.run("CREATE TABLE t (id int)").await;
    missing(sink.deliver(&events(1..2)).await.unwrap_err(), "no column \"n\"");
    database.run("ALTER TABLE t ADD n int").await;
    assert_eq!(sink.deliver(&events(1..2)).await.unwrap(), [ACCEPTED]);
    database.run("ALTER TABLE t DROP n").await;
    missing(sink.deliver(&events(2..3)).await.unwrap_err(), "\"n\"");
    database.run("ALTER TABLE t ADD n int").await;
    assert_eq!(sink.deliver(&events(2..3)).await.unwrap(), [ACCEPTED]);
}
