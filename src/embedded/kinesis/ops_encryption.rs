//! `StartStreamEncryption` and `StopStreamEncryption`. Nothing is encrypted here: the description of
//! the stream says that it is, so that set-up scripts pass.

use serde::Deserialize;

use super::error::ApiError;
use super::service::Service;
use super::stream::Change;
use super::wire::required;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamEncryption {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    encryption_type: Option<String>,
    key_id: Option<String>,
}

impl Service {
    pub(super) fn start_stream_encryption(
        &self,
        request: StreamEncryption,
    ) -> Result<(), ApiError> {
        self.change_encryption(request, |key, wanted| *key = Some(wanted))
    }

    pub(super) fn stop_stream_encryption(&self, request: StreamEncryption) -> Result<(), ApiError> {
        self.change_encryption(request, |key, _| *key = None)
    }

    fn change_encryption(
        &self,
        request: StreamEncryption,
        change: impl FnOnce(&mut Option<String>, String),
    ) -> Result<(), ApiError> {
        let kind = required(request.encryption_type, "encryptionType")?;
        let key = required(request.key_id, "keyId")?;
        if kind != "KMS" {
            let constraint = "Member must satisfy enum value set: [KMS]";
            return Err(ApiError::constraint("encryptionType", &kind, constraint));
        }
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        self.with_active(&name, |stream, now_ms| {
            change(&mut stream.encryption_key, key);
            stream.begin(Change::Setting, now_ms, self.status_window_ms());
            Ok(())
        })
    }
}
