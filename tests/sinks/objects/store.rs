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
pub(crate) enum Store {
    Folder(PathBuf),
    /// moto.
    Moto(String),
    /// Azurite.
    Azurite(String),
}

/// Azurite's account, its key, which everybody knows (Azurite's documentation, default storage account),
/// and a signature for all of it.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
pub(crate) const SIGNATURE: &str = "sv=2020-10-02&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z&\
    spr=https%2Chttp&sig=eiqK1mR5dgnhM1tOj58lVUMnX8hn3%2B6hGt4cbRlMi70%3D";

/// The bucket of all tests; each has its own server.
pub(crate) const BUCKET: &str = "orders";

impl Store {
    /// moto, with the bucket.
    pub(crate) fn moto(endpoint: &str) -> Self {
        let authority = endpoint.trim_start_matches("http://").to_owned();
        let (status, _) = call(&authority, "PUT", &format!("/{BUCKET}"));
        assert_eq!(status, 200);
        Self::Moto(authority)
    }

    /// Azurite, with the container.
    pub(crate) fn azurite(endpoint: &str) -> Self {
        let authority = endpoint.trim_start_matches("http://").to_owned();
        let path = format!("/{ACCOUNT}/{BUCKET}?restype=container&{SIGNATURE}");
        let (status, _) = call(&authority, "PUT", &path);
        assert_eq!(status, 201);
        Self::Azurite(authority)
    }

    /// The keys of all objects.
    pub(crate) fn keys(&self) -> Vec<String> {
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
                between(&body, "<Key>", "</Key>")
            }
            Self::Azurite(authority) => {
                let list = "restype=container&comp=list";
                let path = format!("/{ACCOUNT}/{BUCKET}?{list}&{SIGNATURE}");
                let (status, body) = call(authority, "GET", &path);
                assert_eq!(status, 200);
                let body = String::from_utf8(body).unwrap();
                assert!(body.contains("<NextMarker/>"), "more than one page");
                between(&body, "<Name>", "</Name>")
            }
        }
    }

    pub(crate) fn read(&self, key: &str) -> Vec<u8> {
        match self {
            Self::Folder(dir) => fs::read(dir.join(key)).unwrap(),
            Self::Moto(authority) => {
                // A key is escaped once more on its way.
                let path = format!("/{BUCKET}/{}", key.replace('%', "%25"));
                let (status, body) = call(authority, "GET", &path);
                assert_eq!(status, 200, "{key}");
                body
            }
            Self::Azurite(authority) => {
                let path = format!("/{ACCOUNT}/{BUCKET}/{}", key.replace('%', "%25"));
                let (status, body) = call(authority, "GET", &format!("{path}?{SIGNATURE}"));
                assert_eq!(status, 200, "{key}");
                body
            }
        }
    }

    /// All objects by their keys.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.keys().into_iter().map(|key| (key.clone(), self.read(&key))).collect()
    }

    /// How often each event is in the objects (`.jsonl.gz`), by its id.
    pub(crate) fn events(&self) -> BTreeMap<String, u32> {
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

/// The texts between these tags.
fn between(text: &str, begin: &str, end: &str) -> Vec<String> {
    let parts = text.split(begin).skip(1);
    parts.map(|rest| rest.split(end).next().unwrap().to_owned()).collect()
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
    // moto looks whether there is a signature, not at what it says; Azurite's is in the path.
    let signed = match path.contains("sig=") {
        true => "Accept: */*",
        false => {
            "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
             SignedHeaders=host, Signature=0"
        }
    };
    let head = format!("Host: {authority}\r\n{signed}\r\nContent-Length: 0");
    write!(stream, "{method} {path} HTTP/1.0\r\n{head}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer[end + 4..].to_vec())
}
