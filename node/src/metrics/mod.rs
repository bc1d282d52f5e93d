//! Per-shard counters, merged when they are scraped.
//!
//! Each shard counts in plain cells; a scrape asks every shard for a [`Snapshot`] and adds them.
//! Deliberately absent: atomics, a registry, histograms of other processes' names.

pub mod stages;
pub mod text;

use std::cell::Cell;

use stages::Stages;
use thalweg_storage::counters::Counters;
use thalweg_storage::read::ReadCounters;

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

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(Cell<u64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: usize) {
        self.0.set(u64::try_from(value).unwrap_or(u64::MAX));
    }

    /// Its value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// One shard's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Where the time goes.
    pub stages: Stages,
    /// Requests whose head was sound.
    pub requests: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Connections closed for what they sent.
    pub connections_refused: Counter,
    /// Bytes received from clients.
    pub received_bytes: Counter,
    /// Bytes sent from memory.
    pub sent_memory_bytes: Counter,
    /// Bytes sent by sendfile.
    pub sent_file_bytes: Counter,
    /// Batches appended, duplicates apart.
    pub batches: Counter,
    /// Batches that were there already.
    pub duplicates: Counter,
    /// Bytes of batches appended.
    pub batch_bytes: Counter,
}

/// One shard's numbers at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Requests whose head was sound.
    pub requests: u64,
    /// Connections closed for what they sent.
    pub connections_refused: u64,
    /// Bytes received from clients.
    pub received_bytes: u64,
    /// Bytes sent from memory.
    pub sent_memory_bytes: u64,
    /// Bytes sent by sendfile.
    pub sent_file_bytes: u64,
    /// Batches appended.
    pub batches: u64,
    /// Batches that were there already.
    pub duplicates: u64,
    /// Bytes of batches appended.
    pub batch_bytes: u64,
    /// Open connections.
    pub connections: u64,
    /// Memory that answers hold.
    pub held_bytes: u64,
    /// Fetches that wait.
    pub parked: u64,
    /// Fetch sessions.
    pub sessions: u64,
    /// The storage engine's.
    pub storage: Counters,
    /// The segment reader's.
    pub reads: ReadCounters,
}

impl Metrics {
    /// Counts what left a socket.
    pub fn sent(&self, memory: u64, file: u64) {
        self.sent_memory_bytes.add(memory);
        self.sent_file_bytes.add(file);
    }

    /// Bytes received and sent.
    #[must_use]
    pub fn traffic(&self) -> u64 {
        self.received_bytes.get() + self.sent_memory_bytes.get() + self.sent_file_bytes.get()
    }

    /// Counts a batch.
    pub fn appended(&self, bytes: usize, duplicate: bool) {
        if duplicate {
            self.duplicates.add(1);
        } else {
            self.batches.add(1);
            self.batch_bytes.add(bytes as u64);
        }
    }

    /// The numbers of the node's own path; the rest is the caller's.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            requests: self.requests.get(),
            connections_refused: self.connections_refused.get(),
            received_bytes: self.received_bytes.get(),
            sent_memory_bytes: self.sent_memory_bytes.get(),
            sent_file_bytes: self.sent_file_bytes.get(),
            batches: self.batches.get(),
            duplicates: self.duplicates.get(),
            batch_bytes: self.batch_bytes.get(),
            ..Snapshot::default()
        }
    }
}
