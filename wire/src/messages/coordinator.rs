//! Records of the coordinators' logs (`__consumer_offsets`, `__transaction_state`,
//! `__share_group_state`): keys and values with two bytes before them.
//!
//! Before a key stands the record's type, and the key is always in version 0. Before a value stands
//! its version. Both numbers are 16 bits, big endian.

use crate::bytes::{DecodeError, EncodeError, Message, Reader, View, Writer};

/// Keys have never had another version: the number before them became the record's type instead.
const KEY_VERSION: i16 = 0;

/// A key with its type before it. Refused for messages that are not records.
pub fn encode_key<M: Message>(key: &M) -> Result<Vec<u8>, EncodeError> {
    let record_type = M::API_KEY.ok_or(EncodeError::UnsupportedVersion {
        message: M::NAME,
        version: KEY_VERSION,
    })?;
    prefixed(record_type, key, KEY_VERSION)
}

/// A value with its version before it.
pub fn encode_value<M: Message>(value: &M, version: i16) -> Result<Vec<u8>, EncodeError> {
    prefixed(version, value, version)
}

fn prefixed<M: Message>(prefix: i16, message: &M, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut out = Writer::with_capacity(2 + message.size(version)?);
    out.i16(prefix);
    message.encode(version, &mut out)?;
    Ok(out.into_parts().0)
}

/// The record's type, and the key behind it, for [`decode_key`] of the type found.
pub fn record_type(key: &[u8]) -> Result<(i16, &[u8]), DecodeError> {
    let mut r = Reader::new(key);
    Ok((r.i16()?, r.rest()))
}

/// A key of the view's type. Another type's key is refused.
pub fn decode_key<'a, V: View<'a>>(key: &'a [u8]) -> Result<V, DecodeError> {
    let (found, body) = record_type(key)?;
    if V::Owned::API_KEY != Some(found) {
        let key = i64::from(found);
        return Err(DecodeError::UnknownKey { key });
    }
    V::decode_exact(body, KEY_VERSION)
}

/// A value and its version.
pub fn decode_value<'a, V: View<'a>>(value: &'a [u8]) -> Result<(V, i16), DecodeError> {
    let mut r = Reader::new(value);
    let version = r.i16()?;
    Ok((V::decode_exact(r.rest(), version)?, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::offset_commit_key::{OffsetCommitKey, OffsetCommitKeyView};
    use crate::messages::offset_commit_value::{OffsetCommitValue, OffsetCommitValueView};
    use crate::messages::transaction_log_key::TransactionLogKeyView;

    #[test]
    fn a_committed_offset_as_kafka_keeps_it() {
        let key = OffsetCommitKey {
            group: "g".into(),
            topic: "t".into(),
            partition: 7,
        };
        let bytes = encode_key(&key).expect("a record");
        assert_eq!(bytes, b"\0\x01\0\x01g\0\x01t\0\0\0\x07");
        let view: OffsetCommitKeyView<'_> = decode_key(&bytes).expect("its own type");
        assert_eq!(view.to_owned(), key);
        assert_eq!(
            decode_key::<TransactionLogKeyView<'_>>(&bytes).map(|_| ()),
            Err(DecodeError::UnknownKey { key: 1 })
        );

        let value = OffsetCommitValue {
            offset: 42,
            ..OffsetCommitValue::default()
        };
        let bytes = encode_value(&value, 3).expect("version 3 exists");
        assert_eq!(bytes.first_chunk(), Some(&[0, 3]));
        let (view, version) = decode_value::<OffsetCommitValueView<'_>>(&bytes).expect("a value");
        assert_eq!((view.to_owned(), version), (value, 3));
    }
}
