//! Secrets stay where they are: neither what the commands print nor a log at its most talkative has one.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, http::HeaderMap};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    admin::world,
    client::post,
    harness::{
        Books, Producer, Stream,
        process::{spawn, tethered},
        wait_until,
    },
};

/// Everything that must stay secret; what looks like text of the configuration stands in it as it is here.
const SECRETS: [&str; 11] = [
    "s3cret-of-the-admin-port",
    "s3cret-of-an-endpoint",
    "s3cret-in-a-query",
    "s3cret-of-the-collector",
    "s3cret-in-a-header",
    "s3cret-header-of-the-environment",
    "s3cret-bearer",
    "s3cret-password-of-http",
    "s3cret-password-of-postgres",
    "s3cret-key-of-AWS",
    "s3cret-session-of-AWS",
];

const ENVIRONMENT: [(&str, &str); 9] = [
    ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret-of-the-collector"),
    ("HEADER", "s3cret-header-of-the-environment"),
    ("BEARER", "s3cret-bearer"),
    ("PASSWORD", "s3cret-password-of-http"),
    ("DB_PASSWORD", "s3cret-password-of-postgres"),
    ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "s3cret-key-of-AWS"),
    ("AWS_SESSION_TOKEN", "s3cret-session-of-AWS"),
    ("AWS_REGION", "us-east-1"),
];

/// Sinks with a secret of each kind. Nothing takes what `nowhere` gets.
const SINKS: &str = r#"
[[routes]]
name = "headers"
also = true
sink = "headers"

[[routes]]
name = "bearer"
also = true
sink = "bearer"

[[routes]]
name = "password"
also = true
sink = "password"

[[routes]]
name = "rows"
filter = "nothing-that-is-ever-logged"
also = true
sink = "rows"

[sinks.headers]
type = "http"
url = "{http}/in"
headers = { x-api-key = "s3cret-in-a-header" }
headers_env = { x-other-key = "HEADER" }

[sinks.bearer]
type = "http"
url = "{http}/in"
bearer_env = "BEARER"

[sinks.password]
type = "http"
url = "{http}/in"
user = "me"
password_env = "PASSWORD"

[sinks.rows]
type = "postgres"
url = "postgres://me@{postgres}/orders"
password_env = "DB_PASSWORD"
table = "orders"
columns = { id = "$.id" }
"#;

/// What requests brought as `authorization`, `x-api-key` and `x-other-key`.
type Seen = Arc<Mutex<Vec<String>>>;

async fn note(State(seen): State<Seen>, headers: HeaderMap) {
    for name in ["authorization", "x-api-key", "x-other-key"] {
        let value = headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        seen.lock().unwrap().extend(value);
    }
}

const COMMANDS: [&[&str]; 5] =
    [&["config"], &["check"], &["check", "--online"], &["iam-policy"], &["leases", "list"]];

fn shardwright(arguments: &[&str], config: &Path) -> Command {
    let mut command = tethered(env!("CARGO_BIN_EXE_shardwright"));
    command.args(arguments).arg("--config").arg(config).env_clear().envs(ENVIRONMENT);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("RUST_LOG", "trace").stdin(Stdio::null());
    command
}

/// What a command prints has no secret.
#[track_caller]
fn assert_silent(arguments: &[&str], config: &Path) {
    let output = shardwright(arguments, config).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(!text.is_empty(), "{arguments:?}");
    assert_secret(&format!("{arguments:?}"), &String::from_utf8(text).unwrap());
}

