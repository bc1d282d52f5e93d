//! Why bytes are not a message, or a message cannot be bytes. Each variant has the numbers that
//! matter for the one log line that a refused frame gets.

use std::fmt;
use std::str::Utf8Error;

/// Received bytes are not what they claim to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// A value goes beyond the end.
    Truncated { needed: usize, left: usize },
    /// An array claims more elements than the bytes left can hold.
    CountTooLarge { count: usize, left: usize },
    /// A length below -1, or above what its type allows.
    BadLength { length: i64 },
    /// Null where this version has no null.
    NullNotAllowed,
    /// Text that is not UTF-8.
    NotUtf8(Utf8Error),
    /// A variable-length integer with more bits than its type.
    VarintTooLong,
    /// The byte before a nullable structure is neither -1 nor 1.
    BadPresence { byte: i8 },
    /// Tags must rise: this one repeats or goes back.
    TagOrder { tag: u32 },
    /// A tagged field is longer than its value.
    TagSize { tag: u32, left: usize },
    /// Bytes follow the message.
    TrailingBytes { left: usize },
    /// The schema has no such version.
    UnsupportedVersion { message: &'static str, version: i16 },
    /// No such API, or record type.
    UnknownKey { key: i64 },
    /// A metadata record in a frame of another version than 1.
    FrameVersion { version: u32 },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, left } => {
                write!(f, "truncated: {needed} bytes needed, {left} left")
            }
            Self::CountTooLarge { count, left } => {
                write!(f, "{count} elements claimed with {left} bytes left")
            }
            Self::BadLength { length } => write!(f, "bad length {length}"),
            Self::NullNotAllowed => f.write_str("null where null is not allowed"),
            Self::NotUtf8(cause) => write!(f, "text is not UTF-8: {cause}"),
            Self::VarintTooLong => f.write_str("variable-length integer too long"),
            Self::BadPresence { byte } => write!(f, "presence byte is {byte}, not -1 or 1"),
            Self::TagOrder { tag } => write!(f, "tag {tag} repeats or is out of order"),
            Self::TagSize { tag, left } => {
                write!(f, "tag {tag} has {left} bytes more than its value")
            }
            Self::TrailingBytes { left } => write!(f, "{left} bytes follow the message"),
            Self::UnsupportedVersion { message, version } => {
                write!(f, "{message} has no version {version}")
            }
            Self::UnknownKey { key } => write!(f, "unknown key {key}"),
            Self::FrameVersion { version } => write!(f, "record frame version {version}"),
        }
    }
}

impl std::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotUtf8(cause) => Some(cause),
            _ => None,
        }
    }
}

/// A message cannot be written in the version asked for. It is a fault of the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The schema has no such version.
    UnsupportedVersion { message: &'static str, version: i16 },
    /// The field is set, is not ignorable, and this version lacks it: its meaning would be lost.
    FieldLost { field: &'static str, version: i16 },
    /// Null in a version without null.
    NullNotAllowed { field: &'static str, version: i16 },
    /// Longer than the length prefix can say.
    TooLong { length: usize },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedVersion { message, version } => {
                write!(f, "{message} has no version {version}")
            }
            Self::FieldLost { field, version } => {
                write!(f, "{field} is set, but version {version} lacks it")
            }
            Self::NullNotAllowed { field, version } => {
                write!(f, "{field} is null, which version {version} cannot say")
            }
            Self::TooLong { length } => write!(f, "{length} is too long for its prefix"),
        }
    }
}

impl std::error::Error for EncodeError {}
