//! The `s3`, `azure`, `gcs` and `folder` sinks, and Parquet.

#[cfg(feature = "azure")]
mod azure;
mod contract;
mod crash;
mod flaky;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(feature = "parquet")]
mod parquet;
pub(crate) mod store;

use shardwright::{
    aws::{AwsConnection, AwsSettings},
    sinks::ObjectSink,
};

/// A sink on a server that speaks S3.
async fn s3_sink(endpoint: &str, keys: &str) -> ObjectSink {
    let config = toml::from_str(&format!("bucket = 'orders'\n{keys}")).unwrap();
    let settings =
        AwsSettings { endpoint_url: Some(endpoint.to_owned()), ..AwsSettings::default() };
    let connection = AwsConnection::emulator(&settings).await.unwrap();
    ObjectSink::on(config, &connection, false).unwrap()
}
