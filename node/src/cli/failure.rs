//! What a command tells when it fails: three lines (what, likely cause, fix) and its exit code.
//!
//! The codes in brackets are stable: scripts and search engines may rely on them. Deliberately
//! absent: usage mistakes, which clap reports with exit code 2.

use std::fmt;

use thalweg_wire::error_code::ErrorCode;

use super::Exit;
use super::advice::advice;

/// Why a command, or a part of it, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code if this is all there is to tell.
    pub exit: Exit,
    /// A stable code.
    pub code: &'static str,
    /// What failed, with the values.
    pub what: String,
    /// The likely cause.
    pub cause: String,
    /// A command or key that helps.
    pub fix: String,
}

impl Failure {
    /// No broker, or none that answers.
    #[must_use]
    pub fn unreachable(address: &str, source: &std::io::Error) -> Self {
        let refused = source.kind() == std::io::ErrorKind::ConnectionRefused;
        Self {
            exit: Exit::Unreachable,
            code: "T0501",
            what: format!("cannot reach {address}: {source}"),
            cause: if refused {
                "nothing listens there: the node is not running, or listens elsewhere".to_owned()
            } else {
                "the address is wrong, the network is in between, or the node is overloaded"
                    .to_owned()
            },
            fix: "start it with `thalweg serve`, or name the address with `--brokers HOST:PORT`"
                .to_owned(),
        }
    }

    /// The peer does not speak as a broker should.
    #[must_use]
    pub fn protocol(address: &str, what: impl fmt::Display) -> Self {
        Self {
            exit: Exit::Failed,
            code: "T0502",
            what: format!("{address} gave no answer that makes sense: {what}"),
            cause: "another kind of server listens there, or one that is too old".to_owned(),
            fix: "check the port; brokers from Apache Kafka 2.4 on are understood".to_owned(),
        }
    }

    /// The same broker was reached by the address given, but not by the one it tells clients.
    #[must_use]
    pub fn advertised_by(mut self, first: &str) -> Self {
        if self.exit == Exit::Unreachable {
            self.code = "T0505";
            self.cause =
                format!("{first} answers, but names this address to its clients (advertised)");
            self.fix = "set the broker's advertised address to one that can be dialled from here"
                .to_owned();
        }
        self
    }

    /// The broker does not have the call that a command needs.
    #[must_use]
    pub fn unserved(address: &str, what: impl fmt::Display) -> Self {
        Self {
            exit: Exit::Failed,
            code: "T0508",
            what: format!("{address} does not serve {what}"),
            cause: "the broker is of another age than this program, or does without that feature"
                .to_owned(),
            fix: "`thalweg cluster api-versions` shows what it serves".to_owned(),
        }
    }

    /// Standard output does not take the result.
    #[must_use]
    pub fn printing(source: &std::io::Error) -> Self {
        Self {
            exit: Exit::Failed,
            code: "T0504",
            what: format!("cannot print the result: {source}"),
            cause: "standard output is full or closed".to_owned(),
            fix: "look at where the output goes".to_owned(),
        }
    }

    /// A file cannot be read or written.
    #[must_use]
    pub fn file(path: &std::path::Path, source: &std::io::Error) -> Self {
        Self {
            exit: Exit::Failed,
            code: "T0506",
            what: format!("cannot use {}: {source}", path.display()),
            cause: "it is not there, or this user may not".to_owned(),
            fix: "check the path and its permissions".to_owned(),
        }
    }

    /// Input, or a combination of options that only the cluster's state makes wrong.
    #[must_use]
    pub fn input(what: impl Into<String>, cause: &str, fix: &str) -> Self {
        Self {
            exit: Exit::Failed,
            code: "T0507",
            what: what.into(),
            cause: cause.to_owned(),
            fix: fix.to_owned(),
        }
    }

    /// A broker refused what was asked of it.
    #[must_use]
    pub fn refused(doing: &str, subject: &str, code: i16, message: Option<&str>) -> Self {
        let error = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
        let (cause, fix) = advice(error);
        Self {
            exit: Exit::Failed,
            code: "T0503",
            what: format!("{doing} `{subject}`: {error} ({code})"),
            cause: message.map_or_else(|| cause.to_owned(), str::to_owned),
            fix: fix.to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code, self.what)?;
        writeln!(f, "  cause: {}", self.cause)?;
        write!(f, "  fix:   {}", self.fix)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines() {
        let failure = Failure::refused("creating", "a/b", 17, None);
        let told = failure.to_string();
        assert_eq!(told.lines().count(), 3, "{told}");
        assert!(told.starts_with("error[T0503]: creating `a/b`: INVALID_TOPIC_EXCEPTION (17)\n"));
    }
}
