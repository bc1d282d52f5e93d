//! The few functions that every record or every request passes, each ready to be called many times
//! over the same input: what `cargo x instructions` counts.
//!
//! Deliberately absent: anything that touches a disk, a socket or a clock; its instructions would
//! not be the same twice. Time is the business of `cargo bench` and `cargo x versus`.

use std::borrow::Cow;
use std::hint::black_box;
use std::path::PathBuf;

use thalweg_storage::journal::entry::{Entry, EntrySink};
use thalweg_storage::log::{
    AppendContext, Log, LogConfig, LogSpec, Origin, ReadSpec, Verification,
};
use thalweg_storage::segment::index::{IndexEntry, OffsetIndex};
use thalweg_wire::batch::{
    BatchBuilder, BatchSpec, BatchSummary, CheckLimits, Codec, CompressedCheck, Origin as From,
    Record, Scratch, check_produce,
};
use thalweg_wire::bytes::{Message, Records, Writer};
use thalweg_wire::ids::{Epoch, Offset, PartitionId, PartitionIndex, TimestampMs, Uuid};
use thalweg_wire::messages::{
    fetch_request as fetch, fetch_response as fetched, produce_request as produce,
    produce_response as produced,
};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const PARTITIONS: i32 = 100;
/// Appends to one log before a fresh one: few enough that its memory stays small.
const APPENDS: usize = 256;

/// One function with its input: each call does the same work.
pub type Call = Box<dyn FnMut()>;

/// A name, and what makes the call.
pub type Case = (&'static str, fn() -> Call);

pub const CASES: [Case; 11] = [
    ("check-1-record-1024", || check(1, 1024, Codec::None)),
    ("check-16-records-1024", || check(16, 1024, Codec::None)),
    ("check-160-records-100", || check(160, 100, Codec::None)),
    ("check-16-records-1024-lz4", || check(16, 1024, Codec::Lz4)),
    ("decode-produce-request", decode_produce),
    ("encode-produce-response", encode_produce),
    ("decode-fetch-request", decode_fetch),
    ("encode-fetch-response", encode_fetch),
    ("append-1-record-1024", append),
    ("plan-fetch-16-kib", plan),
    ("index-floor", floor),
];

const LIMITS: CheckLimits = CheckLimits {
    origin: From::Client,
    batch_bytes_max: 2 << 20,
    inflated_bytes_max: 2 << 20,
    keys_required: false,
    zstd_allowed: true,
    compressed: CompressedCheck::Full,
    timestamps: None,
};

fn batch(records: usize, value_bytes: usize, codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchSpec {
        codec,
        ..BatchSpec::default()
    });
    for record in 0..records {
        // Text-like: a codec finds something to do.
        let byte = |index: usize| b"abcdefghijklmnop"[(index * 31 + record * 7) % 16];
        let value: Vec<u8> = (0..value_bytes).map(byte).collect();
        builder.push(&Record {
            timestamp: NOW,
            value: Some(&value),
            ..Record::default()
        });
    }
    builder.finish().expect("the codec takes it")
}

fn check(records: usize, value_bytes: usize, codec: Codec) -> Call {
    let bytes = batch(records, value_bytes, codec);
    let mut scratch = Scratch::default();
    Box::new(move || {
        let checked = check_produce(black_box(&bytes), &LIMITS, &mut scratch);
        assert!(black_box(checked).is_ok(), "a sound batch");
    })
}

fn topic<'a>() -> Cow<'a, str> {
    Cow::Borrowed("a-topic-of-usual-length")
}

fn bytes(message: &impl Message, version: i16) -> Vec<u8> {
    message.to_bytes(version).expect("the version exists")
}

/// A call that writes the message again and again.
fn encode(message: impl Message + 'static, version: i16) -> Call {
    let size = message.size(version).expect("the version exists");
    Box::new(move || {
        let mut out = Writer::with_capacity(size);
        let written = black_box(&message).encode(version, &mut out);
        assert!(written.is_ok() && black_box(out.len()) == size, "room");
    })
}

