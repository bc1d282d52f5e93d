//! What the file system and the device under the data directory can do, found out at start-up in
//! some milliseconds on a file of its own.
//!
//! Two questions: does it take direct I/O in blocks of [`BLOCK_BYTES`], and is a small durable write
//! quicker with RWF_DSYNC or with a linked fdatasync? With FUA the first is one device trip and
//! wins clearly. Without, both are a write and a flush, and an idle machine shows little
//! difference; but RWF_DSYNC ends in a kernel worker bound to one core, which waits behind whatever
//! keeps that core busy. Measured with both cores busy, 2,000 writes of 4 KiB, p50: linked 107 us,
//! RWF_DSYNC 3.5 to 4 ms. So RWF_DSYNC must be better by far to be chosen. glommio's first-open fault needs no probe: its direct files are not
//! used.
//!
//! Deliberately absent: throughput, and everything that a measurement of a few milliseconds on a
//! busy machine cannot tell.

use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ring::{Durable, Ring, block_on};
use super::{BLOCK_BYTES, DiskError, DiskResult, Memory};

/// The probe's file, in the data directory; removed at its end.
const PROBE_NAME: &str = ".probe";
/// Durable writes of each kind; their median counts.
const WRITES: usize = 7;
/// RWF_DSYNC is chosen below this share (in percent) of the linked flush's time: see the head.
const FLAG_PERCENT_MAX: u32 = 60;
/// A slow disk must not hold up the start: after this long the better one so far is taken.
const PROBE_TIME_MAX: Duration = Duration::from_millis(100);

/// How a single durable write is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteThrough {
    /// RWF_DSYNC on the write.
    Flag,
    /// The write, and an fdatasync linked behind it.
    LinkedSync,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Direct I/O works. Without it (some network and memory file systems) writes are buffered.
    pub is_direct: bool,
    /// The better kind of durable write.
    pub write_through: WriteThrough,
    /// Its time for one block, the median of a few.
    pub write_time: Duration,
}

impl Probe {
    /// Looks at the file system of `root`, which must exist. Blocks; meant for before the executors.
    pub fn run(root: &Path) -> DiskResult<Self> {
        let path = root.join(PROBE_NAME);
        let told = |cause| DiskError::new("probe", Path::new(PROBE_NAME), cause);
        let (file, is_direct) = create(&path).map_err(told)?;
        let measured = measure(&file).map_err(told);
        std::fs::remove_file(&path).map_err(told)?;
        let (write_through, write_time) = measured?;
        Ok(Self {
            is_direct,
            write_through,
            write_time,
        })
    }
}

fn create(path: &Path) -> Result<(Arc<OwnedFd>, bool), Error> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).read(true).write(true);
    let direct = options.custom_flags(libc::O_DIRECT).open(path);
    match direct {
        Ok(file) => Ok((Arc::new(file.into()), true)),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            let file = options.custom_flags(0).open(path)?;
            Ok((Arc::new(file.into()), false))
        }
        Err(error) => Err(error),
    }
}

fn measure(file: &Arc<OwnedFd>) -> Result<(WriteThrough, Duration), Error> {
    let ring = Ring::new()?;
    let begun = Instant::now();
    // The first write allocates; only overwriting is what the journal does.
    timed_write(&ring, file, Durable::LinkedSync)?;
    let (mut flag, mut linked) = (Vec::new(), Vec::new());
    for _ in 0..WRITES {
        flag.push(timed_write(&ring, file, Durable::Flag)?);
        linked.push(timed_write(&ring, file, Durable::LinkedSync)?);
        if begun.elapsed() > PROBE_TIME_MAX {
            break;
        }
    }
    Ok(choose(median(flag), median(linked)))
}

fn choose(flag: Duration, linked: Duration) -> (WriteThrough, Duration) {
    if flag * 100 < linked * FLAG_PERCENT_MAX {
        (WriteThrough::Flag, flag)
    } else {
        (WriteThrough::LinkedSync, linked)
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn timed_write(ring: &Ring, file: &Arc<OwnedFd>, durable: Durable) -> Result<Duration, Error> {
    let mut block = Memory::new(BLOCK_BYTES);
    block.append_zeros(BLOCK_BYTES);
    let begun = Instant::now();
    let written = block_on(ring, ring.write(file, 0, vec![block.freeze()], durable)).bytes()?;
    if written != BLOCK_BYTES {
        return Err(Error::new(
            ErrorKind::WriteZero,
            format!("short write: {written} bytes"),
        ));
    }
    Ok(begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_must_win_clearly() {
        let chosen =
            |flag, linked| choose(Duration::from_micros(flag), Duration::from_micros(linked)).0;
        assert_eq!(chosen(140, 170), WriteThrough::LinkedSync);
        assert_eq!(chosen(4000, 107), WriteThrough::LinkedSync);
        assert_eq!(chosen(30, 100), WriteThrough::Flag);
    }
}
