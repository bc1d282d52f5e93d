//! What was sent, answered and shown, each with its place in the fault disk's log.
//!
//! A place is read *before* something is sent and *after* its answer arrived: a cut at or behind
//! the latter has to honour the answer, a cut before the former cannot know of it.

use std::collections::BTreeMap;

use super::value::Mark;

/// A partition by its topic's name.
pub type Place = (String, i32);

/// One batch.
#[derive(Debug, Clone)]
pub struct Sent {
    pub place: Place,
    pub first: Mark,
    pub count: u64,
    pub sent_at: usize,
    /// Base offset, and when it was known.
    pub acked: Option<(i64, usize)>,
    /// Its transaction.
    pub transaction: Option<usize>,
}

/// How a transaction was meant to end.
#[derive(Debug, Clone)]
pub struct Transaction {
    pub commit: bool,
    pub end_sent_at: usize,
    pub end_acked_at: Option<usize>,
}

/// One life of a topic that is deleted and made again under the same name.
#[derive(Debug, Clone, Default)]
pub struct Life {
    pub created_at: Option<usize>,
    pub delete_sent_at: Option<usize>,
    pub delete_acked_at: Option<usize>,
    /// Streams of this life lie below this and above the one before.
    pub streams: std::ops::Range<u32>,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Ledger {
    pub sent: Vec<Sent>,
    pub transactions: Vec<Transaction>,
    /// Lives of the topic that dies, in order.
    pub lives: Vec<Life>,
    /// A log's start that was answered, and when.
    pub starts: Vec<(Place, i64, usize)>,
    /// A start that was asked for, and when: records below it may be gone from there on.
    pub starts_asked: Vec<(Place, i64, usize)>,
    /// A high watermark that was shown, and when.
    pub shown: Vec<(Place, i64, usize)>,
    /// Topics, when they were known to be there.
    pub created: BTreeMap<String, usize>,
}

impl Ledger {
    /// Records whose acknowledgement a cut at `place` has to honour.
    #[must_use]
    pub fn acked_by(&self, place: usize) -> u64 {
        let acked = |sent: &&Sent| sent.acked.is_some_and(|(_, at)| at <= place);
        self.sent.iter().filter(acked).map(|sent| sent.count).sum()
    }
}
