//! Direct reads of old data: blocks of 1 MiB, one read ahead of a reader that goes on.
//!
//! Readers take what their fetch asks for, often less than a block, so the last few blocks are kept:
//! a catch-up reads each byte from the device once. A read ahead is begun here and awaited by
//! whoever comes to it.
//!
//! A kept block can be older than the last move into it. Callers verify what they got and read again
//! after `ColdBlocks::forget`; a block that is too short is read again here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::Error;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::{FileRange, cut_short};
use crate::disk::{DiskError, DiskResult, File, IO_BYTES_MAX, Slice};

/// Bytes of one direct read.
const COLD_BYTES: u64 = IO_BYTES_MAX as u64;
/// Blocks kept on a shard: enough for some sixteen readers of old data side by side.
pub const COLD_BLOCKS_MAX: usize = 32;

type Reading = Pin<Box<dyn Future<Output = DiskResult<Slice>>>>;

/// One read that several may wait for.
struct SharedRead {
    state: RefCell<State>,
    waiters: Arc<Waiters>,
}

enum State {
    Reading(Reading),
    Done(Slice),
    Failed(DiskError),
}

/// Wakes all who wait for one read: the disk knows only the last one who asked.
#[derive(Default)]
struct Waiters(Mutex<Vec<Waker>>);

impl Waiters {
    fn add(&self, waker: &Waker) {
        let mut waiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiters.iter().any(|known| known.will_wake(waker)) {
            waiters.push(waker.clone());
        }
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        let waiters = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        waiters.into_iter().for_each(Waker::wake);
    }
}

impl SharedRead {
    /// Begins to read: the disk has the request when this returns.
    fn begin<F: File>(file: &F, position: u64) -> Rc<Self> {
        let file = file.clone();
        let reading = Box::pin(async move { file.read_at(position, IO_BYTES_MAX).await });
        let read = Rc::new(Self {
            state: RefCell::new(State::Reading(reading)),
            waiters: Arc::default(),
        });
        read.advance();
        read
    }

    fn advance(&self) {
        let mut state = self.state.borrow_mut();
        let State::Reading(reading) = &mut *state else {
            return;
        };
        let waker = Waker::from(Arc::clone(&self.waiters));
        if let Poll::Ready(result) = reading.as_mut().poll(&mut Context::from_waker(&waker)) {
            *state = match result {
                Ok(slice) => State::Done(slice),
                Err(error) => State::Failed(error),
            };
            drop(state);
            waker.wake();
        }
    }

    async fn result(&self) -> DiskResult<Slice> {
        poll_fn(|context| {
            self.waiters.add(context.waker());
            self.advance();
            match &*self.state.borrow() {
                State::Reading(_) => Poll::Pending,
                State::Done(slice) => Poll::Ready(Ok(slice.clone())),
                State::Failed(error) => Poll::Ready(Err(copy_of(error))),
            }
        })
        .await
    }
}

/// The same failure for each who waited for it.
fn copy_of(error: &DiskError) -> DiskError {
    let cause = match error.cause.raw_os_error() {
        Some(number) => Error::from_raw_os_error(number),
        None => Error::new(error.cause.kind(), error.cause.to_string()),
    };
    DiskError {
        operation: error.operation,
        path: error.path.clone(),
        cause,
    }
}

struct Kept {
    path: Arc<Path>,
    number: u64,
    read: Rc<SharedRead>,
}

/// See the module's head.
pub(super) struct ColdBlocks<F> {
    /// The most recently begun is last.
    kept: RefCell<VecDeque<Kept>>,
    of: std::marker::PhantomData<F>,
}

impl<F> Default for ColdBlocks<F> {
    fn default() -> Self {
        Self {
            kept: RefCell::default(),
            of: std::marker::PhantomData,
        }
    }
}

impl<F: File> ColdBlocks<F> {
    /// The bytes of `range`, from blocks kept or read now.
    pub(super) async fn read(&self, file: &F, range: &FileRange) -> DiskResult<Vec<Slice>> {
        let mut parts = Vec::new();
        let mut at = range.position;
        while at < range.end() {
            let number = at / COLD_BYTES;
            let skip = offset(at % COLD_BYTES);
            let end = offset((range.end() - number * COLD_BYTES).min(COLD_BYTES));
            let block = self.block(file, range, number, end).await?;
            parts.push(block.sub(skip..end));
            at = number * COLD_BYTES + end as u64;
        }
        Ok(parts)
    }

    /// Lets go of the blocks of all files at or below `path`.
    pub(super) fn forget(&self, path: &Path) {
        self.kept
            .borrow_mut()
            .retain(|kept| !kept.path.starts_with(path));
    }

    /// Block `number`, with at least `bytes` bytes in it.
    async fn block(
        &self,
        file: &F,
        range: &FileRange,
        number: u64,
        bytes: usize,
    ) -> DiskResult<Slice> {
        // Only a reader that goes on is worth a read ahead.
        let goes_on = number > 0 && self.find(&range.path, number - 1).is_some();
        let found = self.find(&range.path, number);
        let was_kept = found.is_some();
        let read = found.unwrap_or_else(|| self.begin(file, &range.path, number));
        if goes_on && self.find(&range.path, number + 1).is_none() {
            self.begin(file, &range.path, number + 1);
        }
        match read.result().await {
            Ok(slice) if slice.len() >= bytes => return Ok(slice),
            // The file has grown since, or the read ahead failed at what may be past its end.
            _ if was_kept => {}
            Ok(_) => return Err(cut_short(range)),
            Err(error) => {
                self.drop_block(&range.path, number);
                return Err(error);
            }
        }
        self.drop_block(&range.path, number);
        let slice = self.begin(file, &range.path, number).result().await?;
        if slice.len() >= bytes {
            Ok(slice)
        } else {
            Err(cut_short(range))
        }
    }

    fn begin(&self, file: &F, path: &Arc<Path>, number: u64) -> Rc<SharedRead> {
        let read = SharedRead::begin(file, number * COLD_BYTES);
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= COLD_BLOCKS_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept {
            path: Arc::clone(path),
            number,
            read: Rc::clone(&read),
        });
        read
    }

    fn find(&self, path: &Path, number: u64) -> Option<Rc<SharedRead>> {
        let kept = self.kept.borrow();
        let found = kept
            .iter()
            .find(|kept| kept.number == number && *kept.path == *path)?;
        Some(Rc::clone(&found.read))
    }

    fn drop_block(&self, path: &Path, number: u64) {
        self.kept
            .borrow_mut()
            .retain(|kept| kept.number != number || *kept.path != *path);
    }
}

fn offset(within_block: u64) -> usize {
    usize::try_from(within_block).expect("at most COLD_BYTES")
}
