//! What is wrong with a configuration: every problem at once, each with its place and its fix.
//!
//! Errors refuse the start, warnings are printed once. Deliberately absent: stopping at the first
//! error: whoever has three mistakes should not need four starts.

use std::fmt;

/// Where a value was set. Later variants win over earlier ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The node chose it because it is the only one of its cluster.
    LoneNode,
    /// A line of the TOML file.
    File {
        /// As given on the command line.
        path: String,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A line of a server.properties.
    Properties {
        /// As given on the command line.
        path: String,
        /// From 1.
        line: usize,
    },
    /// `--set`.
    Set,
    /// A flag of its own, such as `--listen`.
    Flag {
        /// With its dashes.
        name: String,
    },
}

impl Origin {
    /// Higher wins; two of equal rank that disagree are a mistake.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::LoneNode => 1,
            Self::File { .. } => 2,
            Self::Env { .. } => 3,
            Self::Properties { .. } => 4,
            Self::Set => 5,
            Self::Flag { .. } => 6,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::LoneNode => f.write_str("default of a single node"),
            Self::File { path, line } | Self::Properties { path, line } => {
                write!(f, "{path}:{line}")
            }
            Self::Env { name } => write!(f, "environment variable {name}"),
            Self::Set => f.write_str("--set"),
            Self::Flag { name } => f.write_str(name),
        }
    }
}

/// Whether the node can start with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can; the operator should know.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Whether the node can start with it.
    pub severity: Severity,
    /// Where it was written.
    pub origin: Origin,
    /// The setting, as the user spelled it.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if !self.fix.is_empty() {
            write!(f, "\n  fix: {}", self.fix)?;
        }
        Ok(())
    }
}

/// All problems found, errors first when printed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// In the order found.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Notes something that refuses the start.
    pub fn error(&mut self, origin: &Origin, key: &str, message: String, fix: String) {
        let (origin, key) = (origin.clone(), key.to_owned());
        self.problems.push(Problem {
            severity: Severity::Error,
            origin,
            key,
            message,
            fix,
        });
    }

    /// Notes something to be printed once.
    pub fn warning(&mut self, origin: &Origin, key: &str, message: String, fix: String) {
        let (origin, key) = (origin.clone(), key.to_owned());
        self.problems.push(Problem {
            severity: Severity::Warning,
            origin,
            key,
            message,
            fix,
        });
    }

    /// True when the node cannot start.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut problems: Vec<&Problem> = self.problems.iter().collect();
        problems.sort_by_key(|problem| problem.severity);
        for problem in problems {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