fn decode_produce() -> Call {
    let data = |index| produce::PartitionProduceData {
        index,
        records: Records::Bytes(Cow::Owned(vec![7; 1024])),
    };
    let request = produce::ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![produce::TopicProduceData {
            name: topic(),
            partition_data: (0..PARTITIONS).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let bytes = bytes(&request, 9);
    Box::new(move || {
        let view = produce::ProduceRequestView::decode(black_box(&bytes), 9);
        assert!(black_box(view).is_ok(), "a sound request");
    })
}

fn encode_produce() -> Call {
    let data = |index| produced::PartitionProduceResponse {
        index,
        base_offset: 1_000_000,
        ..Default::default()
    };
    let response = produced::ProduceResponse {
        responses: vec![produced::TopicProduceResponse {
            name: topic(),
            partition_responses: (0..PARTITIONS).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    encode(response, 9)
}

fn decode_fetch() -> Call {
    let data = |partition| fetch::FetchPartition {
        partition,
        fetch_offset: 1_000_000,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let request = fetch::FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        topics: vec![fetch::FetchTopic {
            topic: topic(),
            partitions: (0..PARTITIONS).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let bytes = bytes(&request, 12);
    Box::new(move || {
        let view = fetch::FetchRequestView::decode(black_box(&bytes), 12);
        assert!(black_box(view).is_ok(), "a sound request");
    })
}

fn encode_fetch() -> Call {
    let data = |partition_index| fetched::PartitionData {
        partition_index,
        high_watermark: 1_000_000,
        last_stable_offset: 1_000_000,
        log_start_offset: 0,
        records: Records::Bytes(Cow::Owned(vec![7; 64])),
        ..Default::default()
    };
    let response = fetched::FetchResponse {
        responses: vec![fetched::FetchableTopicResponse {
            topic: topic(),
            partitions: (0..PARTITIONS).map(data).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    encode(response, 12)
}

/// Takes entries as a journal would, and forgets them.
struct Forget;

impl EntrySink for Forget {
    fn push(&mut self, entry: Entry<'_>) {
        black_box(&entry);
    }
}

fn log() -> Log {
    let mut log = Log::create(LogSpec {
        id: PartitionId {
            topic: Uuid([7; 16]),
            index: PartitionIndex(0),
        },
        dir: PathBuf::from("hot-0"),
        config: LogConfig::default(),
        now: NOW,
    });
    log.start_epoch(Epoch(1), &mut Forget);
    log
}

fn push(log: &mut Log, bytes: &[u8], summary: &BatchSummary) {
    let context = AppendContext {
        leader_epoch: Epoch(1),
        now: NOW,
        origin: Origin::Client,
        verification: Verification::Waived,
    };
    let appended = log.append(black_box(bytes), summary, &context, &mut Forget);
    assert!(appended.is_ok(), "{appended:?}");
}

fn checked() -> (Vec<u8>, BatchSummary) {
    let bytes = batch(1, 1024, Codec::None);
    let summary = check_produce(&bytes, &LIMITS, &mut Scratch::default()).expect("sound");
    (bytes, summary)
}

fn append() -> Call {
    let (bytes, summary) = checked();
    let (mut log, mut appended) = (self::log(), 0);
    Box::new(move || {
        if appended == APPENDS {
            (log, appended) = (self::log(), 0);
        }
        push(&mut log, &bytes, &summary);
        appended += 1;
    })
}

fn plan() -> Call {
    let (bytes, summary) = checked();
    let mut log = log();
    for _ in 0..APPENDS {
        push(&mut log, &bytes, &summary);
    }
    let end = Offset(APPENDS as i64);
    log.on_durable(end);
    let mut offset = 0;
    Box::new(move || {
        offset = (offset + 15) % (end.0 - 16);
        let spec = ReadSpec {
            offset: Offset(offset),
            bytes_max: 16 << 10,
            min_one: true,
            upper: end,
        };
        assert!(black_box(log.read(spec)).is_ok(), "in the log");
    })
}

fn floor() -> Call {
    // As many entries as a segment of 1 GiB has.
    let entries = 1 << 18;
    let mut index = OffsetIndex::new(Offset(0));
    for entry in 1..=entries {
        let (offset, position) = (Offset(entry * 4), (entry * 4096) as u64);
        index.push(IndexEntry { offset, position }, Offset(entry * 4 - 3));
    }
    let mut offset = 1;
    Box::new(move || {
        offset = (offset * 48_271) % (entries * 4);
        black_box(index.floor(Offset(offset)));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_can_be_called_again_and_again() {
        for (name, make) in CASES {
            let mut call = make();
            for _ in 0..=APPENDS {
                call();
            }
            assert_eq!(
                CASES.iter().filter(|(other, _)| *other == name).count(),
                1,
                "two cases named {name}"
            );
        }
    }
}