#[track_caller]
fn assert_secret(what: &str, text: &str) {
    for secret in SECRETS {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in {what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_printed_or_logged() {
    let keys = "token = \"s3cret-of-the-admin-port\"\n\n[log]\nlevel = \"trace\"";
    let (world, admin) = world("127.0.0.1", keys).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let http = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let router = Router::new().fallback(note).with_state(Arc::clone(&seen));
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    // A port that nobody listens on any more.
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let sinks = SINKS.replace("{http}", &http).replace("{postgres}", &nobody.to_string());
    let otlp = format!("[otlp]\nendpoint = \"http://{nobody}\"\n\n");
    let otlp = if cfg!(feature = "otlp") { otlp } else { String::new() };
    world.reconfigure(
        "[[routes]]\nname = \"all\"",
        &format!("{otlp}{sinks}\n[[routes]]\nname = \"all\""),
    );

    let log = world.dir().join("secrets.log");
    let mut run = shardwright(&["run"], &world.config());
    run.env("RUST_BACKTRACE", "1").stdout(File::create(world.dir().join("secrets.out")).unwrap());
    run.stderr(File::create(&log).unwrap());
    let mut daemon = spawn(run).unwrap();
    let stream = Stream::create(&world.aws, 1).await;
    let mut books = Books::default();
    Producer::new(&stream).put(&mut books, 5).await;
    world.settled(&books).await;
    wait_until("each sink got its secret", async || {
        let seen = seen.lock().unwrap();
        ["Bearer s3cret-bearer", "s3cret-in-a-header", "s3cret-header-of-the-environment"]
            .iter()
            .all(|secret| seen.iter().any(|said| said == secret))
            && seen.iter().any(|said| said.starts_with("Basic "))
    })
    .await;
    let wrong = [("authorization", "Bearer s3cret-of-the-admin-ports")];
    assert_eq!(post(admin, "/drain", &wrong).await.unwrap().status, 401);
    let right = [("authorization", "Bearer s3cret-of-the-admin-port")];
    assert_eq!(post(admin, "/drain", &right).await.unwrap().status, 202);
    wait_until("it has drained", async || daemon.try_wait().unwrap().is_some()).await;
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("TRACE"), "the log is as talkative as it can be");
    assert_secret("the log", &log);
    let basic = seen.lock().unwrap().iter().find(|said| said.starts_with("Basic ")).cloned();
    assert!(!log.contains(&basic.unwrap()), "nor in another spelling");

    for arguments in COMMANDS {
        assert_silent(arguments, &world.config());
    }
    // An endpoint that is refused, and what the commands say of it.
    let endpoint = "https://me:s3cret-of-an-endpoint@host/?X-Amz-Security-Token=s3cret-in-a-query";
    world.reconfigure("[aws]", &format!("[aws]\nendpoint_url = \"{endpoint}\""));
    for arguments in COMMANDS {
        assert_silent(arguments, &world.config());
    }
    let listed = shardwright(&["config"], &world.config()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for key in ["admin.token", "sinks.headers.headers"] {
        let line = listed.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line.contains("(redacted)"), "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shardwright.toml");
    for (text, expect) in [
        ("[admin]\ntoken = 7310911215101116", "admin.token"),
        ("[admin]\ntoken = [\"s3cret-of-the-admin-port\"]", "admin.token"),
        ("[admin]\ntoken = \"s3cret-of-the-admin-port", "shardwright.toml"),
        ("[admin]\ntoken = s3cret-of-the-admin-port", "shardwright.toml"),
        ("[admin]\npassword = \"s3cret-of-the-admin-port\"", "admin.password"),
        (
            "[sinks.db]\ntype = \"postgres\"\nurl = \"postgres://me:s3cret-password-of-postgres@db/o\"",
            "sinks.db.url",
        ),
        (
            "[sinks.web]\ntype = \"http\"\nurl = \"http://me:s3cret-password-of-http@web/\"",
            "sinks.web.url",
        ),
        (
            "[sinks.web]\ntype = \"http\"\nheaders = { authorization = 7310911215101116 }",
            "sinks.web.headers",
        ),
        (
            "[aws]\nendpoint_url = \"https://me:s3cret-of-an-endpoint@host/\"",
            "aws.endpoint_url: expected http:// or https:// and a host",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let output = shardwright(&["check"], &file).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains(expect), "{text}: {said}");
        assert_secret(text, &said);
        assert!(!said.contains("7310911215101116"), "{text}: {said}");
    }
}
