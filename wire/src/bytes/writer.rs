//! The writer: counts on the first pass, fills on the second. One code path for both, so that the
//! count cannot differ from what is written.

use std::borrow::Cow;

use super::reader::TEXT_BYTES_MAX;
use super::{Encode, EncodeError, Records, Version};
use crate::ids::Uuid;

/// Where record bytes that are kept elsewhere belong in the written message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Splice {
    /// Position in the writer's buffer before which they go.
    pub at: usize,
    /// The name the caller gave them.
    pub token: u32,
    /// How many bytes they are.
    pub len: usize,
}

/// Takes the bytes of a message, or only counts them.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    splices: Vec<Splice>,
    len: usize,
    counting: bool,
}

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer with room for `bytes`.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Keeps no bytes, only their number.
    #[must_use]
    pub fn counting() -> Self {
        Self {
            counting: true,
            ..Self::default()
        }
    }

    /// Bytes so far, those of outlined records included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True before the first byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written, outlined records left out.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// The places of outlined records, in order.
    #[must_use]
    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }

    /// The buffer and the places of outlined records.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<Splice>) {
        (self.buffer, self.splices)
    }

    /// Bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        if !self.counting {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.put(&[u8::from(value)]);
    }

    /// 8 bits.
    pub fn i8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }

    /// 16 bits, big endian.
    pub fn i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    /// 16 bits, big endian, unsigned.
    pub fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// 32 bits, big endian.
    pub fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    /// 32 bits, big endian, unsigned.
    pub fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// 64 bits, big endian.
    pub fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    /// A double, big endian.
    pub fn f64(&mut self, value: f64) {
        self.put(&value.to_be_bytes());
    }

    /// 16 bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.put(&value.0);
    }

    /// An unsigned variable-length integer.
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            let [.., low] = value.to_be_bytes();
            self.put(&[low | 0x80]);
            value >>= 7;
        }
        let [.., low] = value.to_be_bytes();
        self.put(&[low]);
    }

    /// The prefix of text, bytes or an array; None is null.
    fn length(
        &mut self,
        length: Option<usize>,
        short: bool,
        v: Version,
    ) -> Result<(), EncodeError> {
        let Some(length) = length else {
            if v.flexible {
                self.uvarint(0);
            } else if short {
                self.i16(-1);
            } else {
                self.i32(-1);
            }
            return Ok(());
        };
        let long = i32::try_from(length).or(Err(EncodeError::TooLong { length }))?;
        if v.flexible {
            self.uvarint(long.unsigned_abs() + 1);
        } else if short {
            self.i16(i16::try_from(long).or(Err(EncodeError::TooLong { length }))?);
        } else {
            self.i32(long);
        }
        Ok(())
    }

    /// Text, or null.
    pub fn text_or_null(&mut self, text: Option<&str>, v: Version) -> Result<(), EncodeError> {
        if let Some(text) = text.filter(|t| t.len() > TEXT_BYTES_MAX) {
            return Err(EncodeError::TooLong { length: text.len() });
        }
        self.length(text.map(str::len), true, v)?;
        self.put(text.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Text.
    pub fn text(&mut self, text: &str, v: Version) -> Result<(), EncodeError> {
        self.text_or_null(Some(text), v)
    }

    /// Bytes, or null.
    pub fn bytes_or_null(&mut self, bytes: Option<&[u8]>, v: Version) -> Result<(), EncodeError> {
        self.length(bytes.map(<[u8]>::len), false, v)?;
        self.put(bytes.unwrap_or_default());
        Ok(())
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8], v: Version) -> Result<(), EncodeError> {
        self.bytes_or_null(Some(bytes), v)
    }

    /// A record set. Whether null is allowed is the caller's check.
    pub fn records(&mut self, records: &Records<'_>, v: Version) -> Result<(), EncodeError> {
        match *records {
            Records::Null => self.length(None, false, v),
            Records::Bytes(ref bytes) => self.bytes(bytes, v),
            Records::Outline { len, token } => {
                self.length(Some(len), false, v)?;
                self.len += len;
                if !self.counting {
                    let at = self.buffer.len();
                    self.splices.push(Splice { at, token, len });
                }
                Ok(())
            }
        }
    }

    /// An array, or null.
    pub fn array_or_null<T: Encode>(
        &mut self,
        items: Option<&[T]>,
        v: Version,
    ) -> Result<(), EncodeError> {
        self.length(items.map(<[T]>::len), false, v)?;
        items
            .unwrap_or_default()
            .iter()
            .try_for_each(|item| item.write(self, v))
    }

    /// An array.
    pub fn array<T: Encode>(&mut self, items: &[T], v: Version) -> Result<(), EncodeError> {
        self.array_or_null(Some(items), v)
    }

    /// A structure, or null: a byte of 1 or -1 goes before it.
    pub fn struct_or_null<T: Encode>(
        &mut self,
        value: Option<&T>,
        v: Version,
    ) -> Result<(), EncodeError> {
        let Some(value) = value else {
            self.i8(-1);
            return Ok(());
        };
        self.i8(1);
        value.write(self, v)
    }

    /// The same in a tagged field, where Kafka says null by 0.
    pub fn struct_or_null_tagged<T: Encode>(
        &mut self,
        value: Option<&T>,
        v: Version,
    ) -> Result<(), EncodeError> {
        self.i8(i8::from(value.is_some()));
        value.map_or(Ok(()), |value| value.write(self, v))
    }

    /// A tagged field: tag, size, and the value that `write` puts.
    pub fn tagged(
        &mut self,
        tag: u32,
        write: &dyn Fn(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut count = Self::counting();
        write(&mut count)?;
        let length = count.len();
        self.uvarint(tag);
        self.uvarint(u32::try_from(length).or(Err(EncodeError::TooLong { length }))?);
        write(self)
    }
}

/// The value of a field that has no null in this version.
pub(crate) fn not_null<T>(
    value: Option<T>,
    field: &'static str,
    v: Version,
) -> Result<T, EncodeError> {
    value.ok_or(EncodeError::NullNotAllowed {
        field,
        version: v.number,
    })
}

/// A field that this version lacks may only be left out while it says nothing.
pub(crate) fn absent(
    says_nothing: bool,
    field: &'static str,
    v: Version,
) -> Result<(), EncodeError> {
    if says_nothing {
        return Ok(());
    }
    Err(EncodeError::FieldLost {
        field,
        version: v.number,
    })
}

macro_rules! fixed_size {
    ($($kind:ident)*) => {
        $(impl Encode for $kind {
            fn write(&self, out: &mut Writer, _: Version) -> Result<(), EncodeError> {
                out.$kind(*self);
                Ok(())
            }
        })*
    };
}

fixed_size! { bool i8 i16 u16 i32 u32 i64 f64 }

impl Encode for Uuid {
    fn write(&self, out: &mut Writer, _: Version) -> Result<(), EncodeError> {
        out.uuid(*self);
        Ok(())
    }
}

impl Encode for Cow<'_, str> {
    fn write(&self, out: &mut Writer, v: Version) -> Result<(), EncodeError> {
        out.text(self, v)
    }
}

impl Encode for Cow<'_, [u8]> {
    fn write(&self, out: &mut Writer, v: Version) -> Result<(), EncodeError> {
        out.bytes(self, v)
    }
}
