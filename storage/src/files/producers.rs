//! `.snapshot`: producer state as of an offset. Pure.
//!
//! Layout, big-endian: version (2 bytes, 1), CRC-32C of all that follows it (4), count (4), then
//! entries of 46 bytes. Only the newest batch of a producer is in it.

use std::collections::VecDeque;

use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::FormatError;
use crate::producers::{BatchMemo, ProducerEntry};

/// The only version.
const VERSION: i16 = 1;
/// Bytes in front of what the CRC covers.
const HEAD_BYTES: usize = 6;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 46;

/// One line of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// The producer.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Its newest batch; sequence and offset -1 for none.
    pub last: BatchMemo,
    /// Epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction, or -1.
    pub txn_first: Offset,
}

/// A producer's line.
#[must_use]
pub fn snapshot_of(producer: ProducerId, entry: &ProducerEntry) -> SnapshotEntry {
    let none = BatchMemo {
        last_sequence: Sequence::NONE,
        last_offset: Offset::NONE,
        offset_delta: 0,
        timestamp: entry.last_timestamp,
    };
    let last = entry.last_batch().copied().unwrap_or(none);
    SnapshotEntry {
        producer,
        epoch: entry.epoch,
        last: BatchMemo {
            timestamp: entry.last_timestamp,
            ..last
        },
        coordinator_epoch: entry.coordinator_epoch,
        txn_first: entry.txn_first.unwrap_or(Offset::NONE),
    }
}

/// The producer of a line.
#[must_use]
pub fn entry_of(line: &SnapshotEntry) -> ProducerEntry {
    let has_batch = line.last.last_offset.0 >= 0;
    ProducerEntry {
        epoch: line.epoch,
        coordinator_epoch: line.coordinator_epoch,
        last_timestamp: line.last.timestamp,
        txn_first: Some(line.txn_first).filter(|first| first.0 >= 0),
        batches: VecDeque::from_iter(has_batch.then_some(line.last)),
        // It lies in a snapshot: nothing of it is news.
        changed_at: Offset::NONE,
    }
}

/// The file's content.
#[must_use]
pub fn encode_snapshot(lines: impl Iterator<Item = SnapshotEntry>) -> Vec<u8> {
    let mut body = vec![0; 4];
    let mut count: i32 = 0;
    for line in lines {
        count += 1;
        body.extend_from_slice(&line.producer.0.to_be_bytes());
        body.extend_from_slice(&line.epoch.0.to_be_bytes());
        body.extend_from_slice(&line.last.last_sequence.0.to_be_bytes());
        body.extend_from_slice(&line.last.last_offset.0.to_be_bytes());
        body.extend_from_slice(&line.last.offset_delta.to_be_bytes());
        body.extend_from_slice(&line.last.timestamp.0.to_be_bytes());
        body.extend_from_slice(&line.coordinator_epoch.to_be_bytes());
        body.extend_from_slice(&line.txn_first.0.to_be_bytes());
    }
    body[..4].copy_from_slice(&count.to_be_bytes());
    let mut file = Vec::with_capacity(HEAD_BYTES + body.len());
    file.extend_from_slice(&VERSION.to_be_bytes());
    file.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    file.extend_from_slice(&body);
    file
}

/// The lines of a file.
pub fn decode_snapshot(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, FormatError> {
    let fail = |fault| FormatError {
        file: "producer snapshot",
        fault,
    };
    let short = fail("too short");
    let (version, rest) = bytes.split_first_chunk().ok_or(short)?;
    if i16::from_be_bytes(*version) != VERSION {
        return Err(fail("unknown version"));
    }
    let (crc, body) = rest.split_first_chunk().ok_or(short)?;
    if u32::from_be_bytes(*crc) != crc32c::crc32c(body) {
        return Err(fail("its checksum does not match"));
    }
    let (count, entries) = body.split_first_chunk().ok_or(short)?;
    let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
    let counted = usize::try_from(i32::from_be_bytes(*count));
    if counted != Ok(entries.len()) || !rest.is_empty() {
        return Err(fail("not as many producers as counted"));
    }
    Ok(entries.iter().map(decode_entry).collect())
}

fn decode_entry(entry: &[u8; ENTRY_BYTES]) -> SnapshotEntry {
    let mut at = 0;
    let mut number = |bytes: usize| {
        let field = &entry[at..at + bytes];
        at += bytes;
        // Sign-extended from the first byte.
        let sign = if field[0] & 0x80 == 0 { 0 } else { -1 };
        field
            .iter()
            .fold(sign, |number: i64, byte| (number << 8) | i64::from(*byte))
    };
    SnapshotEntry {
        producer: ProducerId(number(8)),
        epoch: ProducerEpoch(number(2) as i16),
        last: BatchMemo {
            last_sequence: Sequence(number(4) as i32),
            last_offset: Offset(number(8)),
            offset_delta: number(4) as i32,
            timestamp: TimestampMs(number(8)),
        },
        coordinator_epoch: number(4) as i32,
        txn_first: Offset(number(8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(producer: i64) -> SnapshotEntry {
        SnapshotEntry {
            producer: ProducerId(producer),
            epoch: ProducerEpoch(7),
            last: BatchMemo {
                last_sequence: Sequence(i32::MAX),
                last_offset: Offset(1 << 40),
                offset_delta: 12,
                timestamp: TimestampMs(1_700_000_000_000),
            },
            coordinator_epoch: -1,
            txn_first: Offset::NONE,
        }
    }

    #[test]
    fn lines_survive_the_file() {
        let lines = [line(1), line(2)];
        let file = encode_snapshot(lines.into_iter());
        assert_eq!(file.len(), HEAD_BYTES + 4 + 2 * ENTRY_BYTES);
        assert_eq!(decode_snapshot(&file).unwrap(), lines);
        let entry = entry_of(&lines[0]);
        assert_eq!(snapshot_of(ProducerId(1), &entry), lines[0]);
        assert_eq!(
            decode_snapshot(&encode_snapshot([].into_iter())).unwrap(),
            []
        );
    }

    #[test]
    fn a_producer_without_batches_keeps_its_epochs() {
        let mut entry = entry_of(&line(1));
        entry.batches.clear();
        entry.txn_first = Some(Offset(5));
        let saved = snapshot_of(ProducerId(1), &entry);
        assert_eq!(saved.last.last_sequence, Sequence::NONE);
        assert_eq!(entry_of(&saved), entry);
    }

    #[test]
    fn every_flipped_or_missing_byte_is_seen() {
        let file = encode_snapshot([line(1)].into_iter());
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 0x40;
            assert!(decode_snapshot(&bad).is_err(), "byte {at}");
            assert!(decode_snapshot(&file[..at]).is_err(), "length {at}");
        }
    }
}
