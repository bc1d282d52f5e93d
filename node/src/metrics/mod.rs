//! Per-shard counters, merged when they are scraped.
//!
//! Each shard counts in plain cells; a scrape asks every shard for a [`Snapshot`] and adds them.
//! Deliberately absent: atomics, a registry, histograms of other processes' names.

use std::cell::Cell;

use crate::net::send_file::Sent;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds.
    pub fn add(&self, amount: u64) {
        self.0.set(self.0.get().wrapping_add(amount));
    }

    /// The sum so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// One shard's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Bytes received from clients.
    pub received_bytes: Counter,
    /// Bytes sent from memory.
    pub sent_memory_bytes: Counter,
    /// Bytes sent by sendfile.
    pub sent_file_bytes: Counter,
}

impl Metrics {
    /// Counts what left a socket.
    pub fn count_sent(&self, sent: Sent) {
        self.sent_memory_bytes.add(sent.memory);
        self.sent_file_bytes.add(sent.file);
    }
}
