//! The kernel's side of the disk: a FUSE file system with one file, over `/dev/fuse` itself.
//!
//! One thread takes one request after the other, so the log is a plain order and a flush covers
//! every write before it. The file is opened for direct I/O: nothing of it is cached above.
//! Only the requests that a loop device causes are known; others are answered with ENOSYS, which
//! the kernel remembers. The peer is the kernel: its frames are trusted to be whole.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::image::{Event, Image};

/// Bytes of one write at most, and of the buffer that takes a request with it.
const WRITE_BYTES_MAX: u32 = 1 << 20;
const REQUEST_BYTES_MAX: usize = (1 << 20) + 4096;
const IN_HEADER_BYTES: usize = 40;
/// Bytes between a read's or write's header and its data.
const WRITE_IN_BYTES: usize = 40;
const ROOT: u64 = 1;
const DISK: u64 = 2;
const NAME: &[u8] = b"disk";

const EIO: i32 = -5;
const ENOENT: i32 = -2;
const ENOSYS: i32 = -38;

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const BATCH_FORGET: u32 = 42;

/// Writes larger than a page, and as many pages as `max_pages` says.
const INIT_FLAGS: u32 = (1 << 5) | (1 << 22);
const DIRECT_IO: u32 = 1;

/// What the disk does wrong from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Flushes that are answered with EIO; later ones succeed.
    pub flushes_to_fail: u64,
    /// Writes that are answered with EIO.
    pub writes_to_fail: u64,
    /// Flushes are answered at once and not logged: a disk that lies.
    pub flushes_lie: bool,
}

/// The disk, as both the kernel's thread and the driver see it.
#[derive(Debug, Default)]
pub struct State {
    pub image: Image,
    pub log: Vec<Event>,
    /// Whether writes and flushes go to the log.
    pub records: bool,
    pub faults: Faults,
    /// Flushes and writes that were answered with EIO.
    pub failed: u64,
}

/// A handle of the disk.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// The disk itself; the kernel waits meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole pages: the state is good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events logged so far.
    #[must_use]
    pub fn place(&self) -> usize {
        self.lock().log.len()
    }
}

/// Answers requests until the file system is unmounted.
pub(super) fn serve(mut device: File, disk: &Shared) {
    let mut buffer = vec![0; REQUEST_BYTES_MAX];
    loop {
        let count = match device.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.raw_os_error() == Some(4) => continue,
            // ENODEV: unmounted.
            Err(_) => return,
        };
        let request = buffer.get(..count).unwrap_or(&[]);
        let unique = u64_at(request, 8);
        let Some(answer) = answer(request, disk) else {
            continue;
        };
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(code) => (code, Vec::new()),
        };
        let mut frame = Vec::with_capacity(16 + body.len());
        frame.extend((16 + body.len() as u32).to_ne_bytes());
        frame.extend(error.to_ne_bytes());
        frame.extend(unique.to_ne_bytes());
        frame.extend(body);
        // A request that was interrupted takes no answer any more.
        drop(device.write_all(&frame));
    }
}

type Answer = Result<Vec<u8>, i32>;

fn answer(request: &[u8], disk: &Shared) -> Option<Answer> {
    let (opcode, node) = (u32_at(request, 4), u64_at(request, 16));
    let body = request.get(IN_HEADER_BYTES..).unwrap_or(&[]);
    Some(match opcode {
        INIT => Ok(init()),
        LOOKUP => lookup(body, disk),
        GETATTR | SETATTR => {
            Ok([&1_u64.to_ne_bytes()[..], &[0; 8], &attributes(node, disk)].concat())
        }
        OPEN => Ok([&0_u64.to_ne_bytes()[..], &DIRECT_IO.to_ne_bytes(), &[0; 4]].concat()),
        READ => Ok(read(body, disk)),
        WRITE => write(body, disk),
        FSYNC => flush(disk),
        STATFS => Ok(vec![0; 80]),
        RELEASE | FLUSH | DESTROY => Ok(Vec::new()),
        FORGET | BATCH_FORGET | INTERRUPT => return None,
        _ => Err(ENOSYS),
    })
}

fn init() -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for word in [7, 31, 0, INIT_FLAGS] {
        out.extend(u32::to_ne_bytes(word));
    }
    out.extend([0; 4]); // background requests: the kernel's defaults
    out.extend(WRITE_BYTES_MAX.to_ne_bytes());
    out.extend(1_u32.to_ne_bytes());
    out.extend(256_u16.to_ne_bytes());
    out.resize(64, 0);
    out
}

fn lookup(body: &[u8], disk: &Shared) -> Answer {
    if body.strip_suffix(&[0]) != Some(NAME) {
        return Err(ENOENT);
    }
    let head = [DISK, 0, 1, 1].map(u64::to_ne_bytes).concat();
    Ok([head, vec![0; 8], attributes(DISK, disk)].concat())
}

fn attributes(node: u64, disk: &Shared) -> Vec<u8> {
    let (mode, bytes) = match node {
        ROOT => (0o040_755_u32, 0),
        _ => (0o100_600, disk.lock().image.bytes()),
    };
    let mut out = [node, bytes, bytes / 512, 0, 0, 0]
        .map(u64::to_ne_bytes)
        .concat();
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        out.extend(u32::to_ne_bytes(word));
    }
    out
}

fn read(body: &[u8], disk: &Shared) -> Vec<u8> {
    let mut bytes = vec![0; u32_at(body, 16) as usize];
    disk.lock().image.read(u64_at(body, 8), &mut bytes);
    bytes
}

fn write(body: &[u8], disk: &Shared) -> Answer {
    let (position, size) = (u64_at(body, 8), u32_at(body, 16));
    let data = body.get(WRITE_IN_BYTES..).unwrap_or(&[]);
    let mut state = disk.lock();
    if state.faults.writes_to_fail > 0 {
        state.faults.writes_to_fail -= 1;
        state.failed += 1;
        return Err(EIO);
    }
    state.image.write(position, data);
    if state.records {
        state.log.push(Event::Write(position, Arc::from(data)));
    }
    Ok([size.to_ne_bytes(), [0; 4]].concat())
}

fn flush(disk: &Shared) -> Answer {
    let mut state = disk.lock();
    if state.faults.flushes_to_fail > 0 {
        state.faults.flushes_to_fail -= 1;
        state.failed += 1;
        return Err(EIO);
    }
    if state.records && !state.faults.flushes_lie {
        state.log.push(Event::Flush);
    }
    Ok(Vec::new())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes
        .get(at..at + 4)
        .and_then(|field| field.try_into().ok());
    field.map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes
        .get(at..at + 8)
        .and_then(|field| field.try_into().ok());
    field.map_or(0, u64::from_ne_bytes)
}
