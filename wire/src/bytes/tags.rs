//! The section of tagged fields at the end of a structure in flexible versions.
//!
//! Unknown tags are skipped: a newer client may send them. Tags must rise strictly, and a known
//! field must use up its bytes, as the protocol's description says. (Kafka's own generated readers
//! let a repeated tag overwrite the earlier one and do not compare sizes; no client is known to
//! send either, and a reader that guesses which of two values was meant would hide corruption.)

use super::{DecodeError, Reader};

/// Walks the tagged fields of one structure.
#[derive(Debug)]
pub struct Tags {
    left: u32,
    next_min: u32,
}

impl Tags {
    /// Reads the number of fields.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let left = r.uvarint()?;
        // A field takes two bytes at least: its tag and its size.
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        if count > r.left() / 2 {
            return Err(DecodeError::CountTooLarge {
                count,
                left: r.left(),
            });
        }
        Ok(Self { left, next_min: 0 })
    }

    /// The next field: its tag and its bytes.
    pub fn next<'a>(
        &mut self,
        r: &mut Reader<'a>,
    ) -> Result<Option<(u32, Reader<'a>)>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let tag = r.uvarint()?;
        if tag < self.next_min {
            return Err(DecodeError::TagOrder { tag });
        }
        self.next_min = tag.saturating_add(1);
        let size = usize::try_from(r.uvarint()?).unwrap_or(usize::MAX);
        Ok(Some((tag, Reader::new(r.take(size)?))))
    }

    /// A known field must have been read to its end.
    pub const fn finish(tag: u32, field: &Reader<'_>) -> Result<(), DecodeError> {
        match field.left() {
            0 => Ok(()),
            left => Err(DecodeError::TagSize { tag, left }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<Vec<(u32, usize)>, DecodeError> {
        let mut r = Reader::new(bytes);
        let mut tags = Tags::read(&mut r)?;
        let mut seen = Vec::new();
        while let Some((tag, field)) = tags.next(&mut r)? {
            seen.push((tag, field.left()));
        }
        Ok(seen)
    }

    #[test]
    fn tags_must_rise() {
        assert_eq!(walk(&[0]), Ok(vec![]));
        assert_eq!(walk(&[2, 0, 1, 9, 3, 0]), Ok(vec![(0, 1), (3, 0)]));
        assert_eq!(
            walk(&[2, 3, 0, 3, 0]),
            Err(DecodeError::TagOrder { tag: 3 })
        );
        assert_eq!(
            walk(&[2, 3, 0, 1, 0]),
            Err(DecodeError::TagOrder { tag: 1 })
        );
        assert_eq!(
            walk(&[3, 3, 0, 4, 0]),
            Err(DecodeError::CountTooLarge { count: 3, left: 4 })
        );
    }
}
