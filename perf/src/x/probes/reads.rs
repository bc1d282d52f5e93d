//! Old data to a consumer: hot and cold ranges, by sendfile, by direct reads, through the page
//! cache; and for how long one call holds the thread that makes it.
//!
//! The longest call is what every other partition of a shard waits for. sendfile of cold pages reads
//! them within the call: that is why a shard asks whether a range is in the page cache, and fills it
//! on the ring first.

use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::fs::{Advice, fadvise, sendfile};

use super::flush::{aligned, open_direct};
use super::table::Table;
use super::times::Times;
use super::{Effort, joined};
use crate::x::{Context, Failure, Outcome};

const COLUMNS: &[&str] = &["512 KiB a call", "MB/s", "longest call us", "p99 us"];
/// What the node sends or reads with one call at most.
const CALL_BYTES: usize = 512 << 10;

/// Whether the range is in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heat {
    Hot,
    Cold,
}

pub(super) fn ask(dir: &Path, effort: Effort) -> Outcome<Table> {
    let path = dir.join("reads");
    make(&path, effort.read_bytes)?;
    let mut table = Table::new("Reads of old data", COLUMNS);
    for (heat, words) in [(Heat::Hot, "in the page cache"), (Heat::Cold, "cold")] {
        for (how, read) in [
            ("sendfile to a socket", by_sendfile as Reader),
            ("read through the page cache", by_cache),
            ("direct read", by_direct),
        ] {
            settle(&path, heat)?;
            let begun = Instant::now();
            let times = read(&path, effort.read_bytes).context(|| format!("{words}, {how}"))?;
            let rate = effort.read_bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
            table.row(
                format!("{words}: {how}"),
                [rate, times.us(1.0), times.us(0.99)],
            );
        }
    }
    std::fs::remove_file(&path).context(|| "removing a file")?;
    Ok(table)
}

type Reader = fn(&Path, u64) -> Outcome<Times>;

fn make(path: &Path, bytes: u64) -> Outcome<()> {
    let file = File::create(path).context(|| format!("making {}", path.display()))?;
    let part = vec![7; CALL_BYTES];
    for position in (0..bytes).step_by(CALL_BYTES) {
        file.write_all_at(&part, position)
            .context(|| "filling a file")?;
    }
    file.sync_all().context(|| "flushing a file")
}

/// Sees that all of it is in the page cache, or nothing.
fn settle(path: &Path, heat: Heat) -> Outcome<()> {
    let told = || format!("opening {}", path.display());
    let mut file = File::open(path).context(told)?;
    fadvise(&file, 0, None, Advice::DontNeed).context(|| "dropping pages")?;
    if heat == Heat::Hot {
        std::io::copy(&mut file, &mut std::io::sink()).context(told)?;
    }
    Ok(())
}

fn by_sendfile(path: &Path, bytes: u64) -> Outcome<Times> {
    let listener = TcpListener::bind("127.0.0.1:0").context(|| "listening")?;
    let address = listener.local_addr().context(|| "listening")?;
    let taker = thread::spawn(move || -> std::io::Result<()> {
        let mut socket = listener.accept()?.0;
        let mut buffer = vec![0; CALL_BYTES];
        while socket.read(&mut buffer)? > 0 {}
        Ok(())
    });
    let socket = TcpStream::connect(address).context(|| "connecting")?;
    let file = File::open(path).context(|| "opening a file")?;
    fadvise(&file, 0, None, Advice::Random).context(|| "turning off read-ahead")?;
    let (mut times, mut offset) = (Times::default(), 0);
    while offset < bytes {
        let count = times.of(|| sendfile(&socket, &file, Some(&mut offset), CALL_BYTES));
        if count.context(|| "sendfile")? == 0 {
            return Err(Failure::new("sendfile ended early"));
        }
    }
    drop(socket);
    joined(taker.join())?;
    Ok(times)
}

fn by_cache(path: &Path, bytes: u64) -> Outcome<Times> {
    let file = File::open(path).context(|| "opening a file")?;
    fadvise(&file, 0, None, Advice::Random).context(|| "turning off read-ahead")?;
    each_part(&file, bytes)
}

fn by_direct(path: &Path, bytes: u64) -> Outcome<Times> {
    each_part(&open_direct(path).context(|| "opening a file")?, bytes)
}

fn each_part(file: &File, bytes: u64) -> Outcome<Times> {
    let mut buffer = Vec::new();
    let part = aligned(&mut buffer, CALL_BYTES);
    let mut times = Times::default();
    for position in (0..bytes).step_by(CALL_BYTES) {
        let read = times.of(|| file.read_exact_at(part, position));
        read.context(|| "reading")?;
    }
    Ok(times)
}
