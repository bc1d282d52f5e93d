//! Batches that lie: each gets its Kafka error, none a panic, and none more memory or work than
//! its cap.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]

use std::path::PathBuf;

use thalweg_wire::batch::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchError, BatchRef, BatchSpec, CheckLimits, Codec,
    CompressedCheck, FirstLook, InflateError, Origin, Record, RecordError, RecordFault, Records,
    Scratch, Stamp, TimestampLimits, assign, check_produce, check_shape, compress, first_look,
    inflate, split,
};
use thalweg_wire::ids::{Epoch, Offset, ProducerId, Sequence, TimestampMs};

const NOW: i64 = 1_700_000_000_000;
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

fn limits() -> CheckLimits {
    CheckLimits {
        origin: Origin::Client,
        batch_bytes_max: 1 << 20,
        inflated_bytes_max: 1 << 20,
        keys_required: false,
        zstd_allowed: true,
        compressed: CompressedCheck::Full,
        timestamps: Some(TimestampLimits {
            now: TimestampMs(NOW),
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
        }),
    }
}

fn check(bytes: &[u8], limits: &CheckLimits) -> Result<(), BatchError> {
    check_produce(bytes, limits, &mut Scratch::default()).map(|_| ())
}

fn batch(codec: Codec, records: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        codec,
        ..BatchSpec::default()
    });
    for index in 0..records {
        builder.push(&Record {
            timestamp: TimestampMs(NOW + index),
            key: Some(b"key"),
            value: Some(b"value"),
            headers: &[("header", Some(b"x")), ("none", None)],
        });
    }
    builder.finish().unwrap()
}

/// A batch around these record bytes, with everything else right.
fn around(codec: Codec, records: i32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = batch(Codec::None, 1);
    bytes.truncate(BATCH_HEADER_BYTES);
    bytes.extend_from_slice(payload);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    patch(&mut bytes, LENGTH, &length.to_be_bytes());
    patch(&mut bytes, RECORD_COUNT, &records.to_be_bytes());
    patch(&mut bytes, LAST_OFFSET_DELTA, &(records - 1).to_be_bytes());
    patch(&mut bytes, ATTRIBUTES, &(codec as i16).to_be_bytes());
    bytes
}

/// Writes into a batch and makes its CRC right again.
fn patch(bytes: &mut [u8], at: usize, with: &[u8]) {
    bytes[at..at + with.len()].copy_from_slice(with);
    mend(bytes);
}

fn mend(bytes: &mut [u8]) {
    if bytes.len() >= ATTRIBUTES {
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES..]);
        bytes[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    }
}

fn patched(at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = batch(Codec::None, 3);
    patch(&mut bytes, at, with);
    bytes
}

#[test]
fn each_lie_in_the_header_has_its_error() {
    let refuse = |bytes: &[u8], code: i16| match check(bytes, &limits()) {
        Err(cause) => assert_eq!(cause.code().code(), code, "{cause}"),
        Ok(()) => panic!("taken, and should be refused with {code}"),
    };
    let good = batch(Codec::None, 3);
    check(&good, &limits()).unwrap();
    refuse(&[], 87);
    refuse(&good[..good.len() - 1], 87);
    refuse(&good[..16], 87);
    refuse(&[good.as_slice(), &[0]].concat(), 87);
    refuse(&[good.as_slice(), good.as_slice()].concat(), 87);
    refuse(&patched(MAGIC, &[0]), 87);
    refuse(&patched(MAGIC, &[1]), 87);
    refuse(&patched(MAGIC, &[3]), 2);
    refuse(&patched(MAGIC, &[0xff]), 2);
    for length in [i32::MIN, -1, 0, 48] {
        refuse(&patched(LENGTH, &length.to_be_bytes()), 2);
    }
    refuse(&patched(LENGTH, &i32::MAX.to_be_bytes()), 87);
    refuse(&patched(0, &5_i64.to_be_bytes()), 87);
    for (count, delta) in [(0, -1), (-1, -2), (3, 3), (2, 2), (i32::MIN, i32::MAX)] {
        let mut bytes = patched(RECORD_COUNT, &i32::to_be_bytes(count));
        patch(&mut bytes, LAST_OFFSET_DELTA, &i32::to_be_bytes(delta));
        refuse(&bytes, 87);
    }
    // A control batch, one with the time of append, codecs without a name.
    refuse(&patched(ATTRIBUTES, &[0, 0x20]), 87);
    refuse(&patched(ATTRIBUTES, &[0, 0x08]), 32);
    for codec in 5..8 {
        refuse(&patched(ATTRIBUTES, &[0, codec]), 76);
    }
    // Transactional without a producer id; a producer id without a sequence.
    refuse(&patched(ATTRIBUTES, &[0, 0x10]), 87);
    refuse(&patched(PRODUCER_ID, &7_i64.to_be_bytes()), 87);
    let mut with_sequence = patched(PRODUCER_ID, &7_i64.to_be_bytes());
    patch(&mut with_sequence, BASE_SEQUENCE, &0_i32.to_be_bytes());
    check(&with_sequence, &limits()).unwrap();
}

