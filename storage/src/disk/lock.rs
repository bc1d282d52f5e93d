//! One process per data directory: an exclusive flock on `lock` in it.
//!
//! The kernel lets go of it when the process ends, however it ends; the file stays.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{DiskError, DiskResult};

/// The file's name in the data directory.
pub const LOCK_NAME: &str = "lock";

/// Held for as long as it lives.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Makes the directory if need be and locks it. `WouldBlock` means that another process has it.
    pub fn acquire(root: &Path) -> DiskResult<Self> {
        let told = |cause| DiskError::new("lock", Path::new(LOCK_NAME), cause);
        std::fs::create_dir_all(root).map_err(told)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join(LOCK_NAME))
            .map_err(told)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| told(errno.into()))?;
        Ok(Self { _file: file })
    }
}
