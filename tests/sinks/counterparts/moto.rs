//! moto, and how it is reached.

use shardwright::aws::{AwsConnection, AwsSettings};
use tempfile::TempDir;

use crate::harness::{Installed, Server};

/// A moto of one's own.
pub(crate) struct Moto {
    pub(crate) server: Server,
    pub(crate) connection: AwsConnection,
    // After the server, whose log is in it.
    _dir: TempDir,
}

impl Moto {
    /// `None` when it is not installed, and nobody insists.
    pub(crate) async fn start() -> Option<Self> {
        let installed = Installed::find_all(&["moto"])?;
        let dir = TempDir::new().unwrap();
        let server = Server::moto(&installed, dir.path()).await;
        let connection = connection(&server.endpoint()).await;
        Some(Self { server, connection, _dir: dir })
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(self.connection.sdk_config())
    }

    pub(crate) fn firehose(&self) -> aws_sdk_firehose::Client {
        aws_sdk_firehose::Client::new(self.connection.sdk_config())
    }

    /// A Firehose stream which hands its records on to this URL.
    pub(crate) async fn firehose_stream(&self, name: &str, url: &str) {
        let http = aws_sdk_firehose::types::HttpEndpointDestinationConfiguration::builder()
            .endpoint_configuration(
                aws_sdk_firehose::types::HttpEndpointConfiguration::builder()
                    .url(url)
                    .build()
                    .unwrap(),
            )
            .s3_configuration(
                aws_sdk_firehose::types::S3DestinationConfiguration::builder()
                    .role_arn("arn:aws:iam::123456789012:role/r")
                    .bucket_arn("arn:aws:s3:::b")
                    // moto describes only what it was given.
                    .compression_format(aws_sdk_firehose::types::CompressionFormat::Uncompressed)
                    .encryption_configuration(
                        aws_sdk_firehose::types::EncryptionConfiguration::builder().build(),
                    )
                    .build()
                    .unwrap(),
            )
            .build();
        let create = self
            .firehose()
            .create_delivery_stream()
            .delivery_stream_name(name)
            .http_endpoint_destination_configuration(http);
        Box::pin(create.send()).await.unwrap();
    }
}

/// A connection to an emulator, or to a proxy before it.
pub(crate) async fn connection(endpoint: &str) -> AwsConnection {
    let endpoint_url = Some(endpoint.to_owned());
    let settings = AwsSettings { endpoint_url, ..AwsSettings::default() };
    AwsConnection::emulator(&settings).await.unwrap()
}
