//! What only the `gcs` sink has: its tokens, and large objects in parts. moto's S3 stands for the service: its
//! requests and answers are those of Google's XML API, as far as the sink uses it.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::Request;
use serde_json::{Value, json};
use shardwright::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::ObjectSink,
};
use tempfile::TempDir;

use super::store::{BUCKET, Store};
use crate::{
    certificates::{has_openssl, openssl},
    events::{event, events},
    harness::{Books, Daemon, Installed, Producer, Server, Stream, World, wait_until},
    proxy::forward,
    wire::{Answer, HttpServer, says},
};

const ACCOUNT: &str = "writer@orders.iam.gserviceaccount.com";
const TOKEN: (&str, &str) = ("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.of-a-person");

/// moto behind a door that lets in by tokens, and beside it the metadata server.
struct Google {
    door: HttpServer,
    store: Store,
    /// The tokens of all requests, in their order.
    seen: Arc<Mutex<Vec<String>>>,
    moto: Server,
    dir: TempDir,
}

impl Google {
    async fn start(lets_in: fn(&str) -> bool) -> Option<Self> {
        let installed = Installed::find_all(&["moto"])?;
        let dir = TempDir::new().unwrap();
        let moto = Server::moto(&installed, dir.path()).await;
        let store = Store::moto(&moto.endpoint());
        let authority = moto.endpoint().trim_start_matches("http://").to_owned();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let tokens = Arc::clone(&seen);
        let handler =
            move |request| answer(request, authority.clone(), lets_in, Arc::clone(&tokens));
        let door = HttpServer::start(handler, None).await;
        Some(Self { door, store, seen, moto, dir })
    }

    fn sink(&self, keys: &str, (name, value): (&str, &str)) -> Result<ObjectSink, SinkError> {
        let url = self.door.url();
        let config = format!("bucket = '{BUCKET}'\nprefix = ''\nendpoint_url = '{url}'\n{keys}");
        let variable = (name.to_owned(), value.to_owned());
        ObjectSink::gcs(toml::from_str(&config).unwrap(), [variable], false)
    }

    /// As `GOOGLE_APPLICATION_CREDENTIALS` names it.
    fn credentials(&self, file: &Value) -> String {
        let path = self.dir.path().join("credentials.json");
        fs::write(&path, file.to_string()).unwrap();
        path.display().to_string()
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// A token of the metadata server is at its end when it is handed out.
async fn answer(
    request: Request<Bytes>,
    authority: String,
    lets_in: fn(&str) -> bool,
    seen: Arc<Mutex<Vec<String>>>,
) -> Answer {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if request.uri().path() == "/computeMetadata/v1/instance/service-accounts/default/token" {
        assert_eq!(header("metadata-flavor"), Some("Google"));
        let token = format!("metadata-{}", seen.lock().unwrap().len());
        let body = json!({"access_token": token, "expires_in": 0, "token_type": "Bearer"});
        return says(200, body.to_string());
    }
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let token = token.unwrap_or_default().to_owned();
    let known = lets_in(&token);
    seen.lock().unwrap().push(token);
    match known {
        true => forward(request, &authority).await,
        false => says(401, "<Error><Code>AuthenticationRequired</Code></Error>"),
    }
}

/// A service account's key, in PEM, and what proves its signatures.
fn key(dir: &Path) -> String {
    let [private, public] = ["key.pem", "public.pem"].map(|name| dir.join(name));
    let mut make = Command::new("openssl");
    make.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]);
    openssl(make.arg(&private));
    let mut show = Command::new("openssl");
    openssl(show.args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public));
    fs::read_to_string(private).unwrap()
}

