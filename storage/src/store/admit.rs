//! Back-pressure: room in the journal's window, first come first served.
//!
//! The window is the journal's free files. A reserve of it is never given to produce: it takes
//! what moves must carry, and the entries of deletes and retention, so that these always work and
//! the window can always be emptied. The reserve is a file (a quarter of a small pool), and never
//! less than what all partitions together would have carried if each were moved down to a block.

use std::rc::Rc;

use thalweg_wire::ids::PartitionId;

use super::{State, Store};
use crate::disk::{BLOCK_BYTES, Disk, File};
use crate::error::StoreError;

/// What an append costs in a round beside its bytes: entry headers, a share of padding, and the
/// moved-to of a partition's first append.
const APPEND_COST_BYTES: u64 = 256;
/// Room beside the carry bound for rounds' own headers and padding.
const MARGIN_BYTES: u64 = 64 << 10;

/// Room in the journal's window for bytes about to be appended; given back when dropped.
pub struct Permit {
    bytes: u64,
    give_back: Rc<dyn Fn(u64)>,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Permit({} bytes)", self.bytes)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.give_back)(self.bytes);
    }
}

/// A place in the queue, left when dropped.
struct Place<'a, D: Disk> {
    store: &'a Store<D>,
    number: u64,
}

impl<D: Disk> Drop for Place<'_, D> {
    fn drop(&mut self) {
        let number = self.number;
        let mut state = self.store.state.borrow_mut();
        state.waiting.retain(|waiter| *waiter != number);
        drop(state);
        self.store.journal.notify_room();
    }
}

impl State {
    fn reserve(&self, files_bytes: u64, file_bytes: u64) -> u64 {
        let file = file_bytes.min(files_bytes / 4);
        file.max(self.carry_bound + MARGIN_BYTES.min(file_bytes / 4))
    }
}

impl<D: Disk> Store<D> {
    /// Waits, first come first served, until the window has room for `bytes` (the sum of a
    /// request's batches), and until every partition of `ids` is ready to be appended to. Unknown
    /// ids are skipped: `append` will name them. Keep the permit until the appends are made.
    pub async fn admit(
        self: &Rc<Self>,
        bytes: usize,
        ids: &[PartitionId],
    ) -> Result<Permit, StoreError> {
        let cost = bytes as u64 + APPEND_COST_BYTES * ids.len().max(1) as u64;
        let place = self.queue_up();
        let mut delayed = false;
        let admitted = self
            .journal
            .until_room(|| {
                let verdict = self.may_admit(place.number, cost, bytes);
                if verdict.is_none() {
                    delayed = true;
                    self.moves.notify();
                }
                verdict
            })
            .await;
        drop(place);
        self.count_admission(delayed, admitted.is_err());
        admitted?;
        let store = Rc::downgrade(self);
        let permit = Permit {
            bytes: cost,
            give_back: Rc::new(move |bytes| {
                if let Some(store) = store.upgrade() {
                    store.state.borrow_mut().admitted -= bytes;
                    store.journal.notify_room();
                }
            }),
        };
        for id in ids {
            self.load_tail(*id).await?;
        }
        Ok(permit)
    }

    fn count_admission(&self, delayed: bool, refused: bool) {
        let mut state = self.state.borrow_mut();
        state.counters.admissions_delayed += u64::from(delayed);
        state.counters.admissions_refused += u64::from(refused);
    }

    fn queue_up(&self) -> Place<'_, D> {
        let mut state = self.state.borrow_mut();
        state.waiters_made += 1;
        let number = state.waiters_made;
        state.waiting.push_back(number);
        Place {
            store: self,
            number,
        }
    }

    /// The verdict on the waiter `number`, `None` while it has to wait. Takes the room if given.
    fn may_admit(&self, number: u64, cost: u64, bytes: usize) -> Option<Result<(), StoreError>> {
        if let Some(error) = self.refusal() {
            return Some(Err(error));
        }
        let room = self.journal.room();
        let (now, most) = self.journal.capacity();
        let sure = self.journal.room_sure();
        let mut state = self.state.borrow_mut();
        if state.waiting.front() != Some(&number) {
            return None;
        }
        let reserve = state.reserve(now, self.config.journal_file_bytes);
        if room >= reserve + state.admitted + cost {
            state.admitted += cost;
            return Some(Ok(()));
        }
        if state.full {
            return Some(Err(StoreError::Full));
        }
        let reserve = state.reserve(most, self.config.journal_file_bytes);
        if reserve + cost > sure {
            let limit = sure.saturating_sub(reserve);
            return Some(Err(StoreError::TooLarge { bytes, limit }));
        }
        drop(state);
        self.journal.want_growth();
        None
    }

    /// True while somebody waits for room.
    pub(super) fn is_short(&self) -> bool {
        !self.state.borrow().waiting.is_empty()
    }

    /// Reads the partial last block that lies only in its file, if the log needs it.
    async fn load_tail(&self, id: PartitionId) -> Result<(), StoreError> {
        let Some(Some(tail)) = self.with_log(id, |log| log.tail_needed()) else {
            return Ok(());
        };
        let file = self.handles.existing(&tail.path).await?;
        let block = file.read_at(tail.place.position, BLOCK_BYTES).await?;
        let used = block.get(..tail.bytes).ok_or_else(|| {
            StoreError::Refused(crate::error::Refusal::Corrupt {
                dir: tail.path.to_path_buf(),
                segment: tail.place.segment.0,
                position: tail.place.position,
            })
        })?;
        self.with_log(id, |log| {
            if log.tail_needed().as_ref() == Some(&tail) {
                log.supply_tail(used);
            }
        });
        Ok(())
    }
}
