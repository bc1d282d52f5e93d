//! A blocking Kafka client of the few requests that the audited load needs, in old versions whose
//! bodies are written by hand. One connection, one request under way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::x::{Context, Failure, Outcome};

const PATIENCE: Duration = Duration::from_secs(20);
const FETCH_BYTES: i32 = 8 << 20;
const TIMEOUT_MS: i32 = 20_000;

/// A connection.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
}

/// What a fetch of one partition says.
#[derive(Debug, Default)]
pub struct Fetched {
    pub code: i16,
    pub high_watermark: i64,
    pub last_stable: i64,
    /// Producer id and first offset of each aborted transaction.
    pub aborted: Vec<(i64, i64)>,
    pub records: Vec<u8>,
}

impl Client {
    pub fn connect(address: &str) -> Outcome<Self> {
        let socket = TcpStream::connect(address).context(|| format!("connecting to {address}"))?;
        socket
            .set_read_timeout(Some(PATIENCE))
            .context(|| "setting a time limit")?;
        socket.set_nodelay(true).context(|| "setting no delay")?;
        Ok(Self { socket })
    }

    /// Produces one batch to each partition named; code and base offset of each, in that order.
    pub fn produce(
        &mut self,
        txn: Option<&str>,
        batches: &[(&str, i32, &[u8])],
    ) -> Outcome<Vec<(i16, i64)>> {
        let mut body = nullable(txn);
        body.extend((-1_i16).to_be_bytes());
        body.extend(TIMEOUT_MS.to_be_bytes());
        body.extend(count(batches.len()));
        for (topic, partition, bytes) in batches {
            body.extend(text(topic));
            body.extend(1_i32.to_be_bytes());
            body.extend(partition.to_be_bytes());
            body.extend(count(bytes.len()));
            body.extend(*bytes);
        }
        let answer = self.request((0, 3), &body)?;
        let mut reader = Reader(&answer);
        let mut found = Vec::new();
        for _ in 0..reader.int32()? {
            reader.text()?;
            for _ in 0..reader.int32()? {
                reader.int32()?;
                let code = reader.int16()?;
                let base = reader.int64()?;
                reader.int64()?;
                found.push((code, base));
            }
        }
        Ok(found)
    }

    /// Fetches from one partition without waiting.
    pub fn fetch(
        &mut self,
        (topic, partition): (&str, i32),
        offset: i64,
        committed: bool,
    ) -> Outcome<Fetched> {
        let mut body = Vec::new();
        for word in [-1, 0, 1, FETCH_BYTES] {
            body.extend(i32::to_be_bytes(word));
        }
        body.push(u8::from(committed));
        body.extend(1_i32.to_be_bytes());
        body.extend(text(topic));
        body.extend(1_i32.to_be_bytes());
        body.extend(partition.to_be_bytes());
        body.extend(offset.to_be_bytes());
        body.extend(FETCH_BYTES.to_be_bytes());
        let answer = self.request((1, 4), &body)?;
        let mut reader = Reader(&answer);
        reader.int32()?;
        reader.int32()?;
        reader.text()?;
        reader.int32()?;
        reader.int32()?;
        let mut fetched = Fetched {
            code: reader.int16()?,
            high_watermark: reader.int64()?,
            last_stable: reader.int64()?,
            ..Fetched::default()
        };
        for _ in 0..reader.int32()? {
            fetched.aborted.push((reader.int64()?, reader.int64()?));
        }
        let bytes = usize::try_from(reader.int32()?.max(0)).unwrap_or(0);
        fetched.records = reader.take(bytes)?.to_vec();
        Ok(fetched)
    }

    /// The log's start (-2) or end (-1).
    pub fn list_offset(&mut self, (topic, partition): (&str, i32), at: i64) -> Outcome<(i16, i64)> {
        let mut body = (-1_i32).to_be_bytes().to_vec();
        body.extend(1_i32.to_be_bytes());
        body.extend(text(topic));
        body.extend(1_i32.to_be_bytes());
        body.extend(partition.to_be_bytes());
        body.extend(at.to_be_bytes());
        let answer = self.request((2, 1), &body)?;
        let mut reader = Reader(&answer);
        reader.int32()?;
        reader.text()?;
        reader.take(8)?;
        let code = reader.int16()?;
        reader.int64()?;
        Ok((code, reader.int64()?))
    }

    /// Producer id and epoch.
    pub fn init_producer(&mut self, txn: Option<&str>) -> Outcome<(i64, i16)> {
        let mut body = nullable(txn);
        body.extend(60_000_i32.to_be_bytes());
        for _ in 0..200 {
            let answer = self.request((22, 0), &body)?;
            let mut reader = Reader(&answer);
            reader.int32()?;
            match reader.int16()? {
                0 => return Ok((reader.int64()?, reader.int16()?)),
                // The coordinator loads or moves, or the transaction before is still ending.
                14..=16 | 51 => std::thread::sleep(Duration::from_millis(50)),
                code => return Err(Failure::new(format!("InitProducerId: code {code}"))),
            }
        }
        Err(Failure::new("InitProducerId: no coordinator"))
    }

    /// Makes the topic of coordinators, if it is not there.
    pub fn find_coordinator(&mut self, txn: &str) -> Outcome<()> {
        let body = [text(txn), vec![1]].concat();
        for _ in 0..200 {
            let answer = self.request((10, 1), &body)?;
            let mut reader = Reader(&answer);
            reader.int32()?;
            if reader.int16()? == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Failure::new("FindCoordinator: none"))
    }

