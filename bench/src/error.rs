//! The crate's one error: what ended a run before it had a report.

use std::fmt;
use std::io;

use thalweg_wire::bytes::{DecodeError, EncodeError};

#[derive(Debug)]
pub enum BenchError {
    /// A command-line word that makes no sense, and why.
    Usage(String),
    /// The socket failed.
    Io {
        doing: &'static str,
        source: io::Error,
    },
    /// The server's bytes are not what they should be.
    Decode {
        what: &'static str,
        source: DecodeError,
    },
    /// A request could not be written in the version used.
    Encode(EncodeError),
    /// The server refused something without which there is no run.
    Refused { what: &'static str, code: i16 },
    /// An answer that no request asked for, or a frame of impossible size.
    Protocol(String),
    /// The server gave wrong data: its speed is worth nothing.
    Wrong(String),
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Decode { what, source } => write!(f, "{what}: malformed: {source:?}"),
            Self::Encode(source) => write!(f, "a request cannot be written: {source:?}"),
            Self::Refused { what, code } => write!(f, "{what}: refused with error code {code}"),
            Self::Protocol(what) => write!(f, "protocol: {what}"),
            Self::Wrong(what) => write!(f, "WRONG DATA: {what}"),
        }
    }
}

impl std::error::Error for BenchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<EncodeError> for BenchError {
    fn from(source: EncodeError) -> Self {
        Self::Encode(source)
    }
}

/// Names what was being done when the socket failed.
pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> BenchError {
    move |source| BenchError::Io { doing, source }
}

/// Names the message that did not decode.
pub(crate) fn decode(what: &'static str) -> impl FnOnce(DecodeError) -> BenchError {
    move |source| BenchError::Decode { what, source }
}