/// What a token says, which the key in this directory has signed.
fn claims(token: &str, dir: &Path) -> Value {
    let (text, signature) = token.rsplit_once('.').unwrap();
    let [text_file, signature_file] = ["text", "signature"].map(|name| dir.join(name));
    fs::write(&text_file, text).unwrap();
    fs::write(&signature_file, BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let mut verify = Command::new("openssl");
    verify.args(["dgst", "-sha256", "-verify"]).arg(dir.join("public.pem"));
    openssl(verify.arg("-signature").arg(signature_file).arg(text_file));
    let claims = text.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn a_service_account_signs_its_tokens_itself() {
    let Some(google) = Google::start(|token| token.starts_with("ey")).await else { return };
    if !has_openssl() {
        return;
    }
    let dir = google.dir.path();
    let file = json!({"type": "service_account", "client_email": ACCOUNT, "private_key": key(dir),
        "private_key_id": "1", "token_uri": "https://oauth2.googleapis.com/token"});
    let path = google.credentials(&file);
    let sink = google.sink("", ("GOOGLE_APPLICATION_CREDENTIALS", &path)).unwrap();
    sink.check().await.unwrap();
    assert_eq!(sink.deliver(&events(1..4)).await.unwrap(), vec![Verdict::Accepted; 3]);
    assert_eq!(google.store.keys(), ["orders-shardId-000000000000-1-3.jsonl.gz"]);
    let [listed, put] = &google.seen()[..] else { panic!("{:?}", google.seen()) };
    assert_eq!(listed, put, "one token serves for an hour");
    let claims = claims(put, dir);
    assert_eq!([&claims["iss"], &claims["sub"]], [ACCOUNT, ACCOUNT]);
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    let [from, to] = ["iat", "exp"].map(|name| claims[name].as_u64().unwrap());
    assert_eq!(to - from, 3600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metadata_servers_tokens_are_renewed_when_they_end() {
    let Some(google) = Google::start(|token| token.starts_with("metadata-")).await else { return };
    let world = World::embedded().await;
    let url = google.door.url();
    let gcs = format!("type = \"gcs\"\nbucket = \"{BUCKET}\"\nendpoint_url = \"{url}\"");
    let file = world.fill("type = \"file\"\npath = \"{dir}/delivered\"");
    world.reconfigure(&file, &format!("{gcs}\nbatch_size = 7"));
    let mut books = Books::default();
    let stream = Stream::create(&world.aws, 1).await;
    Producer::new(&stream).put(&mut books, 60).await;
    let mut command = Daemon::command(&world.config());
    command.env("GCE_METADATA_HOST", url.trim_start_matches("http://"));
    let daemon = world.start(command);
    let all: BTreeSet<String> = books.event_ids().into_iter().collect();
    wait_until("everything is in the bucket", async || {
        all.iter().all(|id| google.store.events().contains_key(id))
    })
    .await;
    daemon.drain().await;
    let seen = google.seen();
    let different: BTreeSet<_> = seen.iter().collect();
    assert!(different.len() > 1, "one token served for all: {seen:?}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_for_a_person_and_never_shown() {
    let Some(mut google) = Google::start(|token| token == TOKEN.1).await else { return };
    let known = google.sink("", TOKEN).unwrap();
    assert_eq!(known.deliver(&events(1..4)).await.unwrap(), vec![Verdict::Accepted; 3]);
    let refused = google.sink("", (TOKEN.0, "ya29.of-yesterday")).unwrap();
    let mut errors = Vec::new();
    for error in
        [refused.check().await.unwrap_err(), refused.deliver(&events(4..5)).await.unwrap_err()]
    {
        assert!(matches!(error, SinkError::Misconfigured(_)), "{error:?}");
        errors.push(error.to_string());
    }
    assert!(errors[0].contains("storage.objects.list gs://orders"), "{}", errors[0]);
    assert!(errors[1].contains("storage.objects.create gs://orders"), "{}", errors[1]);
    google.moto.kill();
    errors.push(known.check().await.unwrap_err().to_string());
    errors.push(format!("{known:?}"));
    for error in errors {
        assert!(!error.contains("ya29"), "{error}");
    }
}

#[tokio::test]
async fn credentials_of_another_kind_are_refused_with_their_kind() {
    let Some(google) = Google::start(|_| false).await else { return };
    let federated = json!({"type": "external_account", "audience": "a"});
    let malformed = json!({"type": "service_account", "private_key": "secret",
        "private_key_id": "1", "client_email": ACCOUNT});
    for (file, part) in [(federated, "external_account"), (malformed, "pem")] {
        let path = google.credentials(&file);
        let error = google.sink("", ("GOOGLE_APPLICATION_CREDENTIALS", &path)).unwrap_err();
        let SinkError::Misconfigured(why) = &error else { panic!("{error:?}") };
        assert!(why.contains("credentials") && why.contains(part), "{why}");
        assert!(!why.contains("secret"), "{why}");
    }
}

#[tokio::test]
async fn a_large_object_goes_up_in_parts() {
    let Some(google) = Google::start(|token| token == TOKEN.1).await else { return };
    let sink = google.sink("compression = 'none'\npart_size = '5MiB'", TOKEN).unwrap();
    let text = format!("{{\"id\":\"{}\"}}", "x".repeat(1 << 20));
    let batch: Vec<OutputEvent> = (1..14).map(|number| event(number, &text)).collect();
    sink.deliver(&batch).await.unwrap();
    assert_eq!(google.seen().len(), 5, "begun, three parts, completed");
    let [key] = &google.store.keys()[..] else { panic!("{:?}", google.store.keys()) };
    let expect = [text.as_str(), "\n"].concat().repeat(13);
    assert!(google.store.read(key) == expect.as_bytes(), "it is not what was sent");
}
