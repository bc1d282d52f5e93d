//! The records of `__consumer_offsets` in Kafka's bytes, as Kafka 4.3.0 writes them, and back.
//!
//! Values of groups are written in version 3. Values of offsets are in version 4, with the topic's id, or, with
//! an expiry time that an old client asked for, in version 1, which has no other fields after it.
//! Every version that Kafka ever wrote is read.

use std::fmt;

use thalweg_wire::bytes::{DecodeError, EncodeError};
use thalweg_wire::messages::coordinator::{
    decode_key, decode_value, encode_key, encode_value, record_type,
};
use thalweg_wire::messages::group_metadata_key::{GroupMetadataKey, GroupMetadataKeyView};
use thalweg_wire::messages::group_metadata_value::{GroupMetadataValue, GroupMetadataValueView};
use thalweg_wire::messages::legacy_offset_commit_key::LegacyOffsetCommitKeyView;
use thalweg_wire::messages::offset_commit_key::{OffsetCommitKey, OffsetCommitKeyView};
use thalweg_wire::messages::offset_commit_value::{OffsetCommitValue, OffsetCommitValueView};

use super::consumer::{self, Change};
use super::step::Record;

/// Version of a group's value.
const GROUP_VERSION: i16 = 3;
/// Version of an offset's value.
const OFFSET_VERSION: i16 = 4;
/// Version of an offset's value that says when it expires.
const OFFSET_EXPIRY_VERSION: i16 = 1;

/// Types of keys, as the two bytes before them say.
const TYPE_LEGACY_OFFSET: i16 = 0;
const TYPE_OFFSET: i16 = 1;
const TYPE_GROUP: i16 = 2;

/// Where a committed offset belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OffsetPlace<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

impl OffsetPlace<'_> {
    fn key(self) -> OffsetCommitKey<'static> {
        OffsetCommitKey {
            group: self.group.to_owned().into(),
            topic: self.topic.to_owned().into(),
            partition: self.partition,
        }
    }

    /// The record of an offset committed there.
    pub(super) fn offset(self, value: &OffsetCommitValue<'_>) -> Result<Record, EncodeError> {
        let version = if value.expire_timestamp == -1 {
            OFFSET_VERSION
        } else {
            OFFSET_EXPIRY_VERSION
        };
        Ok(Record {
            key: encode_key(&self.key())?,
            value: Some(encode_value(value, version)?),
        })
    }

    /// The record that there is no offset any more.
    pub(super) fn tombstone(self) -> Result<Record, EncodeError> {
        Ok(Record {
            key: encode_key(&self.key())?,
            value: None,
        })
    }
}

/// The record of a group, or that there is no such group any more.
pub(super) fn group(
    id: &str,
    value: Option<&GroupMetadataValue<'_>>,
) -> Result<Record, EncodeError> {
    let key = GroupMetadataKey {
        group: id.to_owned().into(),
    };
    let value = value.map(|value| encode_value(value, GROUP_VERSION));
    Ok(Record {
        key: encode_key(&key)?,
        value: value.transpose()?,
    })
}

/// A record that was read.
#[derive(Clone, Debug)]
pub(super) enum Entry<'a> {
    /// An offset, or its tombstone.
    Offset(OffsetCommitKeyView<'a>, Option<OffsetCommitValueView<'a>>),
    /// A group, or its tombstone.
    Group(&'a str, Option<GroupMetadataValueView<'a>>),
    /// A change of a consumer group.
    Consumer(&'a str, Change),
    /// A record of another kind of group, which nobody here keeps.
    Other,
}

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplayError {
    /// The key's type, if there is one.
    pub kind: Option<i16>,
    /// What is wrong.
    pub cause: DecodeError,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "group record of type {kind}: {:?}", self.cause),
            None => write!(f, "group record without a type: {:?}", self.cause),
        }
    }
}

impl std::error::Error for ReplayError {}

/// Reads a record.
pub(super) fn read<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Entry<'a>, ReplayError> {
    let (kind, _) = record_type(key).map_err(|cause| ReplayError { kind: None, cause })?;
    let entry = match kind {
        TYPE_OFFSET => offset(key, value),
        TYPE_LEGACY_OFFSET => legacy(key, value),
        TYPE_GROUP => group_entry(key, value),
        _ => consumer::read(kind, key, value).map(|read| match read {
            Some((group, change)) => Entry::Consumer(group, change),
            None => Entry::Other,
        }),
    };
    entry.map_err(|cause| ReplayError {
        kind: Some(kind),
        cause,
    })
}

fn offset<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Entry<'a>, DecodeError> {
    let key = decode_key::<OffsetCommitKeyView<'_>>(key)?;
    let value = value.map(decode_value::<OffsetCommitValueView<'_>>);
    Ok(Entry::Offset(key, value.transpose()?.map(|(view, _)| view)))
}

/// Kafka 0.8 wrote keys of this type; the value's version says the rest.
fn legacy<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Entry<'a>, DecodeError> {
    let key = decode_key::<LegacyOffsetCommitKeyView<'_>>(key)?;
    let key = OffsetCommitKeyView {
        group: key.group,
        topic: key.topic,
        partition: key.partition,
    };
    let value = value.map(decode_value::<OffsetCommitValueView<'_>>);
    Ok(Entry::Offset(key, value.transpose()?.map(|(view, _)| view)))
}

fn group_entry<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Entry<'a>, DecodeError> {
    let key = decode_key::<GroupMetadataKeyView<'_>>(key)?;
    let value = value.map(decode_value::<GroupMetadataValueView<'_>>);
    let value = value.transpose()?.map(|(view, _)| view);
    Ok(Entry::Group(key.group, value))
}
