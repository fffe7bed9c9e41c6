//! The [`Sink`] over HTTP.

use async_trait::async_trait;
use hyper::{Method, Uri};
use tokio::task::spawn_blocking;

use super::{
    HttpConfig, Preset,
    answer::Reply,
    body, bulk,
    client::{Body, HttpClient},
    loki::Lines,
};
use crate::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
};

/// Posts batches.
pub struct HttpSink {
    config: HttpConfig,
    client: HttpClient,
    /// Where batches go.
    uri: Uri,
    lines: Lines,
}

impl HttpSink {
    /// Reads secrets and certificates. The server is not called; see [`Sink::check`].
    ///
    /// # Errors
    /// [`SinkError::Misconfigured`] when a variable is not set or a file cannot be read.
    pub fn open(config: HttpConfig) -> Result<Self, SinkError> {
        if let Some((key, problem)) = config.problems().into_iter().next() {
            return Err(SinkError::Misconfigured(format!("`{key}` {problem}")));
        }
        let base = config.uri();
        let base = base.ok_or_else(|| SinkError::Misconfigured("`url` is no URL".to_owned()))?;
        let client = HttpClient::new(&config, &base)?;
        let uri = match config.preset {
            Preset::None => base,
            Preset::Elasticsearch | Preset::Opensearch => beneath(&base, "_bulk")?,
            Preset::Loki => beneath(&base, "loki/api/v1/push")?,
        };
        let lines = Lines::new(&config);
        Ok(Self { config, client, uri, lines })
    }

    async fn post(&self, plain: Vec<u8>, content_type: &'static str) -> Result<Reply, SinkError> {
        let compression = self.config.compression;
        let encoded =
            spawn_blocking(move || body::encode((plain, content_type), compression)).await;
        let body: Body = match encoded {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(SinkError::Unavailable(error.to_string())),
            Err(error) => return Err(SinkError::Unavailable(error.to_string())),
        };
        self.client.send(Method::POST, self.uri.clone(), Some(body)).await?.success()
    }

    /// An answer for each item. An event without an id is refused without being sent.
    async fn bulk(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let (lines, refused) = bulk::lines(events, &self.config);
        let sent = refused.iter().filter(|refused| refused.is_none()).count();
        let mut answers = Vec::new();
        if sent > 0 {
            let reply = match self.post(lines, "application/x-ndjson").await {
                // One line is what was refused.
                Err(SinkError::BatchRefused(why)) if sent == 1 => {
                    answers = vec![Verdict::Refused(why)];
                    None
                }
                reply => Some(reply?),
            };
            if let Some(reply) = reply {
                answers = bulk::verdicts(&reply.body, sent, self.config.action)?;
            }
        }
        let mut answers = answers.into_iter();
        let verdict = |refused: Option<String>| match refused {
            Some(why) => Verdict::Refused(why),
            None => answers.next().unwrap_or_else(|| Verdict::Retry("no answer".to_owned())),
        };
        Ok(refused.into_iter().map(verdict).collect())
    }
}

#[async_trait]
impl Sink for HttpSink {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        if self.config.preset.is_bulk() {
            return self.bulk(events).await;
        }
        let (plain, content_type) = match self.config.preset {
            Preset::Loki => (self.lines.push(events), "application/json"),
            _ => body::plain(events, self.config.body),
        };
        match (self.post(plain, content_type).await, events) {
            // Alone in its batch, it is what was refused.
            (Err(SinkError::BatchRefused(why)), [_]) => Ok(vec![Verdict::Refused(why)]),
            (answer, _) => {
                answer?;
                Ok(vec![Verdict::Accepted; events.len()])
            }
        }
    }

    /// Asks for what writes nothing: the endpoint's headers, the index, Loki's readiness. A server
    /// that does not know the question is there.
    async fn check(&self) -> Result<(), SinkError> {
        let base = self.config.uri().unwrap_or_default();
        let (method, uri) = match self.config.preset {
            Preset::None => (Method::HEAD, self.uri.clone()),
            Preset::Elasticsearch | Preset::Opensearch => {
                let index = self.config.index.as_deref().unwrap_or_default();
                (Method::HEAD, beneath(&base, index)?)
            }
            Preset::Loki => (Method::GET, beneath(&base, "ready")?),
        };
        let reply = self.client.send(method, uri, None).await?;
        // A 404 of an index: it is created with the first event. Others ask behind a gateway.
        let unknown = match self.config.preset {
            Preset::None => matches!(reply.status.as_u16(), 400 | 405 | 411 | 415 | 422 | 501),
            _ => matches!(reply.status.as_u16(), 404 | 405),
        };
        if unknown {
            return Ok(());
        }
        match reply.success() {
            Err(SinkError::BatchRefused(why)) => Err(SinkError::Misconfigured(why)),
            answer => answer.map(|_| ()),
        }
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The URL of a path beneath another; its query stays.
fn beneath(base: &Uri, path: &str) -> Result<Uri, SinkError> {
    let mut url: url::Url = base
        .to_string()
        .parse()
        .map_err(|error: url::ParseError| SinkError::Misconfigured(format!("`url` {error}")))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url.as_str().parse().map_err(|_| SinkError::Misconfigured("`url` is no URL".to_owned()))
}
