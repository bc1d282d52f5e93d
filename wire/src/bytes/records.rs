//! Record sets as a field of a message.

use std::borrow::Cow;

/// A record set: nothing, bytes at hand, or an outline of bytes that are sent from elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Records<'a> {
    /// Null.
    #[default]
    Null,
    /// Bytes at hand.
    Bytes(Cow<'a, [u8]>),
    /// Only the length is written; the writer notes where the bytes belong. This is how record
    /// bytes of a Fetch response are never copied.
    Outline {
        /// Bytes that belong here.
        len: usize,
        /// The caller's name for them.
        token: u32,
    },
}

impl Records<'_> {
    /// Bytes of the set, wherever they are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::Outline { len, .. } => *len,
        }
    }

    /// No bytes, or null.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
