//! What the admin port answers from.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::{
    admin::{Admin, Subject, Token},
    leasing::{LeaseStatus, LeasedStream},
};

impl App {
    /// Where the admin port listens, if it is open.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(Admin::address)
    }

    pub(super) fn subject(
        &self,
        streams: &[LeasedStream],
        status: watch::Receiver<LeaseStatus>,
        drain: CancellationToken,
    ) -> Subject {
        let streams = streams.iter().map(|stream| (stream.name.clone(), stream.identifier.clone()));
        Subject {
            application: self.application.clone(),
            worker: self.worker_id.clone(),
            configuration: self.configuration.clone(),
            streams: streams.collect(),
            status,
            stuck_after: self.params.renew_interval() * 3,
            context: Arc::clone(&self.context),
            drain,
            token: self.admin_token.clone(),
        }
    }
}

/// Opens the admin port, if there is to be one.
pub(super) async fn open(
    settings: &crate::config::AdminSettings,
) -> Result<(Option<Admin>, Option<Token>), crate::admin::AdminError> {
    let token = settings.token.as_ref().map(|token| Token::new(token.reveal()));
    match settings.enabled {
        true => Ok((Some(Admin::bind(settings.listen).await?), token)),
        false => Ok((None, token)),
    }
}
