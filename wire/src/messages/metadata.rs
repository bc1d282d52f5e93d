//! Metadata records as they lie in the metadata log: frame version 1, type, version, body.
//!
//! Records are copied out of the log: the image they are applied to outlives the batch.

use crate::bytes::{DecodeError, EncodeError, Reader, Writer};

pub use super::metadata_record::MetadataRecord;

/// The only version of the frame around a record.
const FRAME_VERSION: u32 = 1;

/// The record's value: frame, type, version, body.
pub fn encode_record(record: &MetadataRecord<'_>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut count = Writer::counting();
    write_record(record, version, &mut count)?;
    let mut out = Writer::with_capacity(count.len());
    write_record(record, version, &mut out)?;
    Ok(out.into_parts().0)
}

fn write_record(
    record: &MetadataRecord<'_>,
    version: i16,
    out: &mut Writer,
) -> Result<(), EncodeError> {
    out.uvarint(FRAME_VERSION);
    out.uvarint(u32::from(record.key().unsigned_abs()));
    out.uvarint(u32::from(version.unsigned_abs()));
    record.encode_body(version, out)
}

/// Reads a record's value: the record, and the version it was written in.
pub fn decode_record(value: &[u8]) -> Result<(MetadataRecord<'static>, i16), DecodeError> {
    let mut r = Reader::new(value);
    let frame = r.uvarint()?;
    if frame != FRAME_VERSION {
        return Err(DecodeError::FrameVersion { version: frame });
    }
    let key = i64::from(r.uvarint()?);
    let version = r.uvarint()?;
    let version = i16::try_from(version).or(Err(DecodeError::BadLength {
        length: i64::from(version),
    }))?;
    let record = MetadataRecord::decode_body(key, version, r.rest())?;
    Ok((record, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::feature_level_record::FeatureLevelRecord;

    #[test]
    fn feature_level_as_kafka_writes_it() {
        let record = MetadataRecord::from(FeatureLevelRecord {
            name: "metadata.version".into(),
            feature_level: 30,
        });
        let bytes = encode_record(&record, 0).expect("version 0 exists");
        // Frame 1, type 12, version 0, compact string of 16, int16, no tagged fields.
        assert_eq!(bytes, b"\x01\x0c\x00\x11metadata.version\x00\x1e\x00");
        assert_eq!(decode_record(&bytes), Ok((record, 0)));
    }

    #[test]
    fn foreign_frames_and_types_are_refused() {
        let refused = |bytes: &[u8]| decode_record(bytes).expect_err("refused");
        assert_eq!(
            refused(&[2, 12, 0]),
            DecodeError::FrameVersion { version: 2 }
        );
        assert_eq!(refused(&[1, 99, 0]), DecodeError::UnknownKey { key: 99 });
        let longer = b"\x01\x0c\x00\x11metadata.version\x00\x1e\x00\x00";
        assert_eq!(refused(longer), DecodeError::TrailingBytes { left: 1 });
        assert!(matches!(
            refused(&[1, 12, 9]),
            DecodeError::UnsupportedVersion { version: 9, .. }
        ));
    }
}
