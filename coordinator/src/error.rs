//! A refusal that a client is told: Kafka's code and words.

use std::borrow::Cow;
use std::fmt;

pub use thalweg_wire::error_code::ErrorCode;

/// Bytes of the longest message: what it quotes may be as long as a request.
pub const MESSAGE_BYTES_MAX: usize = 8_192;

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

    /// The message as responses carry it, cut to what the oldest of them can hold.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'static, str>> {
        let message = self.message.as_deref()?;
        let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
        Some(message.get(..end).unwrap_or(message).to_owned().into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_between_characters() {
        let refusal = Refusal::new(ErrorCode::InvalidRequest, "ä".repeat(5_000));
        assert_eq!(
            refusal.text().map(|text| text.len()),
            Some(MESSAGE_BYTES_MAX)
        );
        let refusal = Refusal::new(ErrorCode::InvalidRequest, format!("x{}", "ä".repeat(5_000)));
        assert_eq!(
            refusal.text().map(|text| text.len()),
            Some(MESSAGE_BYTES_MAX - 1)
        );
    }
}
