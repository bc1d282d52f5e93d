//! Is a range of a file in the page cache, up to date, so that sendfile will not sleep on it?
//!
//! cachestat(2) alone counts pages that are still being read (measured: 64 of 64 wrong right after a
//! readahead); a read that may not wait tells those apart, at a price, so every 64th page and the
//! last are sampled. The answer can be out of date when it is used: callers send at most 256 KiB on
//! one answer.

use std::io::Error;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Granularity of the page cache here and on every machine that matters.
pub const PAGE_BYTES: u64 = 4096;
/// Pages between two samples: with large folios a readahead is up to date in larger steps than this.
const SAMPLE_PAGES: u64 = 64;

/// Number of cachestat(2) on every architecture but alpha; the crate libc does not have it yet.
const CACHESTAT: libc::c_long = 451;

/// Arguments and answer of cachestat(2), as in `linux/mman.h`.
#[repr(C)]
struct CachestatRange {
    offset: u64,
    bytes: u64,
}

#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// True if every page of `bytes` from `position` is cached and samples of them are up to date. A
/// kernel without cachestat (before 6.5) answers no: such a machine reads directly.
pub fn is_resident(file: BorrowedFd<'_>, position: u64, bytes: u64) -> Result<bool, Error> {
    if bytes == 0 {
        return Ok(true);
    }
    let first = position / PAGE_BYTES;
    let last = (position + bytes - 1) / PAGE_BYTES;
    if cached_pages(file, position, bytes)? < last - first + 1 {
        return Ok(false);
    }
    let samples = (first..last).step_by(SAMPLE_PAGES as usize).chain([last]);
    for page in samples {
        if !is_up_to_date(file, (page * PAGE_BYTES).max(position))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Starts reading a range into the page cache without waiting for it.
pub fn read_ahead(file: BorrowedFd<'_>, position: u64, bytes: u64) -> Result<(), Error> {
    let bytes = std::num::NonZeroU64::new(bytes);
    Ok(rustix::fs::fadvise(
        file,
        position,
        bytes,
        rustix::fs::Advice::WillNeed,
    )?)
}

fn cached_pages(file: BorrowedFd<'_>, position: u64, bytes: u64) -> Result<u64, Error> {
    let range = CachestatRange {
        offset: position,
        bytes,
    };
    let mut stat = Cachestat::default();
    let flags: libc::c_uint = 0;
    // SAFETY: both structs are the kernel's layout and live through the call.
    let result = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            &raw const range,
            &raw mut stat,
            flags,
        )
    };
    if result == 0 {
        return Ok(stat.cached);
    }
    let error = Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOSYS) {
        Ok(0)
    } else {
        Err(error)
    }
}

/// One byte, if it can be had without waiting for the device.
fn is_up_to_date(file: BorrowedFd<'_>, position: u64) -> Result<bool, Error> {
    let mut byte = 0u8;
    let vector = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let position = libc::off_t::try_from(position).map_err(Error::other)?;
    // SAFETY: the one vector points to one live byte.
    let read = unsafe {
        libc::preadv2(
            file.as_raw_fd(),
            &raw const vector,
            1,
            position,
            libc::RWF_NOWAIT,
        )
    };
    if read >= 0 {
        return Ok(read == 1);
    }
    let error = Error::last_os_error();
    match error.raw_os_error() {
        // EOPNOTSUPP: a file system that cannot tell; then nothing is known to be resident.
        Some(libc::EAGAIN | libc::EOPNOTSUPP) => Ok(false),
        _ => Err(error),
    }
}
