//! Kafka's own LogValidator as judge of our check of record batches: thousands of batches, most of
//! them broken behind a right CRC. What we take, Kafka takes, with as many records and the same
//! largest time; what Kafka refuses, we refuse with the same error. Where we are stricter on
//! purpose, `is_stricter` says so.
//!
//! Needs Kafka's jars, as `java.rs` does.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use thalweg_wire::batch::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchError, BatchSpec, BatchSummary, CheckLimits, Codec,
    CompressedCheck, InflateError, Lz4Error, Origin, Record, Scratch, SnappyError, TimestampLimits,
    check_produce,
};
use thalweg_wire::ids::{ProducerId, Sequence, TimestampMs};

use crate::java::number;
use crate::random::Random;

const NOW: i64 = 1_700_000_000_000;

fn check(bytes: &[u8], scratch: &mut Scratch) -> Result<BatchSummary, BatchError> {
    let limits = CheckLimits {
        origin: Origin::Client,
        batch_bytes_max: 1 << 20,
        inflated_bytes_max: 1 << 24,
        keys_required: false,
        zstd_allowed: true,
        compressed: CompressedCheck::Full,
        timestamps: Some(TimestampLimits {
            now: TimestampMs(NOW),
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
        }),
    };
    check_produce(bytes, &limits, scratch)
}

fn sound(random: &mut Random) -> Vec<u8> {
    let codecs = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    let idempotent = random.below(4) == 0;
    let mut builder = BatchBuilder::new(BatchSpec {
        codec: codecs[random.below(codecs.len())],
        producer_id: ProducerId(if idempotent { 9 } else { -1 }),
        base_sequence: Sequence(if idempotent { 3 } else { -1 }),
        ..BatchSpec::default()
    });
    // Some batches pass the block size of a codec.
    let records_max = if random.below(20) == 0 { 3_000 } else { 5 };
    let records = 1 + random.below(records_max);
    for _ in 0..records {
        let key: Vec<u8> = (0..random.below(4)).map(|_| random.next() as u8).collect();
        let value = vec![random.next() as u8; random.below(60)];
        builder.push(&Record {
            timestamp: TimestampMs(NOW - 50 + random.below(100) as i64),
            key: (random.below(2) == 0).then_some(key.as_slice()),
            value: (random.below(5) != 0).then_some(value.as_slice()),
            headers: &[("h", None), ("header", Some(b"x".as_slice()))][..random.below(3)],
        });
    }
    builder.finish().unwrap()
}

/// Changes what follows the CRC, cuts, or appends, and makes length and CRC right again.
fn broken(random: &mut Random) -> Vec<u8> {
    let mut bytes = sound(random);
    let mut cut = false;
    match random.below(5) {
        0 => {
            bytes.truncate(BATCH_HEADER_BYTES + random.below(bytes.len() - BATCH_HEADER_BYTES));
            cut = true;
        }
        1 => {
            bytes.push(random.next() as u8);
            cut = true;
        }
        _ => {
            for _ in 0..=random.below(2) {
                // Half of the flips among the first records' bytes, where the lengths are.
                let end = if random.below(2) == 0 {
                    bytes.len().min(80)
                } else {
                    bytes.len()
                };
                let at = 21 + random.below(end - 21);
                bytes[at] ^= 1 << random.below(8);
            }
        }
    }
    if cut {
        let length = bytes.len() as i32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// What `check.rs` refuses and Kafka takes; its head says why.
fn is_stricter(cause: &BatchError) -> bool {
    use thalweg_wire::batch::Malformed;
    matches!(
        cause,
        BatchError::OffsetDelta { .. }
            | BatchError::AppendTime
            | BatchError::NoProducer
            | BatchError::Trailing(_)
            | BatchError::Record {
                cause: Malformed::FieldLength | Malformed::Varint | Malformed::RecordLength,
                ..
            }
            // Kafka stops at the last record, and does not always see what is wrong behind it.
            | BatchError::Inflate(
                InflateError::Lz4(Lz4Error::Trailing | Lz4Error::Frame | Lz4Error::Block(_))
                    | InflateError::Snappy(SnappyError::Frame)
                    | InflateError::Gzip(_)
                    | InflateError::Zstd(_)
            )
    )
}

/// Where the two differ and must not.
fn differs(ours: &Result<BatchSummary, BatchError>, theirs: &str) -> Option<String> {
    let words: Vec<&str> = theirs.split(' ').collect();
    let code: i16 = words[0].parse().unwrap();
    let same = match ours {
        Ok(summary) => {
            code == 0
                && words[1].parse() == Ok(summary.record_count)
                && words[2].parse() == Ok(summary.max_timestamp.0)
                && words[3] == "false"
        }
        Err(cause) if code == 0 => is_stricter(cause),
        // Kafka has no error for what its codecs throw, nor for codecs it does not know.
        Err(BatchError::Inflate(_) | BatchError::UnknownCodec(_)) => true,
        // Of two things wrong Kafka may see the other one first.
        Err(BatchError::Record { .. }) => true,
        Err(cause) => code == -1 || cause.code().code() == code || is_stricter(cause),
    };
    (!same).then(|| format!("{ours:?}, Kafka: {theirs}"))
}

#[test]
fn batches_are_taken_and_refused_as_kafka_does() {
    let Ok(jars) = std::env::var("THALWEG_KAFKA_JARS") else {
        println!("left out: THALWEG_KAFKA_JARS does not name Kafka's libs");
        return;
    };
    let mut random = Random(number("THALWEG_SEED", 1));
    let count = number("THALWEG_COUNT", 12) * 1_000;
    let batches: Vec<Vec<u8>> = (0..count)
        .map(|at| {
            if at % 10 == 0 {
                sound(&mut random)
            } else {
                broken(&mut random)
            }
        })
        .collect();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/Judge.java");
    let mut java = Command::new("java")
        .args(["-cp", &format!("{jars}/*")])
        .arg(program)
        .arg(NOW.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = java.stdin.take().unwrap();
    let lines: Vec<String> = batches.iter().map(|batch| hex(batch)).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let mut scratch = Scratch::default();
    let mut verdicts = [0; 2];
    let mut problems = Vec::new();
    let mut answers = BufReader::new(java.stdout.take().unwrap()).lines();
    for (at, batch) in batches.iter().enumerate() {
        let theirs = answers.next().unwrap().unwrap();
        let ours = check(batch, &mut scratch);
        verdicts[usize::from(ours.is_ok())] += 1;
        assert!(at % 10 != 0 || ours.is_ok(), "{ours:?} of a sound batch");
        if let Some(problem) = differs(&ours, &theirs) {
            problems.push(format!(
                "{problem}: {}",
                &hex(batch)[..batch.len().min(200) * 2]
            ));
        }
    }
    writer.join().unwrap();
    assert!(java.wait().unwrap().success(), "java failed");
    println!("{} batches taken, {} refused", verdicts[1], verdicts[0]);
    let shown = &problems[..problems.len().min(20)];
    assert!(problems.is_empty(), "{} differ: {shown:#?}", problems.len());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
