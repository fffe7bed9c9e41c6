//! Who this process is to AWS.

use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;

use super::{AwsConnection, Fault, client::time_outs};

/// Whom the credentials belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account, twelve digits.
    pub account: String,
    /// The user, or the role with its session.
    pub arn: String,
}

/// Time for one try, and for all: nothing else waits for this answer, only a person.
const TIME: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(9));

impl AwsConnection {
    /// Whether there are credentials at all.
    ///
    /// # Errors
    /// What to set, or what the provider says.
    pub(crate) async fn find_credentials(&self) -> Result<(), Fault> {
        let provider = self.sdk_config().credentials_provider();
        let provider = provider.ok_or_else(|| Fault::no_credentials("credentials"))?;
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(problem) => Err(Fault::credentials("credentials", &problem)),
        }
    }

    /// Whom the credentials belong to, which everybody may ask; `None` beside an emulator that has no
    /// endpoint for the question.
    ///
    /// # Errors
    /// When STS does not answer, or does not know the credentials.
    pub(crate) async fn identity(&self) -> Result<Option<Identity>, Fault> {
        if !self.is_all_of_aws() {
            return Ok(None);
        }
        let config = aws_sdk_sts::config::Builder::from(self.sdk_config());
        let config = config.timeout_config(time_outs(TIME.0, TIME.1));
        let config = match self.answer_clock() {
            Some(clock) => config.interceptor(clock.clone()),
            None => config,
        };
        let client = aws_sdk_sts::Client::from_conf(config.build());
        let answer = client.get_caller_identity().send().await;
        let answer = answer.map_err(|error| Fault::of("sts:GetCallerIdentity", &error))?;
        let text = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        Ok(Some(Identity { account: text(answer.account), arn: text(answer.arn) }))
    }
}
