//! Task queues by latency class, on glommio's executor.
//!
//! Network and commit matter: glommio lets them run within the named latency. Reads of old data
//! and background work get what is left, by shares. Deliberately absent: byte budgets (each
//! reader and mover has its own).

use std::time::Duration;

use glommio::{Latency, Shares, TaskQueueHandle, executor};

use super::host::Queue;

/// How long a request or a round may wait behind other tasks of its shard.
const LATENCY_MATTERS: Duration = Duration::from_millis(1);
const NETWORK_SHARES: usize = 1000;
const COMMIT_SHARES: usize = 1000;
const READS_SHARES: usize = 200;
const BACKGROUND_SHARES: usize = 100;

/// The queues of one shard.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    network: TaskQueueHandle,
    commit: TaskQueueHandle,
    reads: TaskQueueHandle,
    background: TaskQueueHandle,
}

impl Queues {
    /// Makes the queues on the current executor.
    pub fn create() -> Self {
        let make = |shares, latency, name| {
            executor().create_task_queue(Shares::Static(shares), latency, name)
        };
        let matters = Latency::Matters(LATENCY_MATTERS);
        Self {
            network: make(NETWORK_SHARES, matters, "network"),
            commit: make(COMMIT_SHARES, matters, "commit"),
            reads: make(READS_SHARES, Latency::NotImportant, "reads"),
            background: make(BACKGROUND_SHARES, Latency::NotImportant, "background"),
        }
    }

    /// The queue of a class.
    pub fn get(&self, queue: Queue) -> TaskQueueHandle {
        match queue {
            Queue::Network => self.network,
            Queue::Commit => self.commit,
            Queue::Reads => self.reads,
            Queue::Background => self.background,
        }
    }
}
