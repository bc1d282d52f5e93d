//! A client's batch in another codec: what a topic's `compression.type` asks for.
//!
//! The records keep their frames, byte for byte, and the header all that it says but for codec, length
//! and checksum. Deliberately absent: a batch that has the codec already stays as it is, whatever level
//! it was made at, as in Kafka (`LogValidator`); that is for the caller to see.

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{I16, I32, U32};

use super::check::BatchSummary;
use super::error::BatchError;
use super::header::{BATCH_HEADER_BYTES, BatchHeader, BatchRef, LOG_OVERHEAD, crc_of};
use super::inflate::{Compression, Scratch, compress_at, inflate};

/// What a batch compressed anew may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecompressLimits {
    /// The largest batch that the topic takes.
    pub batch_bytes_max: usize,
    /// What the old one may inflate to.
    pub inflated_bytes_max: usize,
}

/// The batch in the codec `wanted`, and what a check would say of it.
///
/// # Errors
/// The records cannot be inflated within the limit, or the batch is larger than one may be.
pub fn recompress(
    batch: &BatchRef<'_>,
    summary: &BatchSummary,
    wanted: Compression,
    limits: RecompressLimits,
    scratch: &mut Scratch,
) -> Result<(Vec<u8>, BatchSummary), BatchError> {
    let cap = limits.inflated_bytes_max;
    let records = inflate(summary.codec, batch.payload(), cap, scratch);
    let records = records.map_err(BatchError::Inflate)?;
    let payload = compress_at(wanted, &records).map_err(BatchError::Inflate)?;
    let bytes = BATCH_HEADER_BYTES + payload.len();
    let max = limits.batch_bytes_max;
    let length = i32::try_from(bytes - LOG_OVERHEAD).ok();
    let Some(length) = length.filter(|_| bytes <= max) else {
        return Err(BatchError::TooLarge { bytes, max });
    };
    let attributes = summary.attributes.with_codec(wanted.codec);
    let mut header = BatchHeader {
        length: I32::new(length),
        attributes: I16::new(attributes.0),
        crc: U32::new(0),
        ..*batch.header()
    };
    let mut whole = Vec::with_capacity(bytes);
    whole.extend_from_slice(header.as_bytes());
    whole.extend_from_slice(&payload);
    header.crc.set(crc_of(&whole));
    if let Some(head) = whole.get_mut(..BATCH_HEADER_BYTES) {
        head.copy_from_slice(header.as_bytes());
    }
    let summary = BatchSummary {
        bytes,
        attributes,
        codec: wanted.codec,
        ..*summary
    };
    Ok((whole, summary))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::build::{BatchBuilder, BatchSpec, Record};
    use crate::batch::check::{CheckLimits, CompressedCheck, Origin, check_produce};
    use crate::batch::header::Codec;
    use crate::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

    const CODECS: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    const LIMITS: RecompressLimits = RecompressLimits {
        batch_bytes_max: 1 << 20,
        inflated_bytes_max: 1 << 20,
    };

    fn batch(codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchSpec {
            codec,
            transactional: true,
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(2),
            base_sequence: Sequence(40),
            ..BatchSpec::default()
        });
        for time in [500, 900, 700] {
            builder.push(&Record {
                timestamp: TimestampMs(time),
                key: Some(b"key"),
                value: Some(&[7; 3000]),
                headers: &[("h", None)],
            });
        }
        builder.finish().unwrap()
    }

    fn checked(bytes: &[u8]) -> BatchSummary {
        let limits = CheckLimits {
            origin: Origin::Client,
            batch_bytes_max: 1 << 20,
            inflated_bytes_max: 1 << 20,
            keys_required: false,
            zstd_allowed: true,
            compressed: CompressedCheck::Full,
            timestamps: None,
        };
        check_produce(bytes, &limits, &mut Scratch::default()).unwrap()
    }

    fn records(bytes: &[u8], codec: Codec) -> Vec<u8> {
        let batch = BatchRef::first(bytes).unwrap();
        inflate(codec, batch.payload(), 1 << 20, &mut Scratch::default()).unwrap()
    }

    #[test]
    fn every_codec_becomes_every_other_and_nothing_else_changes() {
        let plain = batch(Codec::None);
        for (from, to) in CODECS
            .iter()
            .flat_map(|from| CODECS.iter().map(move |to| (*from, *to)))
        {
            let bytes = batch(from);
            let (old, before) = (BatchRef::first(&bytes).unwrap(), checked(&bytes));
            let wanted = Compression::standard(to);
            let made = recompress(&old, &before, wanted, LIMITS, &mut Scratch::default());
            let (new, after) = made.unwrap();
            assert_eq!(checked(&new), after, "{from:?} {to:?}");
            assert_eq!(after.codec, to);
            assert_eq!(records(&new, to), records(&plain, Codec::None));
            let back = BatchSummary {
                bytes: before.bytes,
                codec: before.codec,
                attributes: before.attributes,
                ..after
            };
            assert_eq!(back, before);
            assert!(after.attributes.is_transactional());
        }
    }

    #[test]
    fn levels_count() {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        let value: Vec<u8> = (0..60_000_u32)
            .flat_map(|one| (one.wrapping_mul(2_654_435_761) % 97).to_be_bytes())
            .collect();
        builder.push(&Record {
            timestamp: TimestampMs(1),
            key: None,
            value: Some(&value),
            headers: &[],
        });
        let bytes = builder.finish().unwrap();
        let old = BatchRef::first(&bytes).unwrap();
        let summary = checked(&bytes);
        let size = |codec, level| {
            let wanted = Compression { codec, level };
            let made = recompress(&old, &summary, wanted, LIMITS, &mut Scratch::default());
            made.unwrap().1.bytes
        };
        assert!(size(Codec::Gzip, 9) < size(Codec::Gzip, 1));
        assert_eq!(size(Codec::Gzip, -1), size(Codec::Gzip, 6));
        assert!(size(Codec::Zstd, 19) < size(Codec::Zstd, -5));
    }

    #[test]
    fn a_batch_that_grows_past_the_limit_is_refused() {
        let bytes = batch(Codec::Zstd);
        let (old, before) = (BatchRef::first(&bytes).unwrap(), checked(&bytes));
        let wanted = Compression::standard(Codec::None);
        let limits = |batch_bytes_max, inflated_bytes_max| RecompressLimits {
            batch_bytes_max,
            inflated_bytes_max,
        };
        let made = |limits| recompress(&old, &before, wanted, limits, &mut Scratch::default());
        let whole = made(LIMITS).unwrap().1.bytes;
        made(limits(whole, 1 << 20)).unwrap();
        let refused = made(limits(whole - 1, 1 << 20)).unwrap_err();
        assert!(matches!(refused, BatchError::TooLarge { bytes, .. } if bytes == whole));
        let refused = made(limits(1 << 20, 5_000)).unwrap_err();
        assert_eq!(
            refused.code(),
            crate::error_code::ErrorCode::MessageTooLarge
        );
    }
}