#[test]
fn a_wrong_crc_is_corrupt() {
    let mut bytes = batch(Codec::None, 3);
    for at in CRC..bytes.len() {
        bytes[at] ^= 1;
        let cause = check(&bytes, &limits()).unwrap_err();
        // A flip in the codec's bits is told by what it then says; all else by the CRC.
        assert!(matches!(cause.code().code(), 2 | 76), "{at}: {cause}");
        bytes[at] ^= 1;
    }
}

#[test]
fn sizes_are_limited() {
    let bytes = batch(Codec::None, 3);
    let limits = |batch_bytes_max| CheckLimits {
        batch_bytes_max,
        ..limits()
    };
    check(&bytes, &limits(bytes.len())).unwrap();
    let cause = check(&bytes, &limits(bytes.len() - 1)).unwrap_err();
    assert_eq!(cause.code().code(), 10);
}

#[test]
fn zstd_needs_a_request_that_knows_it() {
    let limits = CheckLimits {
        zstd_allowed: false,
        ..limits()
    };
    check(&batch(Codec::Lz4, 3), &limits).unwrap();
    assert_eq!(
        check(&batch(Codec::Zstd, 3), &limits)
            .unwrap_err()
            .code()
            .code(),
        76
    );
}

#[test]
fn each_lie_in_the_records_is_found() {
    let good = batch(Codec::None, 1);
    let record = &good[BATCH_HEADER_BYTES..];
    // length, attributes, time, offset, key length, key, ...
    let with = |at: usize, byte: u8| {
        let mut lie = record.to_vec();
        lie[at] = byte;
        lie
    };
    let lies = [
        ("length too small", with(0, record[0] - 2)),
        ("length too large", with(0, record[0] + 2)),
        ("negative length", with(0, 0x01)),
        ("offset delta 1", with(3, 0x02)),
        ("offset delta -1", with(3, 0x01)),
        ("key beyond the record", with(4, 0x7e)),
        ("key length -2", with(4, 0x03)),
        ("value beyond the record", with(8, 0x7e)),
        ("headers: -1", with(14, 0x01)),
        ("headers: 63", with(14, 0x7e)),
        ("header key: null", with(15, 0x01)),
        ("a record short", record[..record.len() - 1].to_vec()),
        ("no record", Vec::new()),
        ("a byte more", [record, &[0]].concat()),
    ];
    for codec in CODECS {
        let compressed = compress(codec, record).unwrap();
        check(&around(codec, 1, &compressed), &limits()).unwrap();
        for (what, lie) in &lies {
            let bytes = around(codec, 1, &compress(codec, lie).unwrap());
            match check(&bytes, &limits()) {
                Err(cause) => assert_eq!(cause.code().code(), 87, "{codec:?}, {what}: {cause}"),
                Ok(()) => panic!("{codec:?}, {what}: taken"),
            }
        }
        for records in [2, i32::MAX] {
            let cause = check(&around(codec, records, &compressed), &limits()).unwrap_err();
            assert_eq!(
                cause.code().code(),
                87,
                "{codec:?}, {records} records: {cause}"
            );
        }
    }
}

#[test]
fn header_mode_trusts_compressed_records_only() {
    let limits = CheckLimits {
        compressed: CompressedCheck::Header,
        ..limits()
    };
    check(&around(Codec::Lz4, 9, b"no frame"), &limits).unwrap();
    assert!(check(&around(Codec::None, 9, b"no record"), &limits).is_err());
    let mut late = batch(Codec::Lz4, 3);
    patch(&mut late, MAX_TIMESTAMP, &(NOW + 3_600_001).to_be_bytes());
    assert_eq!(check(&late, &limits).unwrap_err().code().code(), 32);
}

