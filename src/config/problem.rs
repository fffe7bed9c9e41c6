//! What is wrong with a configuration, for the person who wrote it.

use std::fmt;

/// One thing that must be changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// The file and line, or the environment variable; empty when a key is missing altogether.
    pub place: String,
    /// The key, such as `routes[1].sink`.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Everything that is wrong with a configuration, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        // A diagnostic of several lines begins on its own.
        if self.message.contains('\n') {
            write!(f, "\n{}", self.message)
        } else {
            f.write_str(&self.message)
        }
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}
