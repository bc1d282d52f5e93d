//! One durable write of a block after the other: what does it cost in extents that a file has, that
//! it reserved, and that it lacks; and which way of flushing is the cheapest?
//!
//! The journal's answer: zeroed files of a fixed size, so that a durable write is data and nothing
//! of the file system's.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::{ReadWriteFlags, pwritev2};
use thalweg_storage::disk::probe::{Probe, WriteThrough};
use thalweg_storage::disk::ring::block_on;
use thalweg_storage::disk::uring::UringDisk;
use thalweg_storage::disk::{BLOCK_BYTES, Disk, File as _, Memory, OpenMode};

use super::Effort;
use super::table::Table;
use super::times::Times;
use crate::x::{Context, Outcome};

const COLUMNS: &[&str] = &["write and flush of 4 KiB", "p50 us", "p99 us", "max us"];

/// What is under the block before it is written.
#[derive(Clone, Copy, Debug)]
enum Extents {
    Written,
    Unwritten,
    None,
}

/// How it becomes durable.
#[derive(Clone, Copy, Debug)]
enum Means {
    Fdatasync,
    Dsync,
    RingFlag,
    RingLinked,
}

pub(super) fn ask(dir: &Path, effort: Effort) -> Outcome<Table> {
    let mut table = Table::new("One durable write at a time", COLUMNS);
    for (extents, words) in [
        (Extents::Written, "written extents"),
        (Extents::Unwritten, "reserved, unwritten extents"),
        (Extents::None, "a file that grows"),
    ] {
        for (means, how) in [
            (Means::Fdatasync, "pwrite, fdatasync"),
            (Means::Dsync, "pwritev2 with RWF_DSYNC"),
            (Means::RingLinked, "the node's ring, linked fdatasync"),
            (Means::RingFlag, "the node's ring, RWF_DSYNC"),
        ] {
            let times = measure(dir, effort.writes, extents, means);
            let times = times.context(|| format!("{words}, {how}"))?;
            let values = [0.5, 0.99, 1.0].map(|quantile| times.us(quantile));
            table.row(format!("{words}: {how}"), values);
        }
    }
    Ok(table)
}

fn measure(dir: &Path, writes: usize, extents: Extents, means: Means) -> Outcome<Times> {
    let path = dir.join("flush");
    prepare(&path, (writes * BLOCK_BYTES) as u64, extents)?;
    let times = match means {
        Means::Fdatasync | Means::Dsync => by_calls(&path, writes, means),
        Means::RingFlag => by_ring(dir, writes, WriteThrough::Flag),
        Means::RingLinked => by_ring(dir, writes, WriteThrough::LinkedSync),
    };
    std::fs::remove_file(&path).context(|| "removing a file")?;
    times
}

fn prepare(path: &Path, bytes: u64, extents: Extents) -> Outcome<()> {
    let file = File::create(path).context(|| format!("making {}", path.display()))?;
    let told = || format!("preparing {}", path.display());
    match extents {
        Extents::Written => file
            .write_all_at(&vec![0; bytes as usize], 0)
            .context(told)?,
        Extents::Unwritten => {
            fallocate(&file, FallocateFlags::empty(), 0, bytes).context(told)?;
        }
        Extents::None => {}
    }
    file.sync_all().context(told)
}

/// Opened as the node opens its files, where the file system takes direct I/O.
pub(super) fn open_direct(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let direct = options
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path);
    direct.or_else(|_| options.custom_flags(0).open(path))
}

/// A block on a block's address, within a buffer.
pub(super) fn aligned(buffer: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    buffer.resize(bytes + BLOCK_BYTES, 1);
    let skip = buffer.as_ptr().align_offset(BLOCK_BYTES);
    buffer.get_mut(skip..skip + bytes).unwrap_or_default()
}

fn by_calls(path: &Path, writes: usize, means: Means) -> Outcome<Times> {
    let file = open_direct(path).context(|| "opening a file")?;
    let mut buffer = Vec::new();
    let block = aligned(&mut buffer, BLOCK_BYTES);
    let mut times = Times::default();
    for at in 0..writes {
        let position = (at * BLOCK_BYTES) as u64;
        let written = times.of(|| match means {
            Means::Dsync => {
                let parts = [std::io::IoSlice::new(block)];
                let flags = ReadWriteFlags::DSYNC;
                pwritev2(&file, &parts, position, flags)
                    .map(drop)
                    .map_err(std::io::Error::from)
            }
            _ => file
                .write_all_at(block, position)
                .and_then(|()| file.sync_data()),
        });
        written.context(|| "a durable write")?;
    }
    Ok(times)
}

fn by_ring(dir: &Path, writes: usize, write_through: WriteThrough) -> Outcome<Times> {
    let probe = Probe {
        is_direct: true,
        write_through,
        write_time: Duration::ZERO,
    };
    let probe = Probe {
        is_direct: Probe::run(dir).context(|| "probing")?.is_direct,
        ..probe
    };
    let disk = UringDisk::open(dir, probe, &[]).context(|| "opening the node's ring")?;
    let file = block_on(disk.ring(), disk.open(Path::new("flush"), OpenMode::Write));
    let file = file.context(|| "opening a file")?;
    let mut times = Times::default();
    for at in 0..writes {
        let mut block = Memory::new(BLOCK_BYTES);
        block.append_zeros(BLOCK_BYTES);
        let block = block.freeze();
        let position = (at * BLOCK_BYTES) as u64;
        let write = || block_on(disk.ring(), file.write_at(position, vec![block], true));
        times.of(write).context(|| "a durable write")?;
    }
    Ok(times)
}
