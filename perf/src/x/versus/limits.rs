//! What the machine can do without any server: an echo over loopback, a block written and flushed,
//! bytes through the device and through loopback. Ratios to these say more on shared machines than
//! any time does.
//!
//! All of it takes a few seconds. Writes go past the page cache; buffers and offsets are aligned.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::metric::{thousands, time};
use super::rows::Bound;
use super::subject::Durability;
use crate::x::{Context, Outcome};

const ROUNDS: usize = 500;
const MESSAGE_BYTES: usize = 1024;
const BLOCK_BYTES: usize = 4096;
const LARGE_BYTES: usize = 1 << 20;
/// Large enough to outrun caches of a virtual disk's host for a moment, small enough for a second.
const DEVICE_BYTES: usize = 1 << 30;
const LOOPBACK_TIME: Duration = Duration::from_secs(1);

/// Medians and tails in us, bandwidths in MB/s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) echo_p50_us: f64,
    pub(super) echo_p99_us: f64,
    pub(super) direct_write_p50_us: f64,
    pub(super) direct_write_p99_us: f64,
    pub(super) durable_write_p50_us: f64,
    pub(super) durable_write_p99_us: f64,
    pub(super) device_write_mb_per_second: f64,
    pub(super) device_read_mb_per_second: f64,
    pub(super) loopback_mb_per_second: f64,
}

impl Limits {
    /// What a row cannot beat, in words.
    pub(super) fn tell(&self, bound: Bound, durability: Durability) -> String {
        let bandwidth = |value: f64| format!("{} MB/s", thousands(value));
        match bound {
            Bound::EchoAndWrite => time(
                self.echo_p50_us
                    + match durability {
                        Durability::Flush => self.durable_write_p50_us,
                        Durability::Write => self.direct_write_p50_us,
                    },
            ),
            Bound::Loopback => bandwidth(self.loopback_mb_per_second),
            Bound::DeviceWrite => bandwidth(self.device_write_mb_per_second),
            Bound::DeviceRead => bandwidth(self.device_read_mb_per_second),
            Bound::None => "-".to_owned(),
        }
    }
}

pub(super) fn measure(dir: &Path) -> Outcome<Limits> {
    let echo = echo().context(|| "an echo over loopback")?;
    let loopback = loopback().context(|| "bytes through loopback")?;
    let path = dir.join("limits");
    let disk = disk(&path);
    drop(std::fs::remove_file(&path));
    let disk = disk.context(|| format!("measuring the device with {}", path.display()))?;
    Ok(Limits {
        echo_p50_us: echo.quantile_us(0.5),
        echo_p99_us: echo.quantile_us(0.99),
        direct_write_p50_us: disk.direct.quantile_us(0.5),
        direct_write_p99_us: disk.direct.quantile_us(0.99),
        durable_write_p50_us: disk.durable.quantile_us(0.5),
        durable_write_p99_us: disk.durable.quantile_us(0.99),
        device_write_mb_per_second: disk.write,
        device_read_mb_per_second: disk.read,
        loopback_mb_per_second: loopback,
    })
}

fn echo() -> std::io::Result<Latencies> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let mut message = [0; MESSAGE_BYTES];
        while socket.read_exact(&mut message).is_ok() {
            socket.write_all(&message)?;
        }
        Ok(())
    });
    let mut latencies = Latencies::default();
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut message = [7; MESSAGE_BYTES];
    for _ in 0..ROUNDS {
        let started = Instant::now();
        socket.write_all(&message)?;
        socket.read_exact(&mut message)?;
        latencies.record(started);
    }
    drop(socket);
    match server.join() {
        Ok(result) => result.map(|()| latencies),
        Err(_) => Err(std::io::Error::other("the echo server panicked")),
    }
}

/// One thread sends, one receives, 256 KiB a call.
fn loopback() -> std::io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        let bytes = vec![1; 1 << 18];
        let started = Instant::now();
        while started.elapsed() < LOOPBACK_TIME {
            socket.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut socket = TcpStream::connect(address)?;
    let mut buffer = vec![0; 1 << 18];
    let (started, mut total) = (Instant::now(), 0_usize);
    loop {
        match socket.read(&mut buffer)? {
            0 => break,
            count => total += count,
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    match sender.join() {
        Ok(result) => result.map(|()| total as f64 / 1e6 / seconds),
        Err(_) => Err(std::io::Error::other("the sender panicked")),
    }
}

/// Nanoseconds, all of them: there are a few hundred.
#[derive(Debug, Default)]
struct Latencies(Vec<u64>);

impl Latencies {
    fn record(&mut self, started: Instant) {
        self.0.push(started.elapsed().as_nanos() as u64);
    }

    fn quantile_us(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * quantile) as usize;
        let value = sorted.get(at).or(sorted.last());
        value.map_or(f64::NAN, |ns| *ns as f64 / 1000.0)
    }
}

struct Disk {
    direct: Latencies,
    durable: Latencies,
    write: f64,
    read: f64,
}

/// Writes the file once, then overwrites it: extents are there, no file system work is measured.
fn disk(path: &Path) -> std::io::Result<Disk> {
    let mut buffer = vec![1_u8; LARGE_BYTES + BLOCK_BYTES];
    let aligned = buffer.as_ptr().align_offset(BLOCK_BYTES);
    let buffer = buffer
        .get_mut(aligned..aligned + LARGE_BYTES)
        .ok_or_else(|| std::io::Error::other("no aligned buffer"))?;
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32)
        .open(path)?;
    for _ in 0..DEVICE_BYTES / LARGE_BYTES {
        file.write_all(buffer)?;
    }
    file.sync_all()?;
    let block = buffer.get(..BLOCK_BYTES).unwrap_or_default();
    let direct = blocks(&mut file, block, false)?;
    let durable = blocks(&mut file, block, true)?;
    file.seek(SeekFrom::Start(0))?;
    let started = Instant::now();
    for _ in 0..DEVICE_BYTES / LARGE_BYTES {
        file.write_all(buffer)?;
    }
    file.sync_data()?;
    let write = DEVICE_BYTES as f64 / 1e6 / started.elapsed().as_secs_f64();
    file.seek(SeekFrom::Start(0))?;
    let started = Instant::now();
    for _ in 0..DEVICE_BYTES / LARGE_BYTES {
        file.read_exact(buffer)?;
    }
    let read = DEVICE_BYTES as f64 / 1e6 / started.elapsed().as_secs_f64();
    Ok(Disk {
        direct,
        durable,
        write,
        read,
    })
}

fn blocks(file: &mut File, block: &[u8], flush: bool) -> std::io::Result<Latencies> {
    let mut latencies = Latencies::default();
    for round in 0..ROUNDS {
        let started = Instant::now();
        file.seek(SeekFrom::Start((round * BLOCK_BYTES) as u64))?;
        file.write_all(block)?;
        if flush {
            file.sync_data()?;
        }
        latencies.record(started);
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_measured() {
        let latencies = Latencies((1..=1000).rev().map(|us| us * 1000).collect());
        assert!((latencies.quantile_us(0.5) - 501.0).abs() < 1e-9);
        assert!((latencies.quantile_us(0.99) - 991.0).abs() < 1e-9);
        assert!(Latencies::default().quantile_us(0.5).is_nan());
    }
}
