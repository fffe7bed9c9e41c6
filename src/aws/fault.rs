//! What a failed AWS call means to its caller, and how to say it to people.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_smithy_types::event_stream::RawMessage;

use crate::ports::{SinkError, StoreError, StreamError};

/// A failed call: what its caller can do, and one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// The service's name for the fault, when the service said one.
    pub(crate) code: Option<String>,
    /// The action, the service's words, and what to change when that is known.
    pub(crate) message: String,
}

/// The sorts of failures that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// A limit is spent; nothing was done.
    Throttled,
    /// The shard iterator is too old.
    IteratorExpired,
    /// The stream, shard or table is not there.
    NotFound,
    /// A human must change a policy or credentials.
    Denied,
    /// The service does not accept the request.
    Invalid,
    /// The service, or something on the way to it, is busy with what passes; nothing was done.
    Busy,
    /// The request never left this machine.
    NotSent,
    /// No answer, or a server error: a write may have been applied.
    Unanswered,
}

impl Fault {
    /// Sorts a failed call. `action` is the call's name in policies, such as `kinesis:GetRecords`.
    pub(crate) fn of<E>(action: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        match error {
            SdkError::ServiceError(_) => Self::said(action, error.code(), error.message(), status),
            SdkError::ConstructionFailure(_) => Self::local(action, FaultKind::Invalid, error),
            SdkError::DispatchFailure(_) => Self::unsent(action, error),
            SdkError::ResponseError(_) => {
                let action = format!("{action}: unreadable answer, HTTP {status}");
                Self::local(&action, FaultKind::Unanswered, error)
            }
            // A time-out: it was carried out, or not.
            _ => Self::local(action, FaultKind::Unanswered, error),
        }
    }

    /// Sorts a failure inside the event stream of `SubscribeToShard`. AWS puts the name of the fault
    /// into the frame's header, where only the SDK's own sorting has seen it.
    pub(crate) fn in_stream(
        error: &SdkError<SubscribeToShardEventStreamError, RawMessage>,
    ) -> Self {
        use SubscribeToShardEventStreamError as E;
        const ACTION: &str = "kinesis:SubscribeToShard";
        let SdkError::ServiceError(context) = error else {
            return Self::local(ACTION, FaultKind::Unanswered, error);
        };
        let code = match context.err() {
            E::ResourceNotFoundException(_) => Some("ResourceNotFoundException"),
            E::ResourceInUseException(_) => Some("ResourceInUseException"),
            E::KmsDisabledException(_) => Some("KMSDisabledException"),
            E::KmsInvalidStateException(_) => Some("KMSInvalidStateException"),
            E::KmsAccessDeniedException(_) => Some("KMSAccessDeniedException"),
            E::KmsNotFoundException(_) => Some("KMSNotFoundException"),
            E::KmsOptInRequired(_) => Some("KMSOptInRequired"),
            E::KmsThrottlingException(_) => Some("KMSThrottlingException"),
            E::InternalFailureException(_) => Some("InternalFailureException"),
            other => other.code(),
        };
        Self::said(ACTION, code, context.err().message(), 200)
    }

    /// What the service itself said.
    fn said(action: &str, code: Option<&str>, message: Option<&str>, status: u16) -> Self {
        let kind = kind_of(code, status);
        let mut said = match (code, message) {
            (Some(code), Some(message)) => format!("{message} ({code})"),
            (Some(code), None) => code.to_owned(),
            (None, Some(message)) => format!("{message} (HTTP {status})"),
            (None, None) => format!("HTTP {status}"),
        };
        if let Some(hint) = code.and_then(hint) {
            said = format!("{said}: {hint}");
        }
        let message = one_line(&format!("{action}: {said}"));
        Self { kind, code: code.map(str::to_owned), message }
    }

