//! The primitives of Kafka's encoding: what every generated message reads and writes with.
//!
//! Reading never allocates, copies or panics: a view borrows the received bytes. Every length and
//! count is checked against the bytes that are left before it is used. Writing is size-then-write:
//! one pass counts, the other fills a buffer of exactly that size.
//!
//! Deliberately absent: any knowledge of messages, versions of a particular message, or sockets.

mod array;
mod error;
mod reader;
mod records;
mod tags;
mod writer;

pub use array::{Array, ArrayIter};
pub use error::{DecodeError, EncodeError};
pub use reader::Reader;
pub use records::Records;
pub use tags::Tags;
pub use writer::{Splice, Writer};
pub(crate) use writer::{absent, not_null};

/// A message's version, and whether that version is "flexible" (compact lengths, tagged fields).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version {
    /// The number in the request header or the record's frame.
    pub number: i16,
    /// Compact lengths and tagged fields are in use.
    pub flexible: bool,
}

impl Version {
    /// The same version, for the one field that keeps the old length prefix in flexible versions
    /// (the client id in the request header).
    #[must_use]
    pub const fn rigid(self) -> Self {
        Self {
            number: self.number,
            flexible: false,
        }
    }
}

/// Something that can be read from received bytes without allocating.
///
/// `read` either fails or has checked everything below the value, so that an [`Array`] of it can be
/// walked later without failing.
pub trait Decode<'a>: Sized + Copy {
    /// Fewest bytes that a value takes in this version. Bounds the count that an array may claim.
    fn size_min(v: Version) -> usize;

    /// Reads one value.
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError>;
}

/// Something that can be written.
pub trait Encode {
    /// Writes the value, or counts it when the writer only counts.
    fn write(&self, out: &mut Writer, v: Version) -> Result<(), EncodeError>;
}

/// An owned message of the protocol: a request, a response, a record.
pub trait Message: Encode {
    /// Kafka's name of the schema.
    const NAME: &'static str;
    /// The API's key, or the record's type. None for headers and free-standing data.
    const API_KEY: Option<i16>;
    /// Lowest and highest version of the schema.
    const VERSIONS: (i16, i16);
    /// The first flexible version.
    const FIRST_FLEXIBLE: Option<i16>;

    /// The version as the primitives need it, refused when the schema does not have it.
    fn version(number: i16) -> Option<Version> {
        let (min, max) = Self::VERSIONS;
        (min..=max).contains(&number).then(|| Version {
            number,
            flexible: Self::FIRST_FLEXIBLE.is_some_and(|first| number >= first),
        })
    }

    /// Bytes that the message takes, records that are only outlined included.
    fn size(&self, version: i16) -> Result<usize, EncodeError> {
        let mut count = Writer::counting();
        self.encode(version, &mut count)?;
        Ok(count.len())
    }

    /// Appends the message to the writer.
    fn encode(&self, version: i16, out: &mut Writer) -> Result<(), EncodeError> {
        let v = Self::version(version).ok_or(EncodeError::UnsupportedVersion {
            message: Self::NAME,
            version,
        })?;
        self.write(out, v)
    }

    /// The message in a buffer of its own. Outlined records are left out.
    fn to_bytes(&self, version: i16) -> Result<Vec<u8>, EncodeError> {
        let mut out = Writer::with_capacity(self.size(version)?);
        self.encode(version, &mut out)?;
        Ok(out.into_parts().0)
    }
}

/// A borrowed message: checked once as a whole, read in place afterwards.
pub trait View<'a>: Decode<'a> {
    /// The owned form of the same schema.
    type Owned: Message;

    /// Checks and views the message at the start of `bytes`. What follows it is left alone, as
    /// Kafka does: librdkafka 2.0 sends a byte too many behind ListGroups 4.
    fn decode(bytes: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        Self::decode_prefix(&mut Reader::new(bytes), version)
    }

    /// Checks and views a message that fills `bytes` exactly.
    fn decode_exact(bytes: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let view = Self::decode_prefix(&mut r, version)?;
        r.finish()?;
        Ok(view)
    }

    /// Checks and views a message at the reader's place; other bytes may follow it.
    fn decode_prefix(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {
        let v = Self::Owned::version(version).ok_or(DecodeError::UnsupportedVersion {
            message: Self::Owned::NAME,
            version,
        })?;
        Self::read(r, v)
    }
}
