//! A Kafka client of a few requests, written out by hand.
//!
//! It reads back what a server stored, batch by batch, and shares no code with `wire`: a mistake in
//! our codec cannot hide itself here. Only the versions it asks for are known to it, and it trusts
//! the server it tests: a malformed answer is a failure, not an attack.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Context, Failure, Outcome};

const PATIENCE: Duration = Duration::from_secs(30);
const FETCH_BYTES_MAX: i32 = 64 << 20;
/// Unknown topic or partition, leader not available, not the leader.
const RETRIABLE_CODES: [i16; 3] = [3, 5, 6];
/// The coordinator loads, is not available, is another one.
const COORDINATOR_CODES: [i16; 3] = [14, 15, 16];
/// Offset and length in front of each batch.
const LOG_OVERHEAD: usize = 12;

/// What the header of a stored batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBatch {
    pub base_offset: i64,
    pub attributes: i16,
    pub producer_id: i64,
    pub records: i32,
}

impl StoredBatch {
    /// none, gzip, snappy, lz4, zstd.
    #[must_use]
    pub fn codec(&self) -> i16 {
        self.attributes & 7
    }
}

/// True once the server answers ApiVersions.
#[must_use]
pub fn answers(address: &str) -> bool {
    request(address, 18, 0, &[]).is_ok_and(|answer| answer.get(..2) == Some(&[0, 0][..]))
}

/// All batches of a partition, from the log's start to its end.
pub fn batches(address: &str, topic: &str, partition: i32) -> Outcome<Vec<StoredBatch>> {
    let mut found: Vec<StoredBatch> = Vec::new();
    loop {
        let next = found
            .last()
            .map_or(0, |last| last.base_offset + i64::from(last.records));
        let more = fetch(address, topic, partition, next)?;
        if more.is_empty() {
            return Ok(found);
        }
        found.extend(more);
    }
}

/// Asks again, as every client does, while a server that has just started finds its leaders.
fn fetch(address: &str, topic: &str, partition: i32, offset: i64) -> Outcome<Vec<StoredBatch>> {
    let started = Instant::now();
    loop {
        let answer = request(address, 1, 4, &fetch_body(topic, partition, offset))?;
        let read = read_fetch(&answer)
            .context(|| format!("a malformed fetch answer for {topic}-{partition}"))?;
        match read {
            Ok(batches) => return Ok(batches),
            Err(code) if RETRIABLE_CODES.contains(&code) && started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(code) => {
                let what = format!("fetch from {topic}-{partition} was answered with code {code}");
                return Err(Failure::new(what));
            }
        }
    }
}

/// What a group has committed for the first partitions of a topic; -1 where it has nothing.
pub fn committed(
    address: &str,
    group: &str,
    (topic, partitions): (&str, usize),
) -> Outcome<Vec<i64>> {
    let mut body = text(group);
    body.extend(1_i32.to_be_bytes());
    body.extend(text(topic));
    let count = i32::try_from(partitions).context(|| "too many partitions")?;
    body.extend(count.to_be_bytes());
    body.extend((0..count).flat_map(i32::to_be_bytes));
    let started = Instant::now();
    loop {
        let answer = request(address, 9, 1, &body)?;
        let read = read_committed(&answer).context(|| "a malformed answer to OffsetFetch")?;
        match read {
            Ok(offsets) => return Ok(offsets),
            Err(code) if COORDINATOR_CODES.contains(&code) && started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(code) => {
                let what = format!("offsets of {group} were answered with code {code}");
                return Err(Failure::new(what));
            }
        }
    }
}

fn read_committed(answer: &[u8]) -> Option<Result<Vec<i64>, i16>> {
    let mut reader = Reader(answer);
    reader.int32()?; // one topic
    let name = usize::try_from(reader.int16()?).ok()?;
    reader.take(name)?;
    let count = reader.int32()?;
    let mut found = Vec::new();
    for _ in 0..count {
        reader.int32()?;
        found.push(reader.int64()?);
        let metadata = usize::try_from(reader.int16()?.max(0)).ok()?;
        reader.take(metadata)?;
        match reader.int16()? {
            0 => {}
            code => return Some(Err(code)),
        }
    }
    Some(Ok(found))
}

