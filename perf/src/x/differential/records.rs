//! Record batches of requests, right and wrong in one place each, and those of answers as a tree.
//!
//! A batch of a request is a description (`{"count": 2, "producer": "@producer:", "flaw": "crc"}`),
//! made into bytes per server because producer ids differ. A flaw is patched into a batch that was
//! right, and the checksum is set again unless the checksum is the flaw: so that each server gets
//! as far as the field in question.

use serde_json::{Value, json};
use thalweg_wire::batch::{BatchBuilder, BatchSpec, Codec, Record, split};
use thalweg_wire::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::names::Names;
use crate::x::{Context, Failure, Outcome};

/// Bytes that a tree shows as they are; longer ones by length and checksum.
const SHOWN_BYTES_MAX: usize = 64;
/// Above `max.message.bytes`.
const TOO_LARGE_BYTES: usize = 1_100_000;

const BASE_OFFSET: usize = 0;
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const MAX_TIMESTAMP: usize = 35;
const COUNT: usize = 57;
const PAYLOAD: usize = 61;

/// What can be wrong with a batch.
pub(super) const FLAWS: &[&str] = &[
    "crc",
    "magic 0",
    "magic 1",
    "magic 3",
    "base offset",
    "last offset delta",
    "count",
    "count zero",
    "negative count",
    "unused attribute",
    "codec 7",
    "control",
    "max timestamp",
    "cut",
    "length",
    "payload",
    "too large",
];

/// The bytes of all batches described.
pub(super) fn encode(batches: &Value, names: &Names) -> Outcome<Vec<u8>> {
    let list = batches
        .as_array()
        .context(|| "records are null, hex or a list of batches")?;
    let mut bytes = Vec::new();
    for batch in list {
        bytes.extend(one(batch, names)?);
    }
    Ok(bytes)
}

fn one(batch: &Value, names: &Names) -> Outcome<Vec<u8>> {
    let number = |field: &str, absent: i64| {
        let value = names
            .resolve(&batch[field])
            .unwrap_or_else(|| batch[field].clone());
        value.as_i64().unwrap_or(absent)
    };
    let flaw = batch["flaw"].as_str().unwrap_or_default();
    let mut builder = BatchBuilder::new(BatchSpec {
        codec: codec(number("codec", 0)),
        transactional: batch["transactional"] == true,
        producer_id: ProducerId(number("producer", -1)),
        producer_epoch: ProducerEpoch(number("epoch", -1) as i16),
        base_sequence: Sequence(number("sequence", -1) as i32),
        ..BatchSpec::default()
    });
    let large = vec![b'x'; TOO_LARGE_BYTES];
    for index in 0..number("count", 1) {
        let key = format!("key {index}");
        let value = format!("value {index} of {}", number("label", 0));
        builder.push(&Record {
            timestamp: TimestampMs(number("time", 0) + index),
            key: (batch["keyless"] != true).then_some(key.as_bytes()),
            value: match flaw {
                "too large" => Some(large.as_slice()),
                _ => (batch["tombstone"] != true).then_some(value.as_bytes()),
            },
            headers: &[("header", Some(b"1"))],
        });
    }
    let bytes = builder.finish().context(|| "compressing a batch")?;
    Ok(flawed(bytes, flaw))
}

fn codec(number: i64) -> Codec {
    [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ]
    .get(number as usize)
    .copied()
    .unwrap_or(Codec::None)
}

fn flawed(mut bytes: Vec<u8>, flaw: &str) -> Vec<u8> {
    let mut patch = |at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    match flaw {
        "magic 0" => patch(MAGIC, &[0]),
        "magic 1" => patch(MAGIC, &[1]),
        "magic 3" => patch(MAGIC, &[3]),
        "base offset" => patch(BASE_OFFSET, &7_i64.to_be_bytes()),
        "last offset delta" => patch(LAST_OFFSET_DELTA, &9_i32.to_be_bytes()),
        "count" => patch(COUNT, &9_i32.to_be_bytes()),
        "count zero" => patch(COUNT, &0_i32.to_be_bytes()),
        "negative count" => patch(COUNT, &(-1_i32).to_be_bytes()),
        "unused attribute" => patch(ATTRIBUTES, &[0x40, 0]),
        "codec 7" => patch(ATTRIBUTES, &[0, 7]),
        "control" => patch(ATTRIBUTES, &[0, 0x20]),
        "max timestamp" => patch(MAX_TIMESTAMP, &1_i64.to_be_bytes()),
        "length" => patch(LENGTH, &10_i32.to_be_bytes()),
        "payload" => patch(PAYLOAD, &[0x7e]),
        "cut" => bytes.truncate(bytes.len() - 5),
        _ => {}
    }
    let crc = match flaw {
        "crc" => 0x0bad_cafe,
        _ => crc32c(bytes.get(ATTRIBUTES..).unwrap_or_default()),
    };
    if let Some(place) = bytes.get_mut(CRC..ATTRIBUTES) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// Bit by bit: there is little of it, and no code of `wire` judges itself.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// The batches of an answer, header by header; what is no whole batch is counted.
pub(super) fn decode(bytes: &[u8]) -> Value {
    let mut batches = split(bytes);
    let mut found = Vec::new();
    for batch in batches.by_ref().map_while(Result::ok) {
        let header = batch.header();
        let covered = batch.bytes().get(ATTRIBUTES..).unwrap_or_default();
        found.push(json!({
            "BaseOffset": header.base_offset().0,
            "LeaderEpoch": header.leader_epoch().0,
            "Attributes": header.attributes().0,
            "LastOffsetDelta": header.last_offset_delta(),
            "BaseTimestamp": header.base_timestamp().0,
            "MaxTimestamp": header.max_timestamp().0,
            "ProducerId": header.producer_id().0,
            "ProducerEpoch": header.producer_epoch().0,
            "BaseSequence": header.base_sequence().0,
            "Count": header.record_count(),
            "Payload": shown(batch.payload()),
            "IsSound": header.crc() == crc32c(covered),
        }));
    }
    let rest = bytes.len() - batches.position();
    if rest > 0 {
        found.push(json!({ "PartOfBatch": true }));
    }
    Value::Array(found)
}

fn shown(bytes: &[u8]) -> Value {
    if bytes.len() <= SHOWN_BYTES_MAX {
        return json!(hex(bytes));
    }
    json!(format!("{} bytes, {:08x}", bytes.len(), crc32c(bytes)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Outcome<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => Ok(digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |sum, digit| sum * 16 + *digit as u8))
            .collect()),
        _ => Err(Failure::new(format!("`{text}` is no hex"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_sound_and_its_flaw_is_the_only_one() {
        let names = Names::new(0);
        let sound = encode(&json!([{"count": 2, "time": 5}]), &names).unwrap();
        let tree = decode(&sound);
        assert_eq!(tree[0]["IsSound"], true);
        assert_eq!(tree[0]["Count"], 2);
        for flaw in FLAWS {
            let bytes = encode(&json!([{"count": 2, "time": 5, "flaw": flaw}]), &names).unwrap();
            assert_ne!(bytes, sound, "{flaw}");
        }
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(unhex(&hex(&sound)).unwrap(), sound);
    }
}
