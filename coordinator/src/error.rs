//! A refusal that a client is told: Kafka's code and words.

use std::borrow::Cow;
use std::fmt;

pub use thalweg_wire::error_code::ErrorCode;

/// Why something a client asked for is not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What is wrong, for the client's log.
    pub message: Option<String>,
}

impl Refusal {
    /// A refusal in words.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
        }
    }

    /// A refusal whose code says it all.
    #[must_use]
    pub const fn bare(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
        }
    }

    /// The message as responses carry it.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'static, str>> {
        self.message.clone().map(Cow::Owned)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.name())?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}
