//! Small files replaced whole, so that a crash leaves the old or the new: blocking calls for a
//! helper thread.
//!
//! Deliberately absent: large files (they are written in place, `File::write_at`).

use std::fs::{File, rename};
use std::io::{Error, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::temporary_path;

/// Up to so many files are flushed one by one; more go with everything else on the file system.
const ONE_BY_ONE_MAX: usize = 4;

/// Replaces one.
pub(super) fn replace(place: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = temporary_path(place);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&temporary, place)?;
    let dir = place.parent().ok_or(ErrorKind::InvalidInput)?;
    File::open(dir)?.sync_all()
}

/// Replaces many below `root`: two flushes for all of them.
pub(super) fn replace_all(root: &Path, files: &[(PathBuf, Vec<u8>)]) -> Result<(), Error> {
    if files.len() <= ONE_BY_ONE_MAX {
        return files
            .iter()
            .try_for_each(|(path, bytes)| replace(&root.join(path), bytes));
    }
    let flush = || Ok::<(), Error>(rustix::fs::syncfs(File::open(root)?)?);
    for (path, bytes) in files {
        File::create(temporary_path(&root.join(path)))?.write_all(bytes)?;
    }
    flush()?;
    for (path, _) in files {
        let place = root.join(path);
        rename(temporary_path(&place), place)?;
    }
    flush()
}
