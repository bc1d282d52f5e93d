//! What the machine can do without any server: an echo over loopback, a durable write of a block.
//! Ratios to these say more on shared machines than any time does.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use thalweg_bench::load::Latencies;

use crate::x::{Context, Failure, Outcome};

const ROUNDS: usize = 500;
const MESSAGE_BYTES: usize = 1024;
const BLOCK_BYTES: usize = 4096;

/// Medians and tails in us.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    pub echo_p50_us: f64,
    pub echo_p99_us: f64,
    pub durable_write_p50_us: f64,
    pub durable_write_p99_us: f64,
}

pub(super) fn measure(dir: &Path) -> Outcome<Limits> {
    let (echo, write) = (
        echo().context(|| "an echo over loopback")?,
        durable_write(dir)?,
    );
    Ok(Limits {
        echo_p50_us: echo.quantile_us(0.5),
        echo_p99_us: echo.quantile_us(0.99),
        durable_write_p50_us: write.quantile_us(0.5),
        durable_write_p99_us: write.quantile_us(0.99),
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
        latencies.record(started.elapsed().as_nanos() as u64);
    }
    drop(socket);
    match server.join() {
        Ok(result) => result.map(|()| latencies),
        Err(_) => Err(std::io::Error::other("the echo server panicked")),
    }
}

/// Overwrites one block that has its extent: a write and a flush, no file system work.
fn durable_write(dir: &Path) -> Outcome<Latencies> {
    let path = dir.join("durable-write");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)
        .context(|| format!("opening {}", path.display()))?;
    let block = [1; BLOCK_BYTES];
    let mut latencies = Latencies::default();
    for round in 0..=ROUNDS {
        let started = Instant::now();
        file.seek(SeekFrom::Start(0)).context(|| "seeking")?;
        file.write_all(&block).context(|| "writing")?;
        file.sync_data().context(|| "flushing")?;
        // The first one makes the extent.
        if round > 0 {
            latencies.record(started.elapsed().as_nanos() as u64);
        }
    }
    std::fs::remove_file(&path).context(|| "removing the file")?;
    match latencies.count() {
        0 => Err(Failure::new("no write was measured")),
        _ => Ok(latencies),
    }
}
