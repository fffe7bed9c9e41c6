//! The adapters against canned answers: what goes over the wire, and what faults become.

use tokio::net::TcpListener;

use super::{
    AwsConnection, AwsSettings, DynamoLeases, KinesisStream, StreamTarget,
    testing::{Answer, Canned, fault, ok},
};
use crate::{
    model::{LeaseKey, LeaseWrite, ShardId, StreamName, WorkerId},
    ports::{LeaseStore, ShardIterator, StartAt, StoreError, StreamError, StreamReader},
};

impl Canned {
    async fn stream(&self) -> KinesisStream {
        let target = StreamTarget::Name(StreamName::new("orders"));
        KinesisStream::new(&self.connection().await, target)
    }

    async fn leases(&self) -> DynamoLeases {
        DynamoLeases::new(&self.connection().await, "orders")
    }
}

fn renewal() -> LeaseWrite {
    LeaseWrite::Renew { by: WorkerId::new("a"), counter: 1, checkpoint: None }
}

async fn write_fault(answer: Answer) -> StoreError {
    let server = Canned::start(vec![answer]).await;
    let leases = server.leases().await;
    let error = leases.write(&LeaseKey::new("k"), &renewal()).await.unwrap_err();
    assert_eq!(server.requests().len(), 1, "a lease write is sent once");
    error
}

#[tokio::test]
async fn a_write_without_an_answer_may_have_been_applied() {
    for answer in [
        Answer::HangUp,
        fault(500, "InternalServerError"),
        fault(503, "ServiceUnavailable"),
        Answer::Text(502, "<html>Bad Gateway</html>"),
    ] {
        let error = write_fault(answer).await;
        assert!(matches!(error, StoreError::Unknown(_)), "{error:?}");
        assert!(error.to_string().contains("dynamodb:UpdateItem"), "{error}");
    }
}

#[tokio::test]
async fn a_write_that_never_left_was_not_applied() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let settings = AwsSettings { endpoint_url: Some(endpoint), ..AwsSettings::default() };
    let connection = AwsConnection::emulator(&settings).await.unwrap();
    let leases = DynamoLeases::new(&connection, "orders");
    let error = leases.write(&LeaseKey::new("k"), &renewal()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn faults_of_dynamodb_say_what_to_do() {
    for code in
        ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
    {
        let error = write_fault(fault(400, code)).await;
        assert!(matches!(error, StoreError::Throttled), "{error:?}");
    }
    for code in ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"] {
        let error = write_fault(fault(400, code)).await;
        let StoreError::Denied(message) = error else { panic!("{error:?}") };
        assert!(message.starts_with("dynamodb:UpdateItem: because of"), "{message}");
        assert!(message.contains(code) && !message.contains('\n'), "{message}");
    }
    let error = write_fault(fault(400, "TransactionConflictException")).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = write_fault(fault(400, "ResourceNotFoundException")).await;
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
}

#[tokio::test]
async fn rows_that_a_server_does_not_return_are_read_again() {
    let row =
        r#"{"Item":{"leaseKey":{"S":"k"},"leaseCounter":{"N":"9"},"checkpoint":{"S":"LATEST"}}}"#;
    let refusal = fault(400, "ConditionalCheckFailedException");
    let server = Canned::start(vec![refusal.clone(), ok(row), refusal, ok("{}")]).await;
    let leases = server.leases().await;
    let key = LeaseKey::new("k");

    let crate::ports::Swap::Refused(Some(lease)) = leases.write(&key, &renewal()).await.unwrap()
    else {
        panic!("expected the row as it is")
    };
    assert_eq!(lease.counter, 9);
    assert_eq!(server.requests()[1]["ConsistentRead"], true);
    let gone = leases.write(&key, &renewal()).await.unwrap();
    assert_eq!(gone, crate::ports::Swap::Refused(None));
}

#[tokio::test]
async fn an_applied_write_whose_row_cannot_be_read_is_not_called_a_failure() {
    let server = Canned::start(vec![ok("{}"), fault(400, "AccessDeniedException")]).await;
    let error = server.leases().await.write(&LeaseKey::new("k"), &renewal()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn shard_pages_go_on_by_token_alone() {
    let server = Canned::start(vec![
        ok(r#"{"Shards":[{"ShardId":"shardId-0","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"},
            "SequenceNumberRange":{"StartingSequenceNumber":"1","EndingSequenceNumber":"2"}}],"NextToken":"more"}"#),
        ok(r#"{"Shards":[{"ShardId":"shardId-1","ParentShardId":"shardId-0","AdjacentParentShardId":"shardId-9",
            "SequenceNumberRange":{"StartingSequenceNumber":"3"}}]}"#),
    ])
    .await;
    let shards = server.stream().await.shards().await.unwrap();
    assert_eq!(shards.len(), 2);
    assert!(!shards[0].open && shards[1].open);
    assert_eq!(shards[1].parents, [ShardId::new("shardId-0"), ShardId::new("shardId-9")]);
    assert_eq!(shards[1].hash_range, None);
    let requests = server.requests();
    assert_eq!(requests[0], serde_json::json!({"StreamName": "orders"}));
    assert_eq!(requests[1], serde_json::json!({"NextToken": "more"}));
}