fn fetch_body(topic: &str, partition: i32, offset: i64) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend((-1_i32).to_be_bytes()); // replica: a consumer
    body.extend(0_i32.to_be_bytes()); // wait
    body.extend(1_i32.to_be_bytes()); // least bytes
    body.extend(FETCH_BYTES_MAX.to_be_bytes());
    body.push(0); // read uncommitted
    body.extend(1_i32.to_be_bytes());
    body.extend(text(topic));
    body.extend(1_i32.to_be_bytes());
    body.extend(partition.to_be_bytes());
    body.extend(offset.to_be_bytes());
    body.extend(FETCH_BYTES_MAX.to_be_bytes());
    body
}

/// None when the bytes do not add up; otherwise batches, or the server's error code.
fn read_fetch(answer: &[u8]) -> Option<Result<Vec<StoredBatch>, i16>> {
    let mut reader = Reader(answer);
    reader.take(4)?; // throttle time
    reader.int32()?; // one topic
    let name = usize::try_from(reader.int16()?).ok()?;
    reader.take(name)?;
    reader.int32()?; // one partition
    reader.int32()?;
    let code = reader.int16()?;
    if code != 0 {
        return Some(Err(code));
    }
    reader.take(16)?; // high watermark, last stable offset
    let aborted = usize::try_from(reader.int32()?.max(0)).ok()?;
    reader.take(aborted * 16)?;
    let length = usize::try_from(reader.int32()?.max(0)).ok()?;
    let mut records = Reader(reader.take(length)?);
    let mut found = Vec::new();
    while records.0.len() > LOG_OVERHEAD {
        let base_offset = records.int64()?;
        let length = usize::try_from(records.int32()?).ok()?;
        let Some(batch) = records.take(length) else {
            break;
        };
        found.push(read_batch(base_offset, batch)?);
    }
    Some(Ok(found))
}

fn read_batch(base_offset: i64, batch: &[u8]) -> Option<StoredBatch> {
    let mut reader = Reader(batch);
    reader.take(4)?; // leader epoch
    if reader.take(1)? != [2] {
        return None;
    }
    reader.take(4)?; // checksum
    let attributes = reader.int16()?;
    reader.take(4 + 8 + 8)?; // last offset delta, timestamps
    let producer_id = reader.int64()?;
    reader.take(2 + 4)?; // producer epoch, base sequence
    Some(StoredBatch {
        base_offset,
        attributes,
        producer_id,
        records: reader.int32()?,
    })
}

fn request(address: &str, key: i16, version: i16, body: &[u8]) -> Outcome<Vec<u8>> {
    let mut socket = TcpStream::connect(address).context(|| format!("connecting to {address}"))?;
    socket
        .set_read_timeout(Some(PATIENCE))
        .context(|| "setting a time limit")?;
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(7_i32.to_be_bytes());
    frame.extend(text("probe"));
    frame.extend(body);
    let length = u32::try_from(frame.len()).context(|| "a request beyond 4 GiB")?;
    socket
        .write_all(&[&length.to_be_bytes()[..], &frame].concat())
        .context(|| "sending")?;
    let mut head = [0; 8];
    socket
        .read_exact(&mut head)
        .context(|| "reading an answer's head")?;
    let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let rest = usize::try_from(length - 4).context(|| "an answer of negative length")?;
    let mut answer = vec![0; rest];
    socket
        .read_exact(&mut answer)
        .context(|| "reading an answer")?;
    Ok(answer)
}

fn text(value: &str) -> Vec<u8> {
    let length = i16::try_from(value.len()).unwrap_or(i16::MAX);
    [&length.to_be_bytes()[..], value.as_bytes()].concat()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take(2)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Option<i32> {
        self.take(4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes)
    }

    fn int64(&mut self) -> Option<i64> {
        self.take(8)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i64::from_be_bytes)
    }
}
