//! Small writes side by side: how many a second, and how long one takes, at several depths.
//!
//! One journal round is in flight at a time: what a second one could win is the difference of the
//! first two rows, and what moves beside it cost is below.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use thalweg_storage::disk::BLOCK_BYTES;

use super::flush::{aligned, open_direct};
use super::table::Table;
use super::times::Times;
use super::{Effort, joined};
use crate::x::{Context, Failure, Outcome};

const COLUMNS: &[&str] = &["4 KiB into written extents", "writes/s", "p50 us", "p99 us"];
const DEPTHS: [usize; 5] = [1, 2, 8, 32, 128];
const FILE_BYTES: usize = 16 << 20;

pub(super) fn ask(dir: &Path, effort: Effort) -> Outcome<Table> {
    let path = dir.join("depth");
    std::fs::write(&path, vec![0; FILE_BYTES]).context(|| format!("making {}", path.display()))?;
    let mut table = Table::new("Small writes side by side", COLUMNS);
    for (flushes, words) in [(false, "written"), (true, "written and flushed, each")] {
        for depth in DEPTHS {
            let (times, seconds) = measure(&path, depth, effort.writes, flushes)?;
            let rate = times.len() as f64 / seconds;
            let name = format!("{words}, {depth} at once");
            table.row(name, [rate, times.us(0.5), times.us(0.99)]);
        }
    }
    Ok(table)
}

/// As many threads as writes at once: each waits for its own.
fn measure(path: &Path, depth: usize, writes: usize, flushes: bool) -> Outcome<(Times, f64)> {
    let begun = Instant::now();
    let each = writes.div_ceil(depth);
    let work = |number: usize| -> std::io::Result<Times> {
        let file = open_direct(path)?;
        let mut buffer = Vec::new();
        let block = aligned(&mut buffer, BLOCK_BYTES);
        let mut times = Times::default();
        for turn in 0..each {
            let at = (turn * depth + number) % (FILE_BYTES / BLOCK_BYTES);
            times.of(|| {
                file.write_all_at(block, (at * BLOCK_BYTES) as u64)?;
                if flushes { file.sync_data() } else { Ok(()) }
            })?;
        }
        Ok(times)
    };
    let mut all = Times::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..depth)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        for thread in threads {
            all.extend(joined(thread.join())?);
        }
        Ok::<(), Failure>(())
    })?;
    Ok((all, begun.elapsed().as_secs_f64()))
}
