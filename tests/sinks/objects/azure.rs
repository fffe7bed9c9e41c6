//! What only the `azure` sink has: its credentials, and large blobs in blocks.

use shardwright::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::ObjectSink,
};
use tempfile::TempDir;

use super::store::{ACCOUNT, BUCKET, KEY, SIGNATURE, Store};
use crate::{
    events::{event, events},
    harness::{Installed, Server},
};

fn sink(server: &Server, keys: &str, credential: (&str, &str)) -> ObjectSink {
    let config = toml::from_str(&format!(
        "account = '{ACCOUNT}'\ncontainer = '{BUCKET}'\nprefix = ''\n{keys}\n\
         endpoint_url = '{}/{ACCOUNT}'",
        server.endpoint()
    ));
    let credential = (credential.0.to_owned(), credential.1.to_owned());
    ObjectSink::azure(config.unwrap(), [credential], false).unwrap()
}

#[tokio::test]
async fn a_signature_is_a_credential_and_is_never_shown() {
    let Some(installed) = Installed::find_all(&["azurite"]) else { return };
    let dir = TempDir::new().unwrap();
    let mut server = Server::azurite(&installed, dir.path()).await;
    let store = Store::azurite(&server.endpoint());
    let signed = sink(&server, "", ("AZURE_STORAGE_SAS_TOKEN", SIGNATURE));
    assert_eq!(signed.deliver(&events(1..4)).await.unwrap(), vec![Verdict::Accepted; 3]);
    signed.check().await.unwrap();
    assert_eq!(store.keys(), ["orders-shardId-000000000000-1-3.jsonl.gz"]);
    let forged = SIGNATURE.replace("sig=", "sig=A");
    let forged = sink(&server, "", ("AZURE_STORAGE_SAS_TOKEN", &forged));
    let other_key = KEY.replacen("Eby8", "Fby8", 1);
    let other = sink(&server, "", ("AZURE_STORAGE_ACCOUNT_KEY", &other_key));
    let mut errors = Vec::new();
    for sink in [&forged, &other] {
        for error in
            [sink.check().await.unwrap_err(), sink.deliver(&events(4..5)).await.unwrap_err()]
        {
            assert!(matches!(error, SinkError::Misconfigured(_)), "{error:?}");
            errors.push(error);
        }
    }
    server.kill();
    errors.push(signed.check().await.unwrap_err());
    errors.push(signed.deliver(&events(4..5)).await.unwrap_err());
    let mut shown: Vec<_> = errors.iter().map(|error| format!("{error} {error:?}")).collect();
    shown.extend([&signed, &other].map(|sink| format!("{sink:?}")));
    for text in shown {
        for secret in ["sig=", "eiqK1mR5dgnh", "vdM02xNOcqFl"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_large_blob_goes_up_in_blocks() {
    let Some(installed) = Installed::find_all(&["azurite"]) else { return };
    let dir = TempDir::new().unwrap();
    let server = Server::azurite(&installed, dir.path()).await;
    let store = Store::azurite(&server.endpoint());
    let keys = "compression = 'none'\npart_size = '5MiB'";
    let sink = sink(&server, keys, ("AZURE_STORAGE_ACCOUNT_KEY", KEY));
    let text = format!("{{\"id\":\"{}\"}}", "x".repeat(1 << 20));
    let batch: Vec<OutputEvent> = (1..14).map(|number| event(number, &text)).collect();
    sink.deliver(&batch).await.unwrap();
    let [key] = &store.keys()[..] else { panic!("{:?}", store.keys()) };
    let expect = [text.as_str(), "\n"].concat().repeat(13);
    assert!(store.read(key) == expect.as_bytes(), "it is not what was sent");
}
