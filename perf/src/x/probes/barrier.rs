//! Many files made durable at once: what ends a round of moves.
//!
//! Each file gets one block that grows it, as segments do; then all of them have to be durable.
//! A file by itself costs a commit of the file system each; a syncfs costs one, and whatever else
//! is dirty there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use rustix::fs::syncfs;
use thalweg_storage::disk::BLOCK_BYTES;

use super::table::Table;
use super::times::Times;
use super::{Effort, joined};
use crate::x::{Context, Outcome};

const COLUMNS: &[&str] = &["files that grew by a block", "p50 us", "max us"];
const FILES: [usize; 4] = [1, 8, 64, 512];
const THREADS: usize = 8;

#[derive(Clone, Copy, Debug)]
enum Means {
    OneByOne,
    SideBySide,
    FileSystem,
}

pub(super) fn ask(dir: &Path, effort: Effort) -> Outcome<Table> {
    let mut table = Table::new("Barriers", COLUMNS);
    for files in FILES {
        for (means, words) in [
            (Means::OneByOne, "fdatasync, one after the other"),
            (Means::SideBySide, "fdatasync by 8 threads"),
            (Means::FileSystem, "syncfs"),
        ] {
            let times = measure(dir, files, means, effort.barriers)?;
            table.row(format!("{files}: {words}"), [times.us(0.5), times.us(1.0)]);
        }
    }
    Ok(table)
}

fn measure(dir: &Path, count: usize, means: Means, repeats: usize) -> Outcome<Times> {
    let path = |number: usize| dir.join(format!("barrier-{number}"));
    let files: Vec<File> = (0..count)
        .map(|number| File::create(path(number)).context(|| "making a file"))
        .collect::<Outcome<_>>()?;
    sync(&files, Means::FileSystem)?;
    let mut times = Times::default();
    for turn in 0..repeats {
        for file in &files {
            file.write_all_at(&[1; BLOCK_BYTES], (turn * BLOCK_BYTES) as u64)
                .context(|| "growing a file")?;
        }
        times.of(|| sync(&files, means))?;
    }
    for number in 0..count {
        std::fs::remove_file(path(number)).context(|| "removing a file")?;
    }
    Ok(times)
}

fn sync(files: &[File], means: Means) -> Outcome<()> {
    let one_by_one =
        |files: &[File]| -> std::io::Result<()> { files.iter().try_for_each(File::sync_data) };
    let done = match (means, files.first()) {
        (Means::OneByOne, _) => one_by_one(files),
        (Means::FileSystem, Some(file)) => syncfs(file).map_err(std::io::Error::from),
        (Means::FileSystem, None) => Ok(()),
        (Means::SideBySide, _) => {
            let share = files.len().div_ceil(THREADS).max(1);
            return thread::scope(|scope| {
                let threads: Vec<_> = files
                    .chunks(share)
                    .map(|files| scope.spawn(move || one_by_one(files)))
                    .collect();
                threads
                    .into_iter()
                    .try_for_each(|thread| joined(thread.join()))
            });
        }
    };
    done.context(|| "flushing")
}
