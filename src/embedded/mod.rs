//! Servers that the program carries with it: a Kinesis and a DynamoDB on loopback, for `demo` and
//! for the tests. Nothing outside those two starts them, and a build without the `embedded` feature
//! does not hold them.

pub mod dynamodb;
pub mod kinesis;

pub use dynamodb::DynamoServer;
pub use kinesis::KinesisServer;
