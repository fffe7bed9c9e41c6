//! The `http` sink over TLS, with a private authority.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use shardwright::{
    ports::{Sink, SinkError, Verdict},
    sinks::HttpSink,
};

use crate::{
    certificates::{Authority, Certificate},
    events::events,
    wire::{HttpServer, says},
};

/// A server that counts the requests that come through.
async fn server(certificate: &Certificate) -> (HttpServer, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let handler = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { says(204, "") }
    };
    (HttpServer::start(handler, Some(certificate.acceptor())).await, requests)
}

fn sink(url: &str, ca_file: Option<&Path>) -> Result<HttpSink, SinkError> {
    let ca_file = ca_file.map(|path| format!("ca_file = '{}'", path.display()));
    let config = format!("url = '{url}'\n{}", ca_file.unwrap_or_default());
    HttpSink::open(toml::from_str(&config).unwrap())
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    let Some(authority) = Authority::make() else { return };
    let (mut server, requests) = server(&authority.certificate("IP:127.0.0.1")).await;
    let sink = sink(&server.url(), Some(&authority.ca_file())).unwrap();
    sink.check().await.unwrap();
    assert_eq!(sink.deliver(&events(0..2)).await.unwrap(), vec![Verdict::Accepted; 2]);
    server.stop().await;
    let error = sink.deliver(&events(2..4)).await.unwrap_err();
    assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
    server.start_again().await;
    assert_eq!(sink.deliver(&events(2..4)).await.unwrap(), vec![Verdict::Accepted; 2]);
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_that_cannot_prove_its_name_gets_nothing() {
    let Some(authority) = Authority::make() else { return };
    let Some(other) = Authority::make() else { return };
    for (names, ca_file, part) in [
        ("IP:127.0.0.1", None, "UnknownIssuer"),
        // Another authority of the same name.
        ("IP:127.0.0.1", Some(other.ca_file()), "BadSignature"),
        ("DNS:elsewhere.example", Some(authority.ca_file()), "not valid for name"),
    ] {
        let (server, requests) = server(&authority.certificate(names)).await;
        let sink = sink(&server.url(), ca_file.as_deref()).unwrap();
        for refused in [sink.check().await, sink.deliver(&events(0..2)).await.map(|_| ())] {
            let Err(SinkError::Misconfigured(why)) = refused else { panic!("{refused:?}") };
            assert!(why.contains(part) && why.contains("ca_file"), "{part:?} is not in {why:?}");
        }
        assert_eq!(requests.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_said_so() {
    let Some(authority) = Authority::make() else { return };
    let key = authority.certificate("IP:127.0.0.1").key;
    for (path, part) in
        [(Path::new("/nowhere/ca.pem"), "/nowhere/ca.pem"), (&key, "no certificate")]
    {
        let Err(SinkError::Misconfigured(why)) = sink("https://127.0.0.1:1", Some(path)) else {
            panic!("{} is no authority", path.display());
        };
        assert!(why.contains(part), "{why}");
    }
}
