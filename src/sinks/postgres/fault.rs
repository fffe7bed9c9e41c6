//! What an error of the database means.

use tokio_postgres::{Error, error::DbError};

use crate::{ports::SinkError, sinks::tls::distrust};

/// An error, by what can be done.
#[derive(Debug)]
pub(super) enum Fault {
    /// The rows are at fault, or one of them: what the database says of it.
    Rows(String),
    /// Nobody's fault that a row could mend.
    Other(SinkError),
}

impl Fault {
    /// As an answer for a whole batch, where no row can be told apart.
    pub(super) fn into_error(self) -> SinkError {
        match self {
            Self::Rows(why) => SinkError::Misconfigured(why),
            Self::Other(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Some(said) = error.as_db_error() else {
            let why = format!("postgres: {}", flatten(&error));
            return Self::Other(match distrust(&error) {
                Some(hint) => SinkError::Misconfigured(format!("{why}: {hint}")),
                None => SinkError::Unavailable(why),
            });
        };
        let code = said.code().code();
        let message = shown(said);
        // Classes of PostgreSQL's appendix A.
        match code {
            // Too large for an index or a page, twice in one command, a trigger's own word.
            "54000" | "21000" | "P0001" | "44000" => Self::Rows(message),
            // Data, constraints.
            _ if code.starts_with("22") || code.starts_with("23") => Self::Rows(message),
            // Names, types, rights, passwords, databases, what the server does not know.
            _ if ["42", "28", "3D", "3F", "0A"].iter().any(|class| code.starts_with(class)) => {
                let hint =
                    "look at the sink's url, table, columns and key, and at the role's rights";
                Self::Other(SinkError::Misconfigured(format!("{message}: {hint}")))
            }
            // Deadlocks, shutdown, no room, no connection, read-only, time-outs.
            _ => Self::Other(SinkError::Unavailable(message)),
        }
    }
}

/// The database's words, with what they are about.
fn shown(error: &DbError) -> String {
    let mut text = format!("{} (SQLSTATE {})", error.message(), error.code().code());
    let about = [
        ("detail", error.detail()),
        ("column", error.column()),
        ("constraint", error.constraint()),
        ("hint", error.hint()),
    ];
    for (name, said) in about {
        if let Some(said) = said {
            text = format!("{text}, {name}: {said}");
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An error with its causes.
pub(super) fn flatten(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
