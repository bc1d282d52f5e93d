//! Ends the process when a shard stands still: a crash is recovered from, half a node is not.
//!
//! Each shard's heart beats twice a second on its latency queue. The watchdog counts its own looks
//! and not time, so that a process that was paused or a machine that was suspended is not ended for
//! it: all its threads stood still alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two beats of a shard.
pub const BEAT: Duration = Duration::from_millis(500);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks without a beat after which the process ends. Long: a busy machine may starve a shard for
/// seconds, and to end it then would make things worse.
const LOOKS_MAX: u32 = 30;

/// One shard's heart.
pub type Heart = Arc<AtomicU64>;

/// Counts looks without a beat.
#[derive(Debug, Default)]
struct Patient {
    last: u64,
    still: u32,
}

impl Patient {
    fn look(&mut self, beats: u64) -> bool {
        if beats == self.last {
            self.still += 1;
        } else {
            (self.last, self.still) = (beats, 0);
        }
        self.still < LOOKS_MAX
    }
}

/// Watches for as long as the process lives. Hearts that never beat are not watched yet.
pub fn watch(hearts: Vec<Heart>) -> std::io::Result<()> {
    let look = move || {
        let mut patients: Vec<Patient> = hearts.iter().map(|_| Patient::default()).collect();
        loop {
            std::thread::sleep(LOOK);
            for (shard, (heart, patient)) in hearts.iter().zip(&mut patients).enumerate() {
                let beats = heart.load(Ordering::Relaxed);
                if beats > 0 && !patient.look(beats) {
                    tracing::error!(shard, "the shard stands still: the process ends");
                    std::process::abort();
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(look)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_may_miss_some_looks_but_not_all() {
        let mut patient = Patient::default();
        assert!(patient.look(1));
        for _ in 1..LOOKS_MAX {
            assert!(patient.look(1));
        }
        assert!(patient.look(2));
        for _ in 1..LOOKS_MAX {
            assert!(patient.look(2));
        }
        assert!(!patient.look(2));
    }
}
