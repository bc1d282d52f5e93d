//! The size prefix of every request and response: four bytes, big endian.
//!
//! Invariant: nothing is allocated or read for a frame whose size was not found in order.

/// Bytes of the prefix itself.
pub const SIZE_BYTES: usize = 4;

/// What the bytes received so far say about the next frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// So many more bytes are needed: to know the size, or to have the frame whole.
    NeedMore {
        /// Bytes still missing.
        missing: usize,
    },
    /// The frame without its prefix, and all that follows it.
    Whole {
        /// Header and body.
        frame: &'a [u8],
        /// Bytes of later frames.
        rest: &'a [u8],
    },
    /// The frame is longer than the limit: the connection is to be closed.
    TooBig {
        /// What the prefix claims.
        size: usize,
    },
    /// The prefix is negative: the connection is to be closed.
    Negative {
        /// What the prefix claims.
        size: i32,
    },
}

/// Looks at the start of `received`; a frame may have at most `bytes_max` bytes behind its prefix.
#[must_use]
pub fn next(received: &[u8], bytes_max: usize) -> Frame<'_> {
    let Some((prefix, after)) = received.split_first_chunk::<SIZE_BYTES>() else {
        return Frame::NeedMore {
            missing: SIZE_BYTES - received.len(),
        };
    };
    let claimed = i32::from_be_bytes(*prefix);
    let Ok(size) = usize::try_from(claimed) else {
        return Frame::Negative { size: claimed };
    };
    if size > bytes_max {
        return Frame::TooBig { size };
    }
    match after.split_at_checked(size) {
        Some((frame, rest)) => Frame::Whole { frame, rest },
        None => Frame::NeedMore {
            missing: size - after.len(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict() {
        assert_eq!(next(&[], 10), Frame::NeedMore { missing: 4 });
        assert_eq!(next(&[0, 0, 0], 10), Frame::NeedMore { missing: 1 });
        assert_eq!(next(&[0, 0, 0, 3, 7], 10), Frame::NeedMore { missing: 2 });
        assert_eq!(
            next(&[0, 0, 0, 1, 7, 8], 10),
            Frame::Whole {
                frame: &[7],
                rest: &[8]
            }
        );
        assert_eq!(next(&[0, 0, 0, 10], 10), Frame::NeedMore { missing: 10 });
        assert_eq!(next(&[0, 0, 0, 11], 10), Frame::TooBig { size: 11 });
        assert_eq!(
            next(&[0xff, 0xff, 0xff, 0xff], 10),
            Frame::Negative { size: -1 }
        );
    }
}
