//! Zigzag varints as records use them, read from a source that may be a slice or a stream.
//!
//! Stricter than Kafka in one point: bits that do not fit the type are an error, not dropped.
//! No honest encoder writes them.

/// Where the bytes of a record come from: a slice, or the output of a decompressor.
pub(super) trait Source {
    /// Why the next byte cannot be had; made from [`Malformed`] for what the walk itself finds.
    type Error: From<Malformed>;

    /// The next byte.
    fn byte(&mut self) -> Result<u8, Self::Error>;

    /// Leaves out `count` bytes.
    fn skip(&mut self, count: usize) -> Result<(), Self::Error>;

    /// How many bytes were taken so far.
    fn taken(&self) -> u64;
}

/// What is wrong with the bytes of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes end inside a record.
    Ended,
    /// A variable-length number is longer than its type.
    Varint,
    /// The record's length is negative, or its fields need more or fewer bytes than it says.
    RecordLength,
    /// A key, value or header field has a length below "null", or beyond its record.
    FieldLength,
    /// The number of headers is negative or larger than the bytes left can hold.
    HeaderCount,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ended => "the bytes end inside the record",
            Self::Varint => "a variable-length number is longer than its type",
            Self::RecordLength => "the record's length does not match its fields",
            Self::FieldLength => "a field's length is not possible",
            Self::HeaderCount => "the number of headers is not possible",
        })
    }
}

impl std::error::Error for Malformed {}

/// A source over bytes in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct SliceSource<'a> {
    rest: &'a [u8],
    whole: usize,
}

impl<'a> SliceSource<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            whole: bytes.len(),
        }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Ended)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl Source for SliceSource<'_> {
    type Error = Malformed;

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed::Ended)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.take(count).map(|_| ())
    }

    #[inline]
    fn taken(&self) -> u64 {
        (self.whole - self.rest.len()) as u64
    }
}

/// Reads a zigzag number of at most 32 bits.
#[inline]
pub(super) fn read_i32<S: Source>(source: &mut S) -> Result<i32, S::Error> {
    let first = source.byte()?;
    if first < 0x80 {
        return Ok(i32::from(first >> 1) ^ -i32::from(first & 1));
    }
    let mut value = u32::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let byte = source.byte()?;
        if shift == 28 && byte > 0x0f {
            return Err(Malformed::Varint.into());
        }
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
        shift += 7;
    }
}

/// Reads a zigzag number of at most 64 bits.
#[inline]
pub(super) fn read_i64<S: Source>(source: &mut S) -> Result<i64, S::Error> {
    let mut value = 0_u64;
    let mut shift = 0;
    loop {
        let byte = source.byte()?;
        if shift == 63 && byte > 0x01 {
            return Err(Malformed::Varint.into());
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
        shift += 7;
    }
}

/// Appends a zigzag number; also right for 32-bit numbers, whose form is the same.
pub(super) fn write(value: i64, out: &mut Vec<u8>) {
    let mut left = (value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push((left & 0x7f) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, -1, 1, 63, -64, 64, 300, -301, i32::MAX, i32::MIN] {
            let mut bytes = Vec::new();
            write(i64::from(value), &mut bytes);
            assert_eq!(read_i32(&mut SliceSource::new(&bytes)), Ok(value));
            assert_eq!(
                read_i64(&mut SliceSource::new(&bytes)),
                Ok(i64::from(value))
            );
        }
        for value in [i64::MAX, i64::MIN, 1 << 40] {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            assert_eq!(read_i64(&mut SliceSource::new(&bytes)), Ok(value));
        }
    }

    #[test]
    fn overlong_numbers_are_refused() {
        let check32 = |bytes: &[u8], expected| {
            assert_eq!(
                read_i32(&mut SliceSource::new(bytes)),
                expected,
                "{bytes:?}"
            );
        };
        check32(&[0xff, 0xff, 0xff, 0xff, 0x0f], Ok(i32::MIN));
        check32(&[0xff, 0xff, 0xff, 0xff, 0x1f], Err(Malformed::Varint));
        check32(&[0x80, 0x80, 0x80, 0x80, 0x80], Err(Malformed::Varint));
        check32(&[0x80, 0x80], Err(Malformed::Ended));
        check32(&[], Err(Malformed::Ended));
        let long = [0xff; 9];
        let with = |last: u8| [&long[..], &[last]].concat();
        let check64 = |bytes: &[u8], expected| {
            assert_eq!(
                read_i64(&mut SliceSource::new(bytes)),
                expected,
                "{bytes:?}"
            );
        };
        check64(&with(0x01), Ok(i64::MIN));
        check64(&with(0x02), Err(Malformed::Varint));
        check64(&with(0x81), Err(Malformed::Varint));
    }
}
