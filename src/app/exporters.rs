//! Where metrics are sent beside the admin port.

use std::sync::Arc;

use tokio::sync::watch;

use super::App;
use crate::{
    leasing::LeaseStatus,
    telemetry::{Emf, Exporters, Scrape},
    worker,
};

impl App {
    /// Starts the exporters of the configuration.
    pub(super) fn exporters(&mut self, status: &watch::Receiver<LeaseStatus>) -> Exporters {
        let mut exporters = Exporters::default();
        let (context, status) = (Arc::clone(&self.context), status.clone());
        let scrape: Scrape = Arc::new(move || {
            let levels = worker::levels(&status.borrow(), &context);
            context.metrics.snapshot(&levels)
        });
        if self.emf.enabled {
            let emf = Emf::new(&self.emf.namespace, &self.application, self.worker_id.as_str());
            let (every, scrape) = (self.emf.interval, Arc::clone(&scrape));
            exporters.spawn(|stop| emf.run(scrape, every, stop));
        }
        if let Some(otlp) = self.otlp.take() {
            exporters.spawn(|stop| otlp.run(scrape, stop));
        }
        exporters
    }
}
