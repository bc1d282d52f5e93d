//! A file of the seeded disk, and its writes between submission and answer.

use std::io::Error;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::MemoryDisk;
use super::fault::EIO;
use crate::disk::{
    Disk, DiskError, DiskResult, File, IO_BYTES_MAX, Slice, assert_long, assert_readable,
    assert_writable,
};

/// An open file of the seeded disk.
#[derive(Clone)]
pub struct MemoryFile {
    pub(super) disk: MemoryDisk,
    /// Index into the disk's files.
    pub(super) file: usize,
    pub(super) path: Rc<Path>,
    pub(super) is_writable: bool,
}

/// A write between submission and answer; dropped early, it lands all the same.
struct InFlight {
    disk: MemoryDisk,
    file: usize,
    id: Option<u64>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut core = self.disk.core.borrow_mut();
        if let Some(id) = self.id
            && core.generation == self.disk.generation
        {
            core.files[self.file].complete(id);
        }
    }
}

impl MemoryFile {
    fn told(&self, operation: &'static str, cause: Error) -> DiskError {
        DiskError::new(operation, &self.path, cause)
    }

    /// A write of any length, which the trait does not offer.
    pub(super) async fn write_any(
        &self,
        position: u64,
        bytes: Vec<u8>,
        durable: bool,
    ) -> DiskResult<()> {
        self.write(position, bytes, durable)
            .await
            .map_err(|cause| self.told("write", cause))
    }

    async fn write(&self, position: u64, bytes: Vec<u8>, durable: bool) -> Result<(), Error> {
        let mut in_flight = self.submit(position, bytes, durable)?;
        self.disk.turn(durable).await?;
        let id = in_flight.id.take().expect("set by submit");
        let mut core = self.disk.core.borrow_mut();
        if core.faults.write_fails() {
            core.files[self.file].fail(id);
            return Err(Error::from_raw_os_error(EIO));
        }
        core.files[self.file].complete(id);
        if durable {
            let covered = core.files[self.file].needed_by(id);
            if core.faults.flush_fails() {
                core.files[self.file].lose(&covered);
                return Err(Error::from_raw_os_error(EIO));
            }
            core.files[self.file].flush(&covered);
        }
        Ok(())
    }

    fn submit(&self, position: u64, bytes: Vec<u8>, durable: bool) -> Result<InFlight, Error> {
        let mut core = self.disk.core.borrow_mut();
        if core.generation != self.disk.generation {
            return Err(Error::from_raw_os_error(EIO));
        }
        if !self.is_writable {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let position = usize::try_from(position).map_err(Error::other)?;
        let pieces = bytes.len().div_ceil(IO_BYTES_MAX) as u64;
        core.counters.writes += pieces;
        core.counters.durable_writes += if durable { pieces } else { 0 };
        core.counters.write_bytes += bytes.len() as u64;
        core.check_room(self.file, position + bytes.len())?;
        let id = core.files[self.file].submit_write(position, bytes);
        Ok(InFlight {
            disk: self.disk.clone(),
            file: self.file,
            id: Some(id),
        })
    }

    async fn resize(&self, operation: &'static str, bytes: u64, may_cut: bool) -> DiskResult<()> {
        let bytes =
            usize::try_from(bytes).map_err(|cause| self.told(operation, Error::other(cause)))?;
        self.disk
            .named(operation, &self.path, |core| {
                core.check_room(self.file, bytes)?;
                let have = core.files[self.file].bytes().len();
                core.files[self.file].set_size(if may_cut { bytes } else { bytes.max(have) });
                Ok(())
            })
            .await
    }
}

impl File for MemoryFile {
    async fn write_at(&self, position: u64, parts: Vec<Slice>, durable: bool) -> DiskResult<()> {
        let mut bytes = Vec::with_capacity(assert_writable(position, &parts));
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        let result = self.write_any(position, bytes, durable).await;
        // The real disk reads the parts until it answers; so do they live here.
        drop(parts);
        result
    }

    async fn read_at(&self, position: u64, bytes: usize) -> DiskResult<Slice> {
        assert_readable(position, bytes);
        self.read_long(position, bytes).await
    }

    async fn read_long(&self, position: u64, bytes: usize) -> DiskResult<Slice> {
        assert_long(position, bytes);
        self.disk
            .named("read", &self.path, |core| {
                if core.faults.read_fails() {
                    return Err(Error::from_raw_os_error(EIO));
                }
                let all = core.files[self.file].bytes();
                let from = usize::try_from(position)
                    .map_err(Error::other)?
                    .min(all.len());
                let slice = Slice::copy_of(&all[from..(from + bytes).min(all.len())]);
                core.counters.reads += 1;
                core.counters.read_bytes += slice.len() as u64;
                Ok(slice)
            })
            .await
    }

    async fn read_cached(&self, position: u64, bytes: usize) -> DiskResult<Slice> {
        self.read_at(position, bytes).await
    }

    async fn sync(&self) -> DiskResult<()> {
        self.disk
            .barrier(std::slice::from_ref(self))
            .await
            .map_err(|error| DiskError {
                operation: "flush",
                path: self.path.to_path_buf(),
                cause: error.cause,
            })
    }

    async fn allocate(&self, bytes: u64) -> DiskResult<()> {
        self.resize("allocate", bytes, false).await
    }

    async fn truncate(&self, bytes: u64) -> DiskResult<()> {
        self.resize("truncate", bytes, true).await
    }

    async fn length(&self) -> DiskResult<u64> {
        self.disk
            .named("stat", &self.path, |core| {
                Ok(core.files[self.file].bytes().len() as u64)
            })
            .await
    }

    async fn buffered(&self) -> DiskResult<Option<Arc<OwnedFd>>> {
        Ok(None)
    }
}
