//! TLS to the database, by `sslmode`.

use std::path::Path;

use shardwright::{
    aws::AwsSettings,
    ports::{Sink, SinkError, Verdict},
    sinks::{PostgresSink, SinkSite},
};

use super::server::Database;
use crate::{
    certificates::{Authority, Certificate},
    events::events,
};

fn sink(database: &Database, mode: &str, ca_file: Option<&Path>) -> PostgresSink {
    let url = database.url().replace("sslmode=disable", mode);
    let ca_file = ca_file.map(|path| format!("ca_file = '{}'", path.display()));
    let config = format!(
        "url = '{url}'\ntable = 't'\ncolumns = {{ id = '$.id' }}\n{}",
        ca_file.unwrap_or_default()
    );
    let aws = AwsSettings::default();
    let site = SinkSite { application: "orders", name: "rows", aws: &aws, replay: false };
    PostgresSink::open(toml::from_str(&config).unwrap(), &site).unwrap()
}

async fn database(certificate: Option<&Certificate>) -> Option<Database> {
    let mut database = Database::start().await?;
    if let Some(certificate) = certificate {
        database.use_tls(certificate).await;
    }
    database.run("CREATE TABLE t (id int)").await;
    Some(database)
}

/// Delivers, and answers whether the sink's connection is encrypted.
async fn is_encrypted(database: &Database, sink: &PostgresSink) -> bool {
    sink.check().await.unwrap();
    assert_eq!(sink.deliver(&events(0..2)).await.unwrap(), vec![Verdict::Accepted; 2]);
    let sql = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
               WHERE application_name = 'shardwright'";
    let rows = database.rows(sql).await;
    sink.close().await.unwrap();
    let [one] = &rows[..] else { panic!("{rows:?}") };
    one == "t"
}

async fn refusal(database: &Database, sink: &PostgresSink) -> SinkError {
    let error = sink.deliver(&events(0..2)).await.unwrap_err();
    assert_eq!(sink.check().await.unwrap_err().to_string(), error.to_string());
    assert_eq!(database.rows("SELECT * FROM t").await, Vec::<String>::new());
    error
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    let Some(authority) = Authority::make() else { return };
    let certificate = authority.certificate("IP:127.0.0.1");
    for mode in ["sslmode=require", "sslmode=verify-full", "sslmode=prefer", ""] {
        let Some(database) = database(Some(&certificate)).await else { return };
        let sink = sink(&database, mode, Some(&authority.ca_file()));
        assert!(is_encrypted(&database, &sink).await, "{mode}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_gets_nothing() {
    let Some(authority) = Authority::make() else { return };
    for (names, ca_file, part) in [
        ("IP:127.0.0.1", None, "UnknownIssuer"),
        ("DNS:elsewhere.example", Some(authority.ca_file()), "not valid for name"),
    ] {
        let Some(database) = database(Some(&authority.certificate(names))).await else { return };
        // `prefer` too: what is encrypted is checked.
        for mode in ["sslmode=require", "sslmode=prefer"] {
            let sink = sink(&database, mode, ca_file.as_deref());
            let SinkError::Misconfigured(why) = refusal(&database, &sink).await else {
                panic!("{names} {mode}");
            };
            assert!(why.contains(part) && why.contains("ca_file"), "{part:?} is not in {why:?}");
        }
    }
}

#[tokio::test]
async fn without_tls_on_the_server_only_who_requires_it_is_held_up() {
    let Some(database) = database(None).await else { return };
    let error = refusal(&database, &sink(&database, "sslmode=require", None)).await;
    assert!(error.to_string().contains("does not support TLS"), "{error}");
    assert!(!is_encrypted(&database, &sink(&database, "sslmode=prefer", None)).await);
}

#[tokio::test]
async fn a_server_that_wants_tls_says_so() {
    let Some(authority) = Authority::make() else { return };
    let Some(database) = database(Some(&authority.certificate("IP:127.0.0.1"))).await else {
        return;
    };
    let plain = sink(&database, "sslmode=disable", None);
    assert!(!is_encrypted(&database, &plain).await);
    database.run("TRUNCATE t").await;
    database.refuse_plain_connections_of("tls_only").await;
    let url = database.url().replace("me@", "tls_only@");
    let config = format!("url = '{url}'\ntable = 't'\ncolumns = {{ id = '$.id' }}");
    let aws = AwsSettings::default();
    let site = SinkSite { application: "orders", name: "rows", aws: &aws, replay: false };
    let sink = PostgresSink::open(toml::from_str(&config).unwrap(), &site).unwrap();
    let SinkError::Misconfigured(why) = refusal(&database, &sink).await else {
        panic!("a plain connection was taken");
    };
    assert!(why.contains("no encryption"), "{why}");
}
