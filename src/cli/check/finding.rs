//! What is said of one matter.

use serde::Serialize;

use crate::{
    cli::talk::Paint,
    ports::{StoreError, StreamError},
};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; also what could not be tried.
    Note,
    /// It works, and may not for long.
    Warning,
    /// `run` would not work, or lose records.
    Problem,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Whose: `stream app-logs`, `lease table orders`, `sinks.archive`.
    pub(super) about: String,
    pub(super) level: Level,
    /// What was found, and what it means.
    pub(super) found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Finding {
    fn new(level: Level, about: &str, found: impl Into<String>) -> Self {
        Self { about: about.to_owned(), level, found: found.into(), advice: None }
    }

    pub(super) fn ok(about: &str, found: impl Into<String>) -> Self {
        Self::new(Level::Ok, about, found)
    }

    pub(super) fn note(about: &str, found: impl Into<String>) -> Self {
        Self::new(Level::Note, about, found)
    }

    pub(super) fn warning(about: &str, found: impl Into<String>) -> Self {
        Self::new(Level::Warning, about, found)
    }

    pub(super) fn problem(about: &str, found: impl Into<String>) -> Self {
        Self::new(Level::Problem, about, found)
    }

    /// A call of `run` that a stream did not answer.
    pub(super) fn stream_problem(about: &str, problem: &StreamError) -> Self {
        let found = Self::problem(about, problem.to_string());
        match problem {
            StreamError::Denied(_) => found.advise(POLICY),
            StreamError::NotFound(_) => found.advise(NOT_THERE),
            StreamError::Unavailable(_) => found.advise(UNREACHABLE),
            _ => found,
        }
    }

    /// A call of `run` that the lease table did not answer.
    pub(super) fn table_problem(about: &str, problem: &StoreError) -> Self {
        let found = Self::problem(about, problem.to_string());
        match problem {
            StoreError::Denied(_) => found.advise(POLICY),
            StoreError::Unavailable(_) => found.advise(UNREACHABLE),
            _ => found,
        }
    }

    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// For people: one line, and one for what to do.
    pub(super) fn lines(&self, paint: &Paint) -> String {
        let Self { about, level, found, advice } = self;
        let level = match level {
            Level::Ok => paint.green("ok     "),
            Level::Note => "note   ".to_owned(),
            Level::Warning => paint.yellow("warning"),
            Level::Problem => paint.red("problem"),
        };
        let advice = advice.as_ref().map(|advice| format!("         → {advice}\n"));
        format!("{level}  {about}: {found}\n{}", advice.unwrap_or_default())
    }

    /// For programs.
    pub(super) fn json_line(&self) -> String {
        let line = serde_json::to_string(self).expect("texts are JSON");
        format!("{line}\n")
    }
}

const POLICY: &str = "`shardwright iam-policy` prints all that the role needs; a policy of the \
                      organization, the VPC endpoint or the key may forbid it all the same";
const NOT_THERE: &str =
    "compare its name, aws.region and the account with `aws kinesis list-streams`";
const UNREACHABLE: &str = "look at DNS, routes, security groups and VPC endpoints between this machine \
                           and the service";