#[test]
fn records_that_are_refused_are_named() {
    let keys = CheckLimits {
        keys_required: true,
        ..limits()
    };
    for codec in CODECS {
        let mut builder = BatchBuilder::new(BatchSpec {
            codec,
            ..BatchSpec::default()
        });
        for (key, late) in [
            (None, 0),
            (Some(b"k".as_slice()), 0),
            (None, 0),
            (Some(b"k"), 1),
        ] {
            builder.push(&Record {
                timestamp: TimestampMs(NOW + late * 3_600_001),
                key,
                ..Record::default()
            });
        }
        let bytes = builder.finish().unwrap();
        let cause = check(&bytes, &limits()).unwrap_err();
        let fault = RecordFault::Timestamp(TimestampMs(NOW + 3_600_001));
        assert_eq!(cause.record_errors(), [RecordError { index: 3, fault }]);
        assert_eq!(cause.code().code(), 32);
        let cause = check(&bytes, &keys).unwrap_err();
        let indexes: Vec<_> = cause.record_errors().iter().map(|e| e.index).collect();
        assert_eq!((indexes, cause.code().code()), (vec![0, 2, 3], 32));
        let append_time = CheckLimits {
            timestamps: None,
            ..keys
        };
        assert_eq!(check(&bytes, &append_time).unwrap_err().code().code(), 87);
    }
}

#[test]
fn named_records_are_limited() {
    let keys = CheckLimits {
        keys_required: true,
        ..limits()
    };
    let mut builder = BatchBuilder::new(BatchSpec::default());
    for _ in 0..2_000 {
        builder.push(&Record::default());
    }
    let cause = check(&builder.finish_plain(), &keys).unwrap_err();
    let max = thalweg_wire::batch::RECORD_ERRORS_MAX;
    assert_eq!(cause.record_errors().len(), max);
}

#[test]
fn a_time_too_old_is_refused_and_none_is_not() {
    let limits = CheckLimits {
        timestamps: Some(TimestampLimits {
            now: TimestampMs(NOW),
            before_max_ms: 1_000,
            after_max_ms: 1_000,
        }),
        ..limits()
    };
    for (time, taken) in [
        (NOW - 1_000, true),
        (NOW - 1_001, false),
        (NOW + 1_000, true),
        (NOW + 1_001, false),
        (-1, true),
        (-2, false),
        (i64::MIN, false),
        (i64::MAX, false),
    ] {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&Record {
            timestamp: TimestampMs(time),
            ..Record::default()
        });
        let result = check(&builder.finish_plain(), &limits);
        assert_eq!(result.is_ok(), taken, "{time}: {result:?}");
    }
}

#[test]
fn times_before_1970_are_times_unless_sums_overflow() {
    for (time, taken) in [
        (-2, true),
        (-5_000_000, true),
        (NOW - i64::MAX, true),
        (NOW - i64::MAX - 1, true),
        (NOW - i64::MAX - 2, false),
        (i64::MIN, false),
    ] {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&Record {
            timestamp: TimestampMs(time),
            ..Record::default()
        });
        let result = check(&builder.finish_plain(), &limits());
        assert_eq!(result.is_ok(), taken, "{time}: {result:?}");
    }
}

#[test]
fn the_first_look_sees_what_concerns_the_request() {
    let sound = batch(Codec::None, 2);
    let with = |at: usize, bytes: &[u8]| {
        let mut batch = sound.clone();
        batch[at..at + bytes.len()].copy_from_slice(bytes);
        first_look(&batch)
    };
    assert_eq!(first_look(&[]), Ok(FirstLook::Plain));
    assert_eq!(first_look(&sound), Ok(FirstLook::Plain));
    // Not whole: no batch, and so no error yet.
    assert_eq!(first_look(&sound[..sound.len() - 1]), Ok(FirstLook::Plain));
    assert_eq!(first_look(&sound[..11]), Ok(FirstLook::Plain));
    assert_eq!(with(16, &[1]), Ok(FirstLook::Plain));
    assert_eq!(with(22, &[0x10]), Ok(FirstLook::Transactional));
    for (at, bytes) in [(8, &13_i32.to_be_bytes()[..]), (8, &[0xff; 4]), (16, &[3])] {
        let cause = BatchError::Split(with(at, bytes).unwrap_err());
        assert_eq!(cause.code().code(), 2);
    }
    assert!(with(8, &14_i32.to_be_bytes()).is_ok());
}

