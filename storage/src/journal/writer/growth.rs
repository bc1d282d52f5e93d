//! Growth of the journal's pool: on demand, beside the rounds, up to its limit.
//!
//! Demand is a round that began a file or found none, an admission that waits for room, and a
//! victim whose rest fits nowhere. A file is whole and flushed, its extents final, before the pool
//! knows of it. A try that fails leaves the pool as it is, and whoever waits is told.

use std::path::Path;

use super::{Journal, State};
use crate::disk::{Disk, DiskResult, File, IO_BYTES_MAX, Memory, OpenMode};
use crate::journal::pool::FileIndex;

impl<D: Disk> Journal<D> {
    pub(super) fn ask_growth(&self, state: &mut State<D>) {
        if self.may_grow(state) {
            state.grow_asked = true;
            self.grow.notify();
        }
    }

    fn may_grow(&self, state: &State<D>) -> bool {
        state.pool.bytes() + self.config.journal_file_bytes <= self.config.journal_bytes_max
    }

    /// Asks for another file, where the limit allows one.
    pub(crate) fn want_growth(&self) {
        self.ask_growth(&mut self.state.borrow_mut());
    }

    /// Adds files to the pool when asked, until the journal is closed or poisoned.
    pub(crate) async fn run_grow(&self) {
        while let Some(index) = self.next_growth().await {
            let path = self.dir.join(index.name());
            let made = zeroed_file(&self.disk, &path, self.config.journal_file_bytes).await;
            if let Err(error) = &made {
                // No reason for alarm: the pool stays as it is, and the next demand tries again.
                tracing::warn!(shard = self.config.shard.0, %error, "journal pool cannot grow");
                let _ = self.disk.remove(&path).await;
            }
            let mut state = self.state.borrow_mut();
            state.grow_tries += 1;
            if let Ok(file) = made {
                state.files.insert(index, file);
                state.pool.add(index);
            }
            drop(state);
            self.room.notify();
            self.work.notify();
        }
    }

    /// Asks for another file and waits for what comes of it; false if none may be added, or none
    /// could be.
    pub(crate) async fn grown(&self) -> bool {
        let (files, tries) = {
            let mut state = self.state.borrow_mut();
            self.ask_growth(&mut state);
            if !state.grow_asked {
                return false;
            }
            (state.pool.files(), state.grow_tries)
        };
        let ended = || {
            let state = self.state.borrow();
            let over = state.poison.is_some() || state.closing || state.grow_tries > tries;
            over.then(|| state.pool.files() > files)
        };
        self.room.until(ended).await
    }

    async fn next_growth(&self) -> Option<FileIndex> {
        self.grow
            .until(|| {
                let mut state = self.state.borrow_mut();
                if state.poison.is_some() || state.closing {
                    return Some(None);
                }
                if !std::mem::take(&mut state.grow_asked) {
                    return None;
                }
                if !self.may_grow(&state) {
                    // Asked while the last file that is allowed was made.
                    state.grow_tries += 1;
                    self.room.notify();
                    return None;
                }
                Some(Some(state.pool.next_index()))
            })
            .await
    }
}

/// Makes a journal file: its size and extents never change after this.
pub(crate) async fn zeroed_file<D: Disk>(disk: &D, path: &Path, bytes: u64) -> DiskResult<D::File> {
    let file = disk.open(path, OpenMode::Create).await?;
    file.allocate(bytes).await?;
    let step = IO_BYTES_MAX.min(usize::try_from(bytes).unwrap_or(IO_BYTES_MAX));
    let mut zeros = Memory::new(step);
    zeros.append_zeros(step);
    let zeros = zeros.freeze();
    let mut position = 0;
    while position < bytes {
        let count = zeros
            .len()
            .min(usize::try_from(bytes - position).unwrap_or(usize::MAX));
        file.write_at(position, vec![zeros.sub(0..count)], false)
            .await?;
        position += count as u64;
    }
    file.sync().await?;
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).await?;
    Ok(file)
}
