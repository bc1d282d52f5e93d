//! The records of a batch, one after the other, as slices of the payload.
//!
//! Two walks over the same frames: [`Records`] gives keys, values and headers out of
//! uncompressed bytes; `walk_frame` only checks one frame, over bytes or over a decompressor's
//! output, without keeping anything. Deliberately absent: whether headers' keys are UTF-8, which
//! Kafka does not check either.

use super::varint::{Malformed, SliceSource, Source, read_i32, read_i64};

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Offset less the batch's base offset.
    pub offset_delta: i32,
    /// Time less the batch's base time.
    pub timestamp_delta: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    header_count: u32,
    header_bytes: &'a [u8],
}

/// One header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// Its key, UTF-8 by convention.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl<'a> RecordRef<'a> {
    /// Number of headers.
    #[must_use]
    pub const fn header_count(&self) -> u32 {
        self.header_count
    }

    /// The headers, in order. They were checked when the record was read.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut source = SliceSource::new(self.header_bytes);
        (0..self.header_count).map_while(move |_| read_header(&mut source).ok())
    }
}

/// Walks over uncompressed records.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    source: SliceSource<'a>,
    left: i32,
}

impl<'a> Records<'a> {
    /// Over the payload of an uncompressed batch, or what [`inflate`](mod@super::inflate) made of it.
    #[must_use]
    pub const fn new(payload: &'a [u8], record_count: i32) -> Self {
        Self {
            source: SliceSource::new(payload),
            left: record_count,
        }
    }

    /// The bytes behind the last record given.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.source.rest()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = read_record(&mut self.source);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

fn read_record<'a>(source: &mut SliceSource<'a>) -> Result<RecordRef<'a>, Malformed> {
    let length = read_i32(source)?;
    let length = usize::try_from(length).or(Err(Malformed::RecordLength))?;
    let mut body = SliceSource::new(source.take(length)?);
    let _attributes = body.byte()?;
    let timestamp_delta = read_i64(&mut body)?;
    let offset_delta = read_i32(&mut body)?;
    let key = read_field(&mut body)?;
    let value = read_field(&mut body)?;
    let header_count = read_header_count(&mut body, length as u64)?;
    let header_bytes = body.rest();
    for _ in 0..header_count {
        read_header(&mut body)?;
    }
    if !body.rest().is_empty() {
        return Err(Malformed::RecordLength);
    }
    Ok(RecordRef {
        offset_delta,
        timestamp_delta,
        key,
        value,
        header_count,
        header_bytes,
    })
}

fn read_field<'a>(body: &mut SliceSource<'a>) -> Result<Option<&'a [u8]>, Malformed> {
    match read_i32(body)? {
        -1 => Ok(None),
        length => read_slice(body, length).map(Some),
    }
}

fn read_slice<'a>(body: &mut SliceSource<'a>, length: i32) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(length).or(Err(Malformed::FieldLength))?;
    body.take(length).or(Err(Malformed::FieldLength))
}

fn read_header<'a>(body: &mut SliceSource<'a>) -> Result<Header<'a>, Malformed> {
    let length = read_i32(body)?;
    let key = read_slice(body, length)?;
    let value = read_field(body)?;
    Ok(Header { key, value })
}

fn read_header_count<S: Source>(body: &mut S, end: u64) -> Result<u32, S::Error> {
    let count = u32::try_from(read_i32(body)?).or(Err(Malformed::HeaderCount))?;
    // A header has at least two bytes.
    if u64::from(count) * 2 > end.saturating_sub(body.taken()) {
        return Err(Malformed::HeaderCount.into());
    }
    Ok(count)
}

/// What the check of a batch needs to know of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) offset_delta: i32,
    pub(super) timestamp_delta: i64,
    pub(super) has_key: bool,
}

/// Checks one record's frame and leaves it out.
#[inline]
pub(super) fn walk_frame<S: Source>(source: &mut S) -> Result<Frame, S::Error> {
    let length = u64::try_from(read_i32(source)?).or(Err(Malformed::RecordLength))?;
    let end = source.taken().saturating_add(length);
    let _attributes = source.byte()?;
    let timestamp_delta = read_i64(source)?;
    let offset_delta = read_i32(source)?;
    let has_key = skip_field(source, end)?;
    skip_field(source, end)?;
    for _ in 0..read_header_count(source, end)? {
        if !skip_field(source, end)? {
            return Err(Malformed::FieldLength.into());
        }
        skip_field(source, end)?;
    }
    if source.taken() != end {
        return Err(Malformed::RecordLength.into());
    }
    Ok(Frame {
        offset_delta,
        timestamp_delta,
        has_key,
    })
}

/// Leaves out a field; false if it is null.
#[inline]
fn skip_field<S: Source>(source: &mut S, end: u64) -> Result<bool, S::Error> {
    let length = read_i32(source)?;
    if length == -1 {
        return Ok(false);
    }
    let length = usize::try_from(length).or(Err(Malformed::FieldLength))?;
    // Compared before the skip, so that a stream is not inflated for a length that lies.
    if length as u64 > end.saturating_sub(source.taken()) {
        return Err(Malformed::FieldLength.into());
    }
    source.skip(length)?;
    Ok(true)
}