    pub fn add_partitions(
        &mut self,
        txn: (&str, i64, i16),
        (topic, partitions): (&str, &[i32]),
    ) -> Outcome<i16> {
        let mut body = transaction(txn);
        body.extend(1_i32.to_be_bytes());
        body.extend(text(topic));
        body.extend(count(partitions.len()));
        body.extend(partitions.iter().flat_map(|one| one.to_be_bytes()));
        let answer = self.request((24, 0), &body)?;
        let mut reader = Reader(&answer);
        reader.int32()?;
        reader.int32()?;
        reader.text()?;
        let mut worst = 0;
        for _ in 0..reader.int32()? {
            reader.int32()?;
            let code = reader.int16()?;
            if code != 0 {
                worst = code;
            }
        }
        Ok(worst)
    }

    pub fn end_transaction(&mut self, txn: (&str, i64, i16), commit: bool) -> Outcome<i16> {
        let mut body = transaction(txn);
        body.push(u8::from(commit));
        let answer = self.request((26, 0), &body)?;
        let mut reader = Reader(&answer);
        reader.int32()?;
        reader.int16()
    }

    pub fn create(
        &mut self,
        (topic, partitions): (&str, i32),
        configs: &[(&str, &str)],
    ) -> Outcome<i16> {
        let mut body = 1_i32.to_be_bytes().to_vec();
        body.extend(text(topic));
        body.extend(partitions.to_be_bytes());
        body.extend(1_i16.to_be_bytes());
        body.extend(0_i32.to_be_bytes());
        body.extend(count(configs.len()));
        for (name, value) in configs {
            body.extend(text(name));
            body.extend(text(value));
        }
        body.extend(TIMEOUT_MS.to_be_bytes());
        body.push(0);
        let answer = self.request((19, 2), &body)?;
        let mut reader = Reader(&answer);
        reader.int32()?;
        reader.int32()?;
        reader.text()?;
        reader.int16()
    }

    pub fn delete(&mut self, topic: &str) -> Outcome<i16> {
        let mut body = 1_i32.to_be_bytes().to_vec();
        body.extend(text(topic));
        body.extend(TIMEOUT_MS.to_be_bytes());
        let answer = self.request((20, 1), &body)?;
        let mut reader = Reader(&answer);
        reader.int32()?;
        reader.int32()?;
        reader.text()?;
        reader.int16()
    }

    /// Code and the new start of the log.
    pub fn delete_records(
        &mut self,
        (topic, partition): (&str, i32),
        before: i64,
    ) -> Outcome<(i16, i64)> {
        let mut body = 1_i32.to_be_bytes().to_vec();
        body.extend(text(topic));
        body.extend(1_i32.to_be_bytes());
        body.extend(partition.to_be_bytes());
        body.extend(before.to_be_bytes());
        body.extend(TIMEOUT_MS.to_be_bytes());
        let answer = self.request((21, 0), &body)?;
        let mut reader = Reader(&answer);
        reader.int32()?;
        reader.int32()?;
        reader.text()?;
        reader.int32()?;
        reader.int32()?;
        let start = reader.int64()?;
        Ok((reader.int16()?, start))
    }

    fn request(&mut self, (key, version): (i16, i16), body: &[u8]) -> Outcome<Vec<u8>> {
        let mut frame = Vec::with_capacity(body.len() + 32);
        frame.extend([0; 4]);
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(1_i32.to_be_bytes());
        frame.extend(text("audit"));
        frame.extend(body);
        let length = count(frame.len() - 4);
        frame[..4].copy_from_slice(&length);
        let what = || format!("request {key} version {version}");
        self.socket.write_all(&frame).context(what)?;
        let mut head = [0; 8];
        self.socket.read_exact(&mut head).context(what)?;
        let length = i32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let rest = usize::try_from(length - 4).context(what)?;
        let mut answer = vec![0; rest];
        self.socket.read_exact(&mut answer).context(what)?;
        Ok(answer)
    }
}

fn transaction((name, id, epoch): (&str, i64, i16)) -> Vec<u8> {
    let mut body = text(name);
    body.extend(id.to_be_bytes());
    body.extend(epoch.to_be_bytes());
    body
}

fn count(items: usize) -> [u8; 4] {
    i32::try_from(items).unwrap_or(i32::MAX).to_be_bytes()
}

fn text(value: &str) -> Vec<u8> {
    let length = i16::try_from(value.len()).unwrap_or(i16::MAX);
    [&length.to_be_bytes()[..], value.as_bytes()].concat()
}

fn nullable(value: Option<&str>) -> Vec<u8> {
    value.map_or_else(|| (-1_i16).to_be_bytes().to_vec(), text)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let short = || "an answer that ends too early";
        let (taken, rest) = self.0.split_at_checked(count).context(short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        self.take(N)?.try_into().context(|| "a field")
    }

    fn int16(&mut self) -> Outcome<i16> {
        self.array().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Outcome<i32> {
        self.array().map(i32::from_be_bytes)
    }

    fn int64(&mut self) -> Outcome<i64> {
        self.array().map(i64::from_be_bytes)
    }

    fn text(&mut self) -> Outcome<()> {
        let length = usize::try_from(self.int16()?.max(0)).unwrap_or(0);
        self.take(length).map(drop)
    }
}
