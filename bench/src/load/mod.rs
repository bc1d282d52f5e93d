//! The loads. Each is a set of threads with blocking sockets that share a clock and nothing else;
//! what they measured is merged when they are done.

pub mod pace;
mod consume;
mod e2e;
mod produce;
mod payload;
mod tally;

use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use crate::report::Report;
use crate::settings::Workload;
use crate::{BenchError, Settings, client};

pub use tally::{Latencies, Tally};

/// Time since the run began, the same for all of its threads.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    #[must_use]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sleeps until then; a moment in the past is now.
    pub fn sleep_until(&self, ns: u64) {
        let now = self.now_ns();
        if ns > now {
            thread::sleep(Duration::from_nanos(ns - now));
        }
    }
}

/// The part of a run that counts.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from_ns: u64,
    pub to_ns: u64,
}

impl Window {
    fn of(settings: &Settings) -> Self {
        let from_ns = settings.warm_up.as_nanos() as u64;
        Self {
            from_ns,
            to_ns: from_ns + settings.duration.as_nanos() as u64,
        }
    }

    #[must_use]
    pub const fn holds(&self, ns: u64) -> bool {
        self.from_ns <= ns && ns < self.to_ns
    }
}

/// Runs what the settings say.
pub fn run(settings: &Settings) -> Result<Report, BenchError> {
    client::create_topic(settings)?;
    // A server may name a leader before that one serves.
    client::end_offsets(settings)?;
    let tally = match settings.workload {
        Workload::Produce => produce::run(settings),
        Workload::Consume => consume::run(settings),
        Workload::E2e => e2e::run(settings),
    }?;
    Ok(Report::new(settings, &tally))
}

/// The kernel may wake a sleeping thread up to 50 us late unless told otherwise.
fn wake_on_time() {
    // Where it is not allowed, the schedule lag in the report tells.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

fn joined<T>(handle: thread::JoinHandle<Result<T, BenchError>>) -> Result<T, BenchError> {
    match handle.join() {
        Ok(result) => result,
        Err(_) => Err(BenchError::Protocol(
            "a thread of the generator panicked".to_owned(),
        )),
    }
}
