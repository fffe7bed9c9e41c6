//! What lies in a store, as a reader sees it that is not ours.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde_json::Value;

/// Where objects lie.
pub(super) enum Store {
    Folder(PathBuf),
    /// moto.
    Moto(String),
}

/// The bucket of all tests; each has its own server.
pub(super) const BUCKET: &str = "orders";

impl Store {
    /// moto, with the bucket.
    pub(super) fn moto(endpoint: &str) -> Self {
        let authority = endpoint.trim_start_matches("http://").to_owned();
        let (status, _) = call(&authority, "PUT", &format!("/{BUCKET}"));
        assert_eq!(status, 200);
        Self::Moto(authority)
    }

    /// The keys of all objects.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Folder(dir) => {
                let mut keys = Vec::new();
                files(dir, dir, &mut keys);
                keys
            }
            Self::Moto(authority) => {
                let (status, body) = call(authority, "GET", &format!("/{BUCKET}?list-type=2"));
                assert_eq!(status, 200);
                let body = String::from_utf8(body).unwrap();
                assert!(body.contains("<IsTruncated>false"), "more than one page");
                let keys = body.split("<Key>").skip(1);
                keys.map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
            }
        }
    }

    pub(super) fn read(&self, key: &str) -> Vec<u8> {
        match self {
            Self::Folder(dir) => fs::read(dir.join(key)).unwrap(),
            Self::Moto(authority) => {
                // A key is escaped once more on its way.
                let path = format!("/{BUCKET}/{}", key.replace('%', "%25"));
                let (status, body) = call(authority, "GET", &path);
                assert_eq!(status, 200, "{key}");
                body
            }
        }
    }

    /// How often each event is in the objects (`.jsonl.gz`), by its id.
    pub(super) fn events(&self) -> BTreeMap<String, u32> {
        let mut events = BTreeMap::new();
        for key in self.keys() {
            let mut text = String::new();
            GzDecoder::new(&*self.read(&key)).read_to_string(&mut text).unwrap();
            for line in text.lines() {
                let event: Value = serde_json::from_str(line).unwrap();
                *events.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        events
    }
}

/// What a listing of the folder shows: a file that is not in place yet has a `#` in its name.
fn files(dir: &Path, below: &Path, keys: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(below) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let key = path.strip_prefix(dir).unwrap().display().to_string();
        if path.is_dir() {
            files(dir, &path, keys);
        } else if !key.contains('#') {
            keys.push(key);
        }
    }
}

/// One request on a connection of its own; the status and the body.
fn call(authority: &str, method: &str, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(authority).unwrap();
    // moto looks whether there is a signature, not at what it says.
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                  SignedHeaders=host, Signature=0";
    let head = format!("Host: {authority}\r\n{signed}\r\nContent-Length: 0");
    write!(stream, "{method} {path} HTTP/1.0\r\n{head}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer[end + 4..].to_vec())
}
