//! When nothing goes on any more, memory that was freed is given back to the system.
//!
//! Shards add what went through their sockets once a second; shard 0 looks at the sum. Only a quiet
//! node does it, and once for each load: it stops the shards for some milliseconds. The watching is
//! pure. Deliberately absent: measuring how much there is to give back (the library does not tell).

use std::sync::atomic::{AtomicU64, Ordering};

use thalweg_storage::disk::give_back_freed;

/// A second with fewer bytes than this through all sockets is a quiet one: long polls are.
pub const QUIET_BYTES: u64 = 64 << 10;
/// So many quiet seconds make a quiet node.
pub const QUIET_SECONDS: u32 = 5;

/// Bytes through the sockets of all shards.
static TRAFFIC: AtomicU64 = AtomicU64::new(0);

/// Adds what a shard received and sent since it last said so.
pub fn add(bytes: u64) {
    TRAFFIC.fetch_add(bytes, Ordering::Relaxed);
}

/// Watches the traffic of the node, a second at a time.
#[derive(Debug, Default)]
pub struct Quiet {
    seen: u64,
    seconds: u32,
    loaded: bool,
}

impl Quiet {
    /// A second has passed; true if freed memory should be given back now.
    pub fn second(&mut self, traffic: u64) -> bool {
        let bytes = traffic.wrapping_sub(std::mem::replace(&mut self.seen, traffic));
        if bytes >= QUIET_BYTES {
            self.loaded = true;
            self.seconds = 0;
            return false;
        }
        self.seconds = self.seconds.saturating_add(1);
        self.loaded && self.seconds >= QUIET_SECONDS && std::mem::take(&mut self.loaded)
    }

    /// Looks at the node's traffic, and gives back what is to be given back.
    pub fn look(&mut self) {
        if !self.second(TRAFFIC.load(Ordering::Relaxed)) {
            return;
        }
        let thread = std::thread::Builder::new().name("give-back".to_owned());
        if let Err(error) = thread.spawn(give_back_freed) {
            tracing::debug!(%error, "freed memory is not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_each_load() {
        let mut quiet = Quiet::default();
        let mut traffic = 0;
        let mut run = |bytes: u64, seconds: u32| -> u32 {
            let given = (0..seconds).map(|_| {
                traffic += bytes;
                u32::from(quiet.second(traffic))
            });
            given.sum()
        };
        assert_eq!(run(0, 100), 0, "a node that never worked");
        assert_eq!(run(QUIET_BYTES, 100), 0);
        assert_eq!(run(QUIET_BYTES - 1, QUIET_SECONDS - 1), 0);
        assert_eq!(run(QUIET_BYTES, 1), 0);
        assert_eq!(run(QUIET_BYTES - 1, QUIET_SECONDS - 1), 0);
        assert_eq!(run(0, 1), 1);
        assert_eq!(run(0, 100), 0);
        assert_eq!(run(1 << 30, 1) + run(0, 100), 1);
    }
}
