//! Which transactions were aborted, and whether a marker still has something to mark. Pure.
//!
//! Fed with every batch in the log's order. A marker may go once no record of its transaction was met
//! before it: then an earlier cleaning removed them all, or they lie below the log start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thalweg_wire::batch::{BatchHeader, ControlType, Records};
use thalweg_wire::ids::{Offset, ProducerId};

use crate::segment::txn_index::AbortedTxn;

/// An aborted transaction whose records the walk is among.
struct Ongoing {
    txn: AbortedTxn,
    met_records: bool,
}

/// What a marker is.
pub(super) struct Marked {
    /// No record of its transaction was met.
    pub(super) is_empty: bool,
    /// The aborted transaction that it ends.
    pub(super) aborted: Option<AbortedTxn>,
}

/// See the module's head.
pub(super) struct Transactions {
    /// Aborted ones by their first offset, that the walk has not come to.
    ahead: VecDeque<AbortedTxn>,
    aborted: BTreeMap<ProducerId, Ongoing>,
    committed: BTreeSet<ProducerId>,
}

impl Transactions {
    pub(super) fn new(mut aborted: Vec<AbortedTxn>) -> Self {
        aborted.sort_by_key(|txn| txn.first);
        Self {
            ahead: aborted.into(),
            aborted: BTreeMap::new(),
            committed: BTreeSet::new(),
        }
    }

    fn come_to(&mut self, offset: Offset) {
        while let Some(txn) = self.ahead.pop_front_if(|txn| txn.first <= offset) {
            let ongoing = Ongoing {
                txn,
                met_records: false,
            };
            self.aborted.insert(txn.producer, ongoing);
        }
    }

    /// A batch of records; true if its transaction was aborted.
    pub(super) fn on_records(&mut self, header: &BatchHeader) -> bool {
        self.come_to(header.last_offset());
        if !header.attributes().is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id()) {
            Some(ongoing) => {
                ongoing.met_records = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id());
                false
            }
        }
    }

    /// A control batch.
    pub(super) fn on_control(&mut self, header: &BatchHeader, payload: &[u8]) -> Marked {
        self.come_to(header.last_offset());
        let record = Records::new(payload, header.record_count()).next();
        let key = record.and_then(Result::ok).and_then(|record| record.key);
        let producer = header.producer_id();
        match key.and_then(ControlType::of_key) {
            Some(ControlType::Abort) => {
                let ended = self.aborted.remove(&producer);
                Marked {
                    is_empty: !ended.as_ref().is_some_and(|ended| ended.met_records),
                    aborted: ended.map(|ended| ended.txn),
                }
            }
            Some(ControlType::Commit) => Marked {
                is_empty: !self.committed.remove(&producer),
                aborted: None,
            },
            // An empty batch that keeps a producer, or one of another kind.
            _ => Marked {
                is_empty: record_is_gone(header),
                aborted: None,
            },
        }
    }
}

fn record_is_gone(header: &BatchHeader) -> bool {
    header.record_count() == 0
}
