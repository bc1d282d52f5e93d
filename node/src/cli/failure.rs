//! What a command tells when it fails: three lines (what, likely cause, fix) and its exit code.
//!
//! The codes in brackets are stable: scripts and search engines may rely on them. Deliberately
//! absent: usage mistakes, which clap reports with exit code 2.

use std::fmt;

use thalweg_wire::error_code::ErrorCode;

use super::Exit;

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

/// Likely cause and fix of an error code, for the calls that commands make.
fn advice(error: ErrorCode) -> (&'static str, &'static str) {
    use ErrorCode as E;
    match error {
        E::TopicAlreadyExists => (
            "a topic of this name is there already",
            "`--if-not-exists` leaves it as it is; `thalweg topic describe` shows it",
        ),
        E::UnknownTopicOrPartition | E::UnknownTopicId => (
            "there is no topic of this name",
            "`thalweg topic list` shows what there is; `--if-exists` accepts its absence",
        ),
        E::InvalidTopicException => (
            "names have 1 to 249 characters of a-z A-Z 0-9 . _ -, and are not `.` or `..`",
            "choose another name",
        ),
        E::InvalidPartitions => (
            "a topic has at least one partition",
            "give `--partitions 1` or more",
        ),
        E::InvalidReplicationFactor => (
            "there are fewer brokers than copies asked for",
            "leave out `--replication-factor`, or start more nodes",
        ),
        E::InvalidConfig => (
            "a key is unknown, or its value is not allowed",
            "correct the `--config` named above",
        ),
        E::PolicyViolation | E::InvalidRequest => (
            "the broker does not allow it",
            "ask for less, or look into the broker's log",
        ),
        E::RequestTimedOut | E::NotController => (
            "the controller did not finish in time; it may still do it",
            "look with `thalweg topic list`, then try again with a longer `--timeout`",
        ),
        _ => (
            "see the broker's log",
            "try again; if it stays, look into the broker's log",
        ),
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
