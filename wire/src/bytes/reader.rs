//! The checked reader: a slice that gets shorter. No read allocates; each fails instead of going
//! beyond the end.

use super::{Array, Decode, DecodeError, Version};
use crate::ids::Uuid;

/// A string is at most this long: Kafka refuses compact strings beyond what the old 16-bit prefix
/// could say, and so do we.
pub(super) const TEXT_BYTES_MAX: usize = 0x7fff;

/// Received bytes, from the place that comes next.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.bytes.len()
    }

    /// The message must end here.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes { left }),
        }
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.bytes.split_at_checked(length) else {
            return Err(self.truncated(length));
        };
        self.bytes = rest;
        Ok(head)
    }

    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated {
            needed,
            left: self.bytes.len(),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.truncated(N));
        };
        self.bytes = rest;
        Ok(*head)
    }

    /// One byte; as in Kafka, any value but 0 is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// 8 bits.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// 16 bits, big endian.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// 16 bits, big endian, unsigned.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// 32 bits, big endian.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// 32 bits, big endian, unsigned.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// 64 bits, big endian.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// A double, big endian.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_be_bytes)
    }

    /// 16 bytes.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid)
    }

    /// An unsigned variable-length integer of at most 32 bits.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // The fifth byte has room for four bits only.
                return u32::try_from(value).or(Err(DecodeError::VarintTooLong));
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// Length of text or bytes, or count of an array: None is null.
    fn length(&mut self, v: Version, short: bool) -> Result<Option<usize>, DecodeError> {
        let length = if v.flexible {
            i64::from(self.uvarint()?) - 1
        } else if short {
            i64::from(self.i16()?)
        } else {
            i64::from(self.i32()?)
        };
        if length == -1 {
            return Ok(None);
        }
        // The negation of -1 has been dealt with: what remains negative is not a length.
        usize::try_from(length)
            .map(Some)
            .or(Err(DecodeError::BadLength { length }))
    }

    /// Text, or null.
    pub fn text_or_null(&mut self, v: Version) -> Result<Option<&'a str>, DecodeError> {
        let Some(length) = self.length(v, true)? else {
            return Ok(None);
        };
        if length > TEXT_BYTES_MAX {
            return Err(DecodeError::BadLength {
                length: i64::try_from(length).unwrap_or(i64::MAX),
            });
        }
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(DecodeError::NotUtf8)
    }

    /// Text.
    pub fn text(&mut self, v: Version) -> Result<&'a str, DecodeError> {
        self.text_or_null(v)?.ok_or(DecodeError::NullNotAllowed)
    }

    /// Bytes, or null.
    pub fn bytes_or_null(&mut self, v: Version) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length(v, false)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, v: Version) -> Result<&'a [u8], DecodeError> {
        self.bytes_or_null(v)?.ok_or(DecodeError::NullNotAllowed)
    }

    /// An array, or null.
    pub fn array_or_null<T: Decode<'a>>(
        &mut self,
        v: Version,
    ) -> Result<Option<Array<'a, T>>, DecodeError> {
        match self.length(v, false)? {
            Some(count) => Array::read(self, count, v).map(Some),
            None => Ok(None),
        }
    }

    /// An array.
    pub fn array<T: Decode<'a>>(&mut self, v: Version) -> Result<Array<'a, T>, DecodeError> {
        self.array_or_null(v)?.ok_or(DecodeError::NullNotAllowed)
    }

    /// The byte before a nullable structure: whether the structure follows.
    pub fn present(&mut self) -> Result<bool, DecodeError> {
        match self.i8()? {
            1 => Ok(true),
            -1 => Ok(false),
            byte => Err(DecodeError::BadPresence { byte }),
        }
    }

    /// The same before a nullable structure in a tagged field, where Kafka says null by 0.
    pub fn present_tagged(&mut self) -> Result<bool, DecodeError> {
        match self.i8()? {
            1 => Ok(true),
            0 => Ok(false),
            byte => Err(DecodeError::BadPresence { byte }),
        }
    }
}

macro_rules! fixed_size {
    ($($kind:ty, $bytes:literal, $read:ident;)*) => {
        $(impl<'a> Decode<'a> for $kind {
            fn size_min(_: Version) -> usize {
                $bytes
            }

            fn read(r: &mut Reader<'a>, _: Version) -> Result<Self, DecodeError> {
                r.$read()
            }
        })*
    };
}

fixed_size! {
    bool, 1, bool;
    i8, 1, i8;
    i16, 2, i16;
    u16, 2, u16;
    i32, 4, i32;
    u32, 4, u32;
    i64, 8, i64;
    f64, 8, f64;
    Uuid, 16, uuid;
}

impl<'a> Decode<'a> for &'a str {
    fn size_min(v: Version) -> usize {
        if v.flexible { 1 } else { 2 }
    }

    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        r.text(v)
    }
}

impl<'a> Decode<'a> for &'a [u8] {
    fn size_min(v: Version) -> usize {
        if v.flexible { 1 } else { 4 }
    }

    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        r.bytes(v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version {
        number: 0,
        flexible: false,
    };
    const COMPACT: Version = Version {
        number: 1,
        flexible: true,
    };

    #[test]
    fn uvarint_limits() {
        let read = |bytes: &[u8]| Reader::new(bytes).uvarint();
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0x1f]),
            Err(DecodeError::VarintTooLong)
        );
        assert_eq!(
            read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
            Err(DecodeError::VarintTooLong)
        );
        assert_eq!(
            read(&[0x80]),
            Err(DecodeError::Truncated { needed: 1, left: 0 })
        );
    }

    #[test]
    fn lengths_are_checked_before_use() {
        let text = |v, bytes: &'static [u8]| Reader::new(bytes).text_or_null(v);
        assert_eq!(text(OLD, &[0xff, 0xff]), Ok(None));
        assert_eq!(
            text(OLD, &[0xff, 0xfe]),
            Err(DecodeError::BadLength { length: -2 })
        );
        assert_eq!(
            text(OLD, &[0, 2, b'a']),
            Err(DecodeError::Truncated { needed: 2, left: 1 })
        );
        assert_eq!(text(COMPACT, &[0]), Ok(None));
        assert_eq!(text(COMPACT, &[2, b'a']), Ok(Some("a")));
        // 0x8000 bytes claimed, as Kafka refuses it.
        assert_eq!(
            text(COMPACT, &[0x81, 0x80, 0x02]),
            Err(DecodeError::BadLength { length: 0x8000 })
        );
        assert!(matches!(
            text(COMPACT, &[2, 0xff]),
            Err(DecodeError::NotUtf8(_))
        ));
    }

    #[test]
    fn an_array_claims_no_more_than_is_there() {
        let mut r = Reader::new(&[0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(
            r.array::<i32>(OLD).map(|_| ()),
            Err(DecodeError::CountTooLarge { count: 3, left: 8 })
        );
        let mut r = Reader::new(&[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        let array = r.array::<i32>(OLD).expect("two fit");
        assert_eq!(array.iter().collect::<Vec<_>>(), [1, 2]);
    }
}
