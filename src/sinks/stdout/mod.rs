//! JSON lines on standard output.
//!
//! Order: kept within a batch; batches of several shards interleave, lines never do.
//! Replay: an event delivered again is printed again.
//! Limits: none; a reader that stops reading stops the delivery, and so does one that is gone.
//! Durability: a batch is accepted once the pipe or file behind standard output has taken it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt, Stdout},
    sync::Mutex,
};

use crate::{
    model::OutputEvent,
    ports::{Sink, SinkError, Verdict},
    sinks::lines::json_lines,
};

/// The configuration of a `stdout` sink: nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdoutConfig {}

/// Writes JSON lines and flushes after each batch.
#[derive(Debug)]
pub struct StdoutSink<W = Stdout> {
    out: Mutex<Out<W>>,
}

#[derive(Debug)]
struct Out<W> {
    writer: W,
    /// A delivery was cut off, so the last line may be half a line.
    torn: bool,
}

impl StdoutSink {
    /// A sink on this process's standard output. Make one only, or lines may mix.
    pub fn stdout() -> Self {
        Self::new(tokio::io::stdout())
    }
}

impl<W> StdoutSink<W> {
    /// A sink on any writer.
    pub fn new(writer: W) -> Self {
        Self { out: Mutex::new(Out { writer, torn: false }) }
    }
}

impl<W: AsyncWrite + Unpin> Out<W> {
    /// The mark is set before the first byte and taken back after the last, so that a write that is
    /// dropped halfway leaves it set, and the next batch begins on a line of its own.
    async fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if self.torn {
            self.writer.write_all(b"\n").await?;
        }
        self.torn = true;
        self.writer.write_all(lines).await?;
        self.writer.flush().await?;
        self.torn = false;
        Ok(())
    }
}

#[async_trait]
impl<W: AsyncWrite + Unpin + Send> Sink for StdoutSink<W> {
    async fn deliver(&self, events: &[OutputEvent]) -> Result<Vec<Verdict>, SinkError> {
        let lines = json_lines(events);
        let written = self.out.lock().await.write(&lines).await;
        written.map_err(|error| SinkError::Unavailable(format!("standard output: {error}")))?;
        Ok(vec![Verdict::Accepted; events.len()])
    }

    async fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        let flushed = self.out.lock().await.writer.flush().await;
        flushed.map_err(|error| SinkError::Unavailable(format!("standard output: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::sinks::testing::{event, events};

    #[tokio::test]
    async fn a_batch_is_a_line_an_event() {
        let (near, mut far) = tokio::io::duplex(1024);
        let sink = StdoutSink::new(near);
        assert_eq!(sink.deliver(&events(0..2)).await.unwrap(), vec![Verdict::Accepted; 2]);
        assert_eq!(sink.deliver(&[]).await.unwrap(), []);
        drop(sink);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "{\"number\":0}\n{\"number\":1}\n");
    }

    #[tokio::test]
    async fn a_broken_pipe_is_a_passing_fault() {
        let (near, far) = tokio::io::duplex(16);
        drop(far);
        let error = StdoutSink::new(near).deliver(&events(0..1)).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_delivery_that_was_dropped_halfway_tears_one_line_only() {
        let (near, mut far) = tokio::io::duplex(4);
        let sink = StdoutSink::new(near);
        // The pipe takes four bytes; the rest of this delivery is dropped.
        let batch = [event(0, "123456789")];
        assert!(futures_util::poll!(std::pin::pin!(sink.deliver(&batch))).is_pending());
        let read = async {
            let mut text = String::new();
            far.read_to_string(&mut text).await.unwrap();
            text
        };
        let write = async {
            sink.deliver(&[event(1, "{}")]).await.unwrap();
            drop(sink);
        };
        let (text, ()) = tokio::join!(read, write);
        assert_eq!(text, "1234\n{}\n");
    }
}
