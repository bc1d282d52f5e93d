//! Reads a cold range through the page cache, off the shard, for readers that come after: its bytes
//! serve the one who asked, its pages the others, by sendfile.
//!
//! A fill reads the pages of its range and not one more, since the next block may still have to be
//! written directly. What may be in flight is bounded, so that fills of several old topics leave
//! the device to the journal; beyond that readers fall back to direct reads of their own.

use std::cell::Cell;
use std::rc::Rc;

use super::{FileRange, cut_short};
use crate::disk::{BLOCK_BYTES, DiskResult, File, IO_BYTES_MAX, Slice};

/// Bytes of fills in flight on a shard.
pub const FILL_BYTES_MAX: usize = 4 << 20;

/// See [`FILL_BYTES_MAX`].
#[derive(Clone, Debug, Default)]
pub(super) struct FillBudget {
    in_flight: Rc<Cell<usize>>,
}

/// Held while a fill is in flight.
#[derive(Debug)]
pub(super) struct Share {
    budget: FillBudget,
    bytes: usize,
}

impl FillBudget {
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.in_flight.get() + bytes <= FILL_BYTES_MAX
    }

    pub(super) fn take(&self, bytes: usize) -> Share {
        self.in_flight.set(self.in_flight.get() + bytes);
        Share {
            budget: self.clone(),
            bytes,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget
            .in_flight
            .set(self.budget.in_flight.get() - self.bytes);
    }
}

/// The bytes of `range`, read through the page cache.
pub(super) async fn read_through<F: File>(file: &F, range: &FileRange) -> DiskResult<Vec<Slice>> {
    let mut parts = Vec::new();
    let mut at = range.position;
    while at < range.end() {
        let start = at - at % BLOCK_BYTES as u64;
        let wanted = usize::try_from(range.end() - start).unwrap_or(IO_BYTES_MAX);
        let bytes = wanted.next_multiple_of(BLOCK_BYTES).min(IO_BYTES_MAX);
        let block = file.read_cached(start, bytes).await?;
        let skip = usize::try_from(at - start).unwrap_or(0);
        let end = block.len().min(wanted);
        if end <= skip {
            return Err(cut_short(range));
        }
        parts.push(block.sub(skip..end));
        at = start + end as u64;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        let budget = FillBudget::default();
        let share = budget.take(FILL_BYTES_MAX - 10);
        assert!(budget.has_room(10) && !budget.has_room(11));
        drop(share);
        assert!(budget.has_room(FILL_BYTES_MAX));
    }
}
