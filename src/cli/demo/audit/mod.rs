//! The audit: what was put, held against what lies on disk.
//!
//! What must become of each event is worked out from the configuration the moment it is put, by a
//! pipeline of the audit's own ([`putting`]). What did become of it is read from the sinks' files
//! ([`reading`]), so a worker cannot talk itself out of a lost event. Both are entered in the
//! [`books`]; the [`report`] closes them.

mod books;
mod letter;
mod putting;
mod reading;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::{books::Books, putting::Putter};
pub(super) use self::{books::Counts, report::Report};
use super::setup::Setup;
use crate::aws::AwsConnection;

/// The producer and the auditor.
pub(super) struct Audit {
    books: SharedBooks,
    producer: JoinSet<anyhow::Result<()>>,
    reader: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
    stop_reading: CancellationToken,
}

/// Looks at the books.
#[derive(Clone)]
pub(super) struct View(SharedBooks);

/// The books, which the producer and the auditor write in.
#[derive(Clone, Default)]
struct SharedBooks(Arc<Mutex<Books>>);

impl SharedBooks {
    fn open(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audit {
    /// Starts to put records, and to read what comes out.
    pub(super) fn start(
        setup: &Setup,
        aws: &AwsConnection,
        rate: u32,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let books = SharedBooks::default();
        let (stop, stop_reading) = (CancellationToken::new(), CancellationToken::new());
        let putter = Putter::new(setup, aws, rate, seed, books.clone())?;
        let mut producer = JoinSet::new();
        producer.spawn(putter.run(stop.clone()));
        let mut reader = JoinSet::new();
        reader.spawn(reading::read(setup.dir.clone(), books.clone(), stop_reading.clone()));
        Ok(Self { books, producer, reader, stop, stop_reading })
    }

    pub(super) fn view(&self) -> View {
        View(self.books.clone())
    }

    /// Ends the producing; every record that was begun is put.
    pub(super) async fn stop_producing(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        if let Some(done) = self.producer.join_next().await {
            done?.context("the producer failed")?;
        }
        self.books.open().producing_done = true;
        Ok(())
    }

    /// Reads what is left on disk and closes the books.
    pub(super) async fn finish(mut self) -> anyhow::Result<Report> {
        self.stop_reading.cancel();
        if let Some(done) = self.reader.join_next().await {
            done?.context("cannot read the results")?;
        }
        Ok(Report::of(&mut self.books.open()))
    }
}

impl View {
    pub(super) fn counts(&self) -> Counts {
        self.0.open().counts
    }

    /// Whether everything that must appear on disk has.
    pub(super) fn is_settled(&self) -> bool {
        let books = self.0.open();
        let Counts { put, delivered, filtered, dead_lettered, .. } = books.counts;
        books.producing_done && put == delivered + filtered + dead_lettered
    }
}