#[test]
fn the_shape_is_one_batch_that_the_request_may_hold() {
    let sound = batch(Codec::None, 2);
    let code = |bytes: &[u8], zstd| {
        check_shape(bytes, zstd)
            .err()
            .map(|cause| cause.code().code())
    };
    assert_eq!(code(&sound, false), None);
    assert_eq!(code(&[], false), Some(87));
    assert_eq!(code(&[&sound[..], &sound].concat(), false), Some(87));
    let mut broken = sound.clone();
    broken[16] = 9;
    assert_eq!(code(&[&sound[..], &broken].concat(), false), Some(2));
    let zstd = batch(Codec::Zstd, 2);
    assert_eq!((code(&zstd, true), code(&zstd, false)), (None, Some(76)));
    // What the records say is for later.
    let mut rotten = sound;
    *rotten.last_mut().unwrap() ^= 1;
    assert_eq!(code(&rotten, false), None);
}

#[test]
fn bombs_are_capped() {
    let record = |bytes: usize| {
        let mut builder = BatchBuilder::new(BatchSpec::default());
        builder.push(&Record {
            timestamp: TimestampMs(NOW),
            value: Some(&vec![0; bytes]),
            ..Record::default()
        });
        builder.finish_plain().split_off(BATCH_HEADER_BYTES)
    };
    let under = record((1 << 20) - 100);
    let over = record(8 << 20);
    for codec in CODECS.into_iter().skip(1) {
        check(
            &around(codec, 1, &compress(codec, &under).unwrap()),
            &limits(),
        )
        .unwrap();
        let bomb = around(codec, 1, &compress(codec, &over).unwrap());
        let cause = check(&bomb, &limits()).unwrap_err();
        let capped = matches!(cause, BatchError::Inflate(InflateError::OverCap(_)));
        assert!(capped && cause.code().code() == 10, "{codec:?}: {cause}");
        let payload = &bomb[BATCH_HEADER_BYTES..];
        let whole = inflate(codec, payload, 1 << 20, &mut Scratch::default());
        assert!(matches!(whole, Err(InflateError::OverCap(_))), "{codec:?}");
    }
}

#[test]
fn a_lie_stops_before_the_bomb_goes_off() {
    // The record claims to be longer than what follows could be walked as: the first claim that
    // does not fit ends the walk, whatever the codec would still put out.
    let mut lie = batch(Codec::None, 1).split_off(BATCH_HEADER_BYTES);
    lie[4] = 0x7e;
    lie.extend_from_slice(&vec![0; 8 << 20]);
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let cause = check(
            &around(codec, 1, &compress(codec, &lie).unwrap()),
            &limits(),
        );
        assert!(matches!(cause, Err(BatchError::Record { .. })), "{codec:?}");
    }
}

#[test]
fn snappy_claims_are_compared_with_their_bytes() {
    // A bare block that claims 4 GiB, and a framed one.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x00];
    let framed = [
        b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x07".as_slice(),
        &claim,
    ]
    .concat();
    for payload in [claim.as_slice(), &framed] {
        let cause = check(&around(Codec::Snappy, 1, payload), &limits()).unwrap_err();
        assert_eq!(cause.code().code(), 87, "{cause}");
    }
}

#[test]
fn snappy_is_read_bare_and_framed_twice() {
    let good = batch(Codec::None, 3);
    let records = &good[BATCH_HEADER_BYTES..];
    let bare = snap::raw::Encoder::new().compress_vec(records).unwrap();
    check(&around(Codec::Snappy, 3, &bare), &limits()).unwrap();
    let (front, back) = records.split_at(20);
    let twice = [
        compress(Codec::Snappy, front).unwrap(),
        compress(Codec::Snappy, back).unwrap(),
    ]
    .concat();
    check(&around(Codec::Snappy, 3, &twice), &limits()).unwrap();
}

#[test]
fn lz4_frames_are_those_that_the_java_client_reads() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let good = batch(Codec::None, 3);
    let records = &good[BATCH_HEADER_BYTES..];
    let frame = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(records).unwrap();
        around(Codec::Lz4, 3, &encoder.finish().unwrap())
    };
    let independent = || FrameInfo::new().block_mode(BlockMode::Independent);
    let size = Some(records.len() as u64);
    for info in [
        independent().block_size(BlockSize::Max4MB),
        independent().content_checksum(true),
        independent().block_checksums(true),
        independent()
            .content_size(size)
            .block_size(BlockSize::Max256KB),
        independent()
            .content_size(size)
            .content_checksum(true)
            .block_checksums(true),
    ] {
        check(&frame(info), &limits()).unwrap();
    }
    let linked = FrameInfo::new().block_mode(BlockMode::Linked);
    assert_eq!(
        check(&frame(linked), &limits()).unwrap_err().code().code(),
        87
    );
    let mut broken = frame(independent().block_checksums(true));
    let middle = BATCH_HEADER_BYTES + 20;
    let flipped = broken[middle] ^ 1;
    patch(&mut broken, middle, &[flipped]);
    assert_eq!(check(&broken, &limits()).unwrap_err().code().code(), 87);
    let trailing = [&frame(independent())[BATCH_HEADER_BYTES..], &[0]].concat();
    let trailing = around(Codec::Lz4, 3, &trailing);
    assert_eq!(check(&trailing, &limits()).unwrap_err().code().code(), 87);
}