#[tokio::test]
async fn the_same_shard_page_for_ever_ends() {
    let server = Canned::start(vec![ok(r#"{"Shards":[],"NextToken":"again"}"#)]).await;
    let error = server.stream().await.shards().await.unwrap_err();
    assert!(matches!(error, StreamError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn streams_of_other_accounts_go_by_arn() {
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";
    let server = Canned::start(vec![ok(r#"{"ShardIterator":"i"}"#), ok(r#"{"Records":[]}"#)]).await;
    let stream = KinesisStream::new(&server.connection().await, StreamTarget::arn(arn).unwrap());
    let iterator = stream.iterator(&ShardId::new("s"), &StartAt::TrimHorizon).await.unwrap();
    let page = stream.records(&iterator, 5).await.unwrap();
    assert_eq!(page.next, None, "a null iterator is the end of the shard");
    for request in server.requests() {
        assert_eq!(request["StreamARN"], arn);
        assert_eq!(request.get("StreamName"), None);
    }
}

async fn read_page(answer: Answer) -> Result<crate::model::RecordPage<ShardIterator>, StreamError> {
    let server = Canned::start(vec![answer]).await;
    let page = server.stream().await.records(&ShardIterator("i".to_owned()), 10).await;
    assert_eq!(server.requests().len(), 1, "the consumer itself decides when to read again");
    page
}

#[tokio::test]
async fn odd_pages_are_tolerated_and_bad_ones_never_panic() {
    let page = read_page(ok(
        r#"{"Records":[{"SequenceNumber":"0012","PartitionKey":"p","Data":"aGk=","ApproximateArrivalTimestamp":-1.5}],
            "NextShardIterator":"n","MillisBehindLatest":-7,"ChildShards":null,"Unknown":[1]}"#,
    ))
    .await
    .unwrap();
    assert_eq!(page.records[0].sequence.as_str(), "0012");
    assert_eq!(page.records[0].data, "hi");
    assert_eq!(page.records[0].arrival.0, -1500);
    assert_eq!((page.behind_latest.as_millis(), page.children.len()), (0, 0));
    assert!(read_page(ok("{}")).await.unwrap().records.is_empty());

    let sequence = r#"{"Records":[{"SequenceNumber":"x","PartitionKey":"p","Data":""}]}"#;
    assert!(matches!(read_page(ok(sequence)).await, Err(StreamError::Invalid(_))));
    for garbage in ["[", "null", r#"{"Records":7}"#, r#"{"Records":[{"Data":"%%"}]}"#, "\u{0}"] {
        match read_page(ok(garbage)).await {
            Ok(page) => assert!(page.records.is_empty(), "{garbage}"),
            Err(error) => assert!(
                matches!(error, StreamError::Unavailable(_) | StreamError::Invalid(_)),
                "{garbage}: {error:?}"
            ),
        }
    }
}

#[tokio::test]
async fn faults_of_kinesis_say_what_to_do() {
    let kind = async |status, code| read_page(fault(status, code)).await.unwrap_err();
    assert!(matches!(kind(400, "ExpiredIteratorException").await, StreamError::IteratorExpired));
    for code in [
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
    ] {
        assert!(matches!(kind(400, code).await, StreamError::Throttled), "{code}");
    }
    assert!(matches!(kind(400, "ResourceNotFoundException").await, StreamError::NotFound(_)));
    for code in ["KMSAccessDeniedException", "KMSDisabledException", "AccessDeniedException"] {
        let error = kind(400, code).await;
        assert!(matches!(error, StreamError::Denied(_)), "{error:?}");
        assert!(error.to_string().contains("kinesis:GetRecords"), "{error}");
    }
    assert!(matches!(kind(400, "InvalidArgumentException").await, StreamError::Invalid(_)));
    assert!(matches!(kind(400, "NeverHeardOfIt").await, StreamError::Invalid(_)));
    assert!(matches!(kind(500, "InternalFailure").await, StreamError::Unavailable(_)));
    assert!(matches!(read_page(Answer::HangUp).await, Err(StreamError::Unavailable(_))));
    let html = read_page(Answer::Text(500, "<h1>oh no</h1>")).await.unwrap_err();
    assert!(matches!(html, StreamError::Unavailable(_)), "{html:?}");
}

/// The name of the sort, as the table of the documentation has it.
fn sort(problem: &StreamError) -> &'static str {
    match problem {
        StreamError::Throttled => "Throttled",
        StreamError::IteratorExpired => "IteratorExpired",
        StreamError::NotFound(_) => "NotFound",
        StreamError::Denied(_) => "Denied",
        StreamError::Invalid(_) => "Invalid",
        StreamError::Unavailable(_) => "Unavailable",
        StreamError::Taken(_) => "Taken",
    }
}

#[tokio::test]
async fn the_table_of_the_documentation_is_right() {
    let text = include_str!("../../docs/reading.md");
    let mut codes = 0;
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for code in cells[1].split('`').skip(1).step_by(2) {
            let status = if cells[2] == "Unavailable" { 500 } else { 400 };
            let problem = read_page(fault(status, code)).await.unwrap_err();
            assert_eq!(sort(&problem), cells[2], "{code}");
            codes += 1;
        }
    }
    assert_eq!(codes, 18, "the table has changed its form");
}
