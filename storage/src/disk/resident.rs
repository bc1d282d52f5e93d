//! Is a range of a file in the page cache, up to date, so that sendfile will not sleep on it?
//!
//! cachestat(2) alone counts pages that are still being read (measured: 64 of 64 wrong right after a
//! readahead); a read that may not wait tells those apart, at a price, so every 64th page and the
//! last are sampled. The answer can be out of date when it is used: callers send at most 256 KiB on
//! one answer.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, ReadWriteFlags};

/// Granularity of the page cache here and on every machine that matters.
pub const PAGE_BYTES: u64 = 4096;
/// Pages between two samples: with large folios a readahead is up to date in larger steps than this.
const SAMPLE_PAGES: u64 = 64;

/// Granularity at which missing parts of a range are told.
const HOLE_BYTES: u64 = 64 * 1024;

/// Bytes looked at in one go; small enough to stay in a core's cache.
const SCRATCH_BYTES: usize = 128 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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

/// How much of a range is in the page cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Residency {
    /// All of it.
    Full,
    /// Most of it; these parts are not, or are not up to date.
    Holes(Vec<Range<u64>>),
    /// Less than half.
    Cold,
}

/// How much of `bytes` from `position` is in the page cache, up to date.
pub fn residency(file: BorrowedFd<'_>, position: u64, bytes: u64) -> Result<Residency, Error> {
    if is_resident(file, position, bytes)? {
        return Ok(Residency::Full);
    }
    if cached_pages(file, position, bytes)? < bytes.div_ceil(PAGE_BYTES) / 2 {
        return Ok(Residency::Cold);
    }
    let end = position + bytes;
    let (mut holes, mut missing): (Vec<Range<u64>>, u64) = (Vec::new(), 0);
    let mut from = position;
    while from < end {
        let to = (from - from % HOLE_BYTES + HOLE_BYTES).min(end);
        if !is_resident(file, from, to - from)? {
            missing += to - from;
            match holes.last_mut() {
                Some(last) if last.end == from => last.end = to,
                _ => holes.push(from..to),
            }
        }
        from = to;
    }
    Ok(match holes.is_empty() {
        true => Residency::Full,
        false if missing <= bytes / 2 => Residency::Holes(holes),
        false => Residency::Cold,
    })
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

/// Hands the bytes of a resident range to `visit`, in order, until that answers false. Answers
/// false itself if part of the range turns out not to be resident: this never waits.
pub fn read_cached(
    file: BorrowedFd<'_>,
    position: u64,
    bytes: usize,
    mut visit: impl FnMut(&[u8]) -> bool,
) -> Result<bool, Error> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize(SCRATCH_BYTES, 0);
        let mut done = 0;
        while done < bytes {
            let wanted = SCRATCH_BYTES.min(bytes - done);
            match read_no_wait(file, position + done as u64, &mut scratch[..wanted])? {
                None => return Ok(false),
                Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Some(count) if visit(&scratch[..count]) => done += count,
                Some(_) => return Ok(true),
            }
        }
        Ok(true)
    })
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
    Ok(read_no_wait(file, position, &mut [0])? == Some(1))
}

/// What can be had without waiting for the device; `None` where nothing can.
fn read_no_wait(
    file: BorrowedFd<'_>,
    position: u64,
    bytes: &mut [u8],
) -> Result<Option<usize>, Error> {
    let vector = &mut [IoSliceMut::new(bytes)];
    match rustix::io::preadv2(file, vector, position, ReadWriteFlags::NOWAIT) {
        Ok(count) => Ok(Some(count)),
        // OPNOTSUPP: a file system that cannot tell; then nothing is known to be resident.
        Err(Errno::AGAIN | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