#[test]
fn offset_and_epoch_are_outside_of_the_crc() {
    let mut bytes = batch(Codec::Zstd, 3);
    let summary = check_produce(&bytes, &limits(), &mut Scratch::default()).unwrap();
    let before = bytes.clone();
    assign(&mut bytes, Offset(77), Epoch(5), summary.stamp(None));
    let header = *BatchRef::first(&bytes).unwrap().header();
    assert_eq!(header.base_offset(), Offset(77));
    assert_eq!(header.last_offset(), Offset(79));
    assert_eq!(header.next_offset(), Offset(80));
    assert_eq!(header.leader_epoch(), Epoch(5));
    assert_eq!(bytes[MAGIC..], before[MAGIC..]);
}

#[test]
fn times_are_rewritten_with_their_crc() {
    let mut bytes = batch(Codec::Gzip, 3);
    patch(&mut bytes, MAX_TIMESTAMP, &12_i64.to_be_bytes());
    let summary = check_produce(&bytes, &limits(), &mut Scratch::default()).unwrap();
    assert_eq!(summary.max_timestamp, TimestampMs(NOW + 2));
    let written = |stamp| {
        let mut bytes = bytes.clone();
        assign(&mut bytes, Offset(1), Epoch(0), stamp);
        let batch = BatchRef::first(&bytes).unwrap();
        assert!(batch.crc_matches());
        let header = batch.header();
        assert_eq!(header.attributes().codec(), Ok(Codec::Gzip));
        (
            header.attributes().is_log_append_time(),
            header.max_timestamp().0,
        )
    };
    assert_eq!(written(Stamp::Keep), (false, 12));
    assert_eq!(written(summary.stamp(None)), (false, NOW + 2));
    assert_eq!(
        written(summary.stamp(Some(TimestampMs(NOW + 9)))),
        (true, NOW + 9)
    );
}

#[test]
fn sequences_wrap() {
    let mut builder = BatchBuilder::new(BatchSpec {
        producer_id: ProducerId(1),
        base_sequence: Sequence(i32::MAX),
        ..BatchSpec::default()
    });
    builder.push(&Record::default());
    builder.push(&Record::default());
    let bytes = builder.finish_plain();
    let summary = check_produce(&bytes, &limits(), &mut Scratch::default()).unwrap();
    assert_eq!(summary.last_sequence(), Sequence(0));
}

fn golden_batches() -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/batches");
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "bin"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Everything that reads a batch, on bytes that may be anything.
fn read_all(bytes: &[u8], scratch: &mut Scratch) {
    let _ = check_produce(bytes, &limits(), scratch);
    for batch in split(bytes).map_while(Result::ok) {
        let header = batch.header();
        for record in Records::new(batch.payload(), header.record_count()).flatten() {
            let _ = record.headers().count();
        }
        if let Ok(codec) = header.attributes().codec() {
            let _ = inflate(codec, batch.payload(), 1 << 20, scratch);
        }
    }
}

#[test]
fn no_cut_and_no_flip_panics() {
    let mut scratch = Scratch::default();
    // Our own generator, so that a failing step can be repeated.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    for bytes in golden_batches() {
        for _ in 0..200 {
            let cut = random(bytes.len());
            read_all(&bytes[..cut], &mut scratch);
            // The same cut with a length and a CRC that hide it.
            let mut hidden = bytes[..cut].to_vec();
            if cut >= BATCH_HEADER_BYTES {
                let length = i32::try_from(cut - 12).unwrap();
                patch(&mut hidden, LENGTH, &length.to_be_bytes());
            }
            read_all(&hidden, &mut scratch);
            let mut flipped = bytes.clone();
            for _ in 0..=random(3) {
                // Mostly behind the length and the magic, which are soon told.
                let at = ATTRIBUTES + random(bytes.len() - ATTRIBUTES);
                flipped[at] ^= 1 << random(8);
            }
            mend(&mut flipped);
            read_all(&flipped, &mut scratch);
        }
        // A scratch that has seen all that still reads what is right.
        let _ = check_produce(&bytes, &limits(), &mut scratch);
        let good = batch(Codec::Zstd, 50);
        check_produce(&good, &limits(), &mut scratch).unwrap();
    }
}
