//! A server with canned answers, for the tests of all adapters to AWS.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{AwsConnection, AwsSettings};

/// What the server does with one request.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(u16, String),
    Text(u16, &'static str),
    HangUp,
}

pub(crate) fn ok(body: &str) -> Answer {
    Answer::Json(200, body.to_owned())
}

pub(crate) fn fault(status: u16, code: &str) -> Answer {
    Answer::Json(status, format!(r#"{{"__type":"x#{code}","message":"because of {code}"}}"#))
}

/// A server that gives these answers in order, then the last one for ever, and keeps the requests.
pub(crate) struct Canned {
    endpoint: String,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Canned {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            let last = answers.last().cloned();
            for answer in
                answers.into_iter().chain(std::iter::repeat_with(|| last.clone().unwrap()))
            {
                let (mut socket, _) = listener.accept().await.unwrap();
                let body = read_request(&mut socket).await;
                seen.lock().unwrap().push(body);
                answer_with(&mut socket, &answer).await;
            }
        });
        Self { endpoint, requests }
    }

    pub(crate) async fn connection(&self) -> AwsConnection {
        let settings =
            AwsSettings { endpoint_url: Some(self.endpoint.clone()), ..AwsSettings::default() };
        AwsConnection::emulator(&settings).await.unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read_request(socket: &mut TcpStream) -> Value {
    let mut bytes = Vec::new();
    loop {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = head_end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |length| length.trim().parse::<usize>().unwrap());
            if bytes.len() >= end + 4 + length {
                return serde_json::from_slice(&bytes[end + 4..]).unwrap_or_default();
            }
        }
        if socket.read_buf(&mut bytes).await.unwrap() == 0 {
            return Value::Null;
        }
    }
}

async fn answer_with(socket: &mut TcpStream, answer: &Answer) {
    let (status, kind, body) = match answer {
        Answer::Json(status, body) => (status, "application/x-amz-json-1.1", body.as_str()),
        Answer::Text(status, body) => (status, "text/html", *body),
        Answer::HangUp => return,
    };
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await.unwrap();
}
