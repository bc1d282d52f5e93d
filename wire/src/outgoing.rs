//! A response as ordered pieces: bytes that were written for it, and stored bytes (a slice of
//! memory, a range of a file) that are only bound to it when they are sent.
//!
//! What a stored piece is, the node says by `S`; here only its length counts. Invariant: the size
//! prefix is the sum of all pieces behind it.

use std::fmt;
use std::ops::Range;

use crate::bytes::{EncodeError, Message, Splice, Writer};
use crate::frame::SIZE_BYTES;
use crate::header::ResponseHead;

/// Stored bytes: where they are, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored<S> {
    /// A memory slice or a file range.
    pub source: S,
    /// Bytes of it.
    pub len: usize,
}

/// The next bytes of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece<S> {
    /// A range of [`Outgoing::bytes`].
    Bytes(Range<usize>),
    /// Stored bytes.
    Stored(Stored<S>),
}

/// A whole response, size prefix included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing<S> {
    bytes: Vec<u8>,
    pieces: Vec<Piece<S>>,
    len: usize,
}

/// Why a response cannot be sent. It is a fault of the handler.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutgoingError {
    /// The body cannot be written in the request's version.
    Encode(EncodeError),
    /// The stored pieces are not as long as the message says.
    Length {
        /// What the message calls them.
        token: u32,
        /// Bytes that the message has room for.
        outlined: usize,
        /// Bytes that the pieces have.
        stored: usize,
    },
}

impl fmt::Display for OutgoingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(cause) => cause.fmt(f),
            Self::Length {
                token,
                outlined,
                stored,
            } => write!(
                f,
                "records {token}: {outlined} bytes outlined, {stored} stored"
            ),
        }
    }
}

impl std::error::Error for OutgoingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(cause) => Some(cause),
            Self::Length { .. } => None,
        }
    }
}

impl From<EncodeError> for OutgoingError {
    fn from(cause: EncodeError) -> Self {
        Self::Encode(cause)
    }
}

impl<S> Outgoing<S> {
    /// Writes a response. `stored` gives the pieces of each outlined record set, in the order of
    /// the message.
    pub fn response<M: Message>(
        head: ResponseHead,
        body: &M,
        mut stored: impl FnMut(Splice) -> Vec<Stored<S>>,
    ) -> Result<Self, OutgoingError> {
        let length = head.size() + body.size(head.version)?;
        let size = i32::try_from(length).or(Err(EncodeError::TooLong { length }))?;
        // Outlined bytes are counted in the size, but never enter the buffer.
        let mut out = Writer::new();
        out.i32(size);
        head.write(&mut out);
        body.encode(head.version, &mut out)?;
        let len = out.len();
        debug_assert_eq!(len, SIZE_BYTES + length);
        let (bytes, splices) = out.into_parts();

        let mut pieces = Vec::with_capacity(2 * splices.len() + 1);
        let mut from = 0;
        for splice in splices {
            if splice.at > from {
                pieces.push(Piece::Bytes(from..splice.at));
            }
            from = splice.at;
            let given = stored(splice);
            let sum = given.iter().map(|piece| piece.len).sum();
            if sum != splice.len {
                return Err(OutgoingError::Length {
                    token: splice.token,
                    outlined: splice.len,
                    stored: sum,
                });
            }
            pieces.extend(given.into_iter().filter(|s| s.len > 0).map(Piece::Stored));
        }
        if bytes.len() > from {
            pieces.push(Piece::Bytes(from..bytes.len()));
        }
        Ok(Self { bytes, pieces, len })
    }

    /// Writes a response that has no stored pieces.
    pub fn plain<M: Message>(head: ResponseHead, body: &M) -> Result<Self, OutgoingError> {
        Self::response(head, body, |_| Vec::new())
    }

    /// A response that was written elsewhere, size prefix included.
    #[must_use]
    pub fn whole(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self {
            pieces: vec![Piece::Bytes(0..len)],
            bytes,
            len,
        }
    }

    /// Everything that goes out, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Never true: a response has a size prefix.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written for this response.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Has it say how long its client is throttled; false when its version has no place for it.
    pub fn set_throttle(&mut self, head: ResponseHead, millis: i32) -> bool {
        crate::throttle::write(head, &mut self.bytes, millis)
    }

    /// The pieces in the order in which they go out.
    #[must_use]
    pub fn pieces(&self) -> &[Piece<S>] {
        &self.pieces
    }

    /// The written bytes and the pieces that refer to them.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<Piece<S>>) {
        (self.bytes, self.pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Records;
    use crate::messages::fetch_response::{
        FetchResponse, FetchResponseView, FetchableTopicResponse, PartitionData,
    };

    const HEAD: ResponseHead = ResponseHead {
        api_key: 1,
        version: 12,
        correlation_id: 9,
    };

    fn response(sets: &[Records<'static>]) -> FetchResponse<'static> {
        let partitions = sets
            .iter()
            .map(|records| PartitionData {
                records: records.clone(),
                ..PartitionData::default()
            })
            .collect();
        FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: "t".into(),
                partitions,
                ..FetchableTopicResponse::default()
            }],
            ..FetchResponse::default()
        }
    }

    #[test]
    fn stored_pieces_read_like_copied_bytes() {
        let copied = response(&[
            Records::Bytes(b"first".into()),
            Records::Bytes(b"".into()),
            Records::Bytes(b"second".into()),
        ]);
        let outlined = response(&[
            Records::Outline { len: 5, token: 0 },
            Records::Outline { len: 0, token: 1 },
            Records::Outline { len: 6, token: 2 },
        ]);
        let sets: [Vec<&[u8]>; 3] = [vec![b"fir", b"st"], vec![], vec![b"second"]];
        let stored = |splice: Splice| {
            let set = sets.get(splice.token as usize).expect("three sets");
            set.iter()
                .map(|s| Stored {
                    source: *s,
                    len: s.len(),
                })
                .collect()
        };
        let out = Outgoing::response(HEAD, &outlined, stored).expect("fits");
        let mut whole = Vec::new();
        for piece in out.pieces() {
            match piece {
                Piece::Bytes(range) => whole.extend(&out.bytes()[range.clone()]),
                Piece::Stored(stored) => whole.extend(stored.source),
            }
        }
        assert_eq!(whole.len(), out.len());
        let plain = Outgoing::<()>::plain(HEAD, &copied).expect("fits");
        assert_eq!(whole, plain.bytes());
        let (id, body) = HEAD.decode(&whole[4..]).expect("a head");
        assert_eq!(id, 9);
        let view = FetchResponseView::decode(body, 12).expect("a response");
        assert_eq!(view.to_owned(), copied);
    }

    #[test]
    fn pieces_of_the_wrong_length_are_refused() {
        let outlined = response(&[Records::Outline { len: 5, token: 3 }]);
        let out = Outgoing::<()>::plain(HEAD, &outlined);
        let refused = OutgoingError::Length {
            token: 3,
            outlined: 5,
            stored: 0,
        };
        assert_eq!(out, Err(refused));
    }
}