    /// A request that got no answer at all: no credentials, no connection, or a broken one.
    fn unsent(action: &str, error: &(dyn Error + 'static)) -> Self {
        let Some(credentials) = find::<CredentialsError>(error) else {
            let connecting = chain(error).any(is_connecting);
            let kind = if connecting { FaultKind::NotSent } else { FaultKind::Unanswered };
            return Self::local(action, kind, error);
        };
        Self::credentials(action, credentials)
    }

    /// Credentials that cannot be had.
    pub(super) fn credentials(action: &str, problem: &CredentialsError) -> Self {
        match problem {
            CredentialsError::CredentialsNotLoaded(_) => Self::no_credentials(action),
            CredentialsError::InvalidConfiguration(_) => {
                Self::local(action, FaultKind::Denied, problem)
            }
            _ => Self::local(action, FaultKind::NotSent, problem),
        }
    }

    /// No credentials at all.
    pub(super) fn no_credentials(action: &str) -> Self {
        let message = format!(
            "{action}: no AWS credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
             `aws.profile`, or run under a role (an emulator takes any values, such as `test`)"
        );
        Self { kind: FaultKind::Denied, code: None, message }
    }

    fn local(action: &str, kind: FaultKind, error: &(dyn Error + 'static)) -> Self {
        Self { kind, code: None, message: one_line(&format!("{action}: {}", flatten(error))) }
    }

    /// As the error of a stream call.
    pub(crate) fn into_stream(self) -> StreamError {
        match self.kind {
            FaultKind::Throttled => {
                tracing::debug!(fault = %self.message, "throttled by kinesis");
                StreamError::Throttled
            }
            FaultKind::IteratorExpired => StreamError::IteratorExpired,
            FaultKind::NotFound => StreamError::NotFound(self.message),
            FaultKind::Denied => StreamError::Denied(self.message),
            FaultKind::Invalid => StreamError::Invalid(self.message),
            FaultKind::Busy | FaultKind::NotSent | FaultKind::Unanswered => {
                StreamError::Unavailable(self.message)
            }
        }
    }

    /// As the error of a read of the lease table: there is nothing to be unsure of.
    pub(crate) fn into_store_read(self) -> StoreError {
        match self.into_store_write() {
            StoreError::Unknown(message) => StoreError::Unavailable(message),
            other => other,
        }
    }

    /// As the error of a write to the lease table.
    pub(crate) fn into_store_write(self) -> StoreError {
        match self.kind {
            FaultKind::Throttled => {
                tracing::debug!(fault = %self.message, "throttled by dynamodb");
                StoreError::Throttled
            }
            FaultKind::Denied => StoreError::Denied(self.message),
            FaultKind::NotFound | FaultKind::Invalid | FaultKind::IteratorExpired => {
                StoreError::Corrupt(self.message)
            }
            FaultKind::Busy | FaultKind::NotSent => StoreError::Unavailable(self.message),
            FaultKind::Unanswered => StoreError::Unknown(self.message),
        }
    }

    /// As the error of a sink as a whole.
    pub(crate) fn into_sink(self) -> SinkError {
        match self.kind {
            FaultKind::NotFound | FaultKind::Denied | FaultKind::Invalid => {
                SinkError::Misconfigured(self.message)
            }
            _ => SinkError::Unavailable(self.message),
        }
    }

    /// As the error of a batch that a sink sent: what the service finds invalid may be one of its
    /// events.
    pub(crate) fn into_delivery(self) -> SinkError {
        match self.kind {
            FaultKind::Invalid => SinkError::BatchRefused(self.message),
            _ => self.into_sink(),
        }
    }
}

/// Sorts by the service's own name of the fault; by the HTTP status when the name is unknown
/// (Kinesis and DynamoDB API references, "Common Errors"; kinds of emulators included).
fn kind_of(code: Option<&str>, status: u16) -> FaultKind {
    match code.unwrap_or_default() {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "KMSThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException" => FaultKind::Throttled,
        "ExpiredIteratorException" => FaultKind::IteratorExpired,
        "ResourceNotFoundException" | "TableNotFoundException" => FaultKind::NotFound,
        "ResourceInUseException"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException"
        | "ExpiredNextTokenException" => FaultKind::Busy,
        "InvalidArgumentException" | "ValidationException" => FaultKind::Invalid,
        code if code.starts_with("AccessDenied")
            || code.starts_with("ExpiredToken")
            || code.starts_with("InvalidSignature")
            || code.starts_with("IncompleteSignature")
            || code.starts_with("MissingAuthenticationToken")
            || code.starts_with("KMS") =>
        {
            FaultKind::Denied
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "RequestExpired"
        | "NotAuthorized"
        | "OptInRequired" => FaultKind::Denied,
        _ => match status {
            401 | 403 => FaultKind::Denied,
            429 => FaultKind::Throttled,
            // Without a name it is not the service that speaks but something in between.
            400..=499 if code.is_none() => FaultKind::Busy,
            400..=499 => FaultKind::Invalid,
            _ => FaultKind::Unanswered,
        },
    }
}

/// What a human should change.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        code if code.starts_with("AccessDenied") => "allow this action in the policy of the role",
        code if code.starts_with("ExpiredToken") => "the credentials have expired, renew them",
        "RequestExpired" | "SignatureDoesNotMatch" => {
            "check the credentials and this machine's clock"
        }
        code if code.starts_with("InvalidSignature") => {
            "check the credentials and this machine's clock"
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" => {
            "check the credentials and the region"
        }
        "KMSAccessDeniedException" => "allow kms:Decrypt on the key of the stream",
        "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException" => {
            "check the key of the stream"
        }
        _ => return None,
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// Whether this cause says that no connection came about. The HTTP client's own types are not
/// public, so its words must do; a word that changes makes the fault `Unanswered`, the careful one.
fn is_connecting(cause: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind as Io;
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        return matches!(
            io.kind(),
            Io::ConnectionRefused | Io::HostUnreachable | Io::NetworkUnreachable
        );
    }
    let text = cause.to_string();
    text.contains("client error (Connect)") || text.starts_with("HTTP connect timeout")
}

/// The causes in one line. The SDK's outer layers say nothing that their causes do not say better.
fn flatten(error: &(dyn Error + 'static)) -> String {
    const EMPTY: [&str; 6] =
        ["dispatch failure", "io error", "other", "timeout", "response error", "user error"];
    let mut said: Vec<String> = Vec::new();
    for cause in chain(error) {
        let text = cause.to_string();
        if EMPTY.contains(&text.as_str()) || said.iter().any(|before| before.contains(&text)) {
            continue;
        }
        said.push(text);
    }
    if said.is_empty() { error.to_string() } else { said.join(": ") }
}

/// Services sometimes answer with pages of text; a log line and a dead letter want one line.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 600;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use aws_sdk_dynamodb::{error::ConnectorError, operation::update_item::UpdateItemError};

    use super::*;

    type UpdateFault = SdkError<UpdateItemError, HttpResponse>;

    fn of(error: &UpdateFault) -> Fault {
        Fault::of("dynamodb:UpdateItem", error)
    }

    #[test]
    fn a_timed_out_write_may_have_been_applied() {
        let fault = of(&UpdateFault::timeout_error("no answer after 3 s"));
        assert_eq!(fault.kind, FaultKind::Unanswered);
        assert!(matches!(fault.clone().into_store_write(), StoreError::Unknown(_)));
        assert!(matches!(fault.into_store_read(), StoreError::Unavailable(_)));
    }

    #[test]
    fn only_a_failed_connection_was_surely_not_sent() {
        let cases = [
            (io::ErrorKind::ConnectionRefused, FaultKind::NotSent),
            (io::ErrorKind::NetworkUnreachable, FaultKind::NotSent),
            (io::ErrorKind::ConnectionReset, FaultKind::Unanswered),
            (io::ErrorKind::BrokenPipe, FaultKind::Unanswered),
            (io::ErrorKind::UnexpectedEof, FaultKind::Unanswered),
        ];
        for (kind, expect) in cases {
            let error = ConnectorError::io(io::Error::from(kind).into());
            assert_eq!(of(&UpdateFault::dispatch_failure(error)).kind, expect, "{kind:?}");
        }
    }

    #[test]
    fn missing_credentials_say_what_to_set() {
        let error =
            ConnectorError::other(CredentialsError::not_loaded("no providers").into(), None);
        let fault = of(&UpdateFault::dispatch_failure(error));
        assert_eq!(fault.kind, FaultKind::Denied);
        assert!(fault.message.contains("AWS_ACCESS_KEY_ID"), "{}", fault.message);

        let slow = CredentialsError::provider_timed_out(std::time::Duration::from_secs(5));
        let error = ConnectorError::other(slow.into(), None);
        assert_eq!(of(&UpdateFault::dispatch_failure(error)).kind, FaultKind::NotSent);
    }

    #[test]
    fn messages_are_one_line_of_bounded_length() {
        let long = format!("first\n{}", "é".repeat(5000));
        let fault = of(&UpdateFault::timeout_error(long));
        assert!(fault.message.starts_with("dynamodb:UpdateItem: request has timed out: first é"));
        assert_eq!(fault.message.chars().count(), 601);
        assert!(!fault.message.contains('\n'));
    }
}
