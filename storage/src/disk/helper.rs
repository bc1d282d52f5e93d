//! A thread for calls that block and that no ring offers, or that would make the kernel start a
//! thread of its own anyway: names, sizes, syncfs.
//!
//! One shard has two: names must not wait behind a barrier that takes 100 ms. The threads leave the
//! shard's core (see [`Helper::start`]), for they would steal from it what they wait for.
//!
//! Deliberately absent: cancelling, priorities. Stopping lets queued calls end.

use std::io::Error;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::ring::Ring;

/// Calls that wait for the thread; more are refused with EBUSY.
pub(super) const JOBS_MAX: usize = 16_384;

type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Helper {
    /// `None` only while dropping.
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    /// Starts the thread on `cpus`, or where its parent runs if there are none.
    pub(super) fn start(name: &str, cpus: &[usize]) -> Result<Self, Error> {
        let (jobs, arrived) = sync_channel::<Job>(JOBS_MAX);
        let cpus = cpus.to_vec();
        let run = move || {
            if !cpus.is_empty() {
                let mut set = CpuSet::new();
                cpus.iter()
                    .filter(|cpu| **cpu < CpuSet::MAX_CPU)
                    .for_each(|cpu| set.set(*cpu));
                if let Err(error) = sched_setaffinity(None, &set) {
                    tracing::warn!(%error, ?cpus, "a disk helper stays on its shard's core");
                }
            }
            arrived.into_iter().for_each(|job| job());
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs a blocking call on the thread. It is queued when this is first polled.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        ring: &Ring,
        call: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (job, answer) = ring.foreign().wrap(call);
        self.send(job)?;
        answer.await
    }

    /// Runs a call that nobody waits for; on the spot if the queue is full.
    pub(super) fn run_detached(&self, call: impl FnOnce() + Send + 'static) {
        let Some(jobs) = &self.jobs else { return };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            jobs.try_send(Box::new(call))
        {
            job();
        }
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        let jobs = self
            .jobs
            .as_ref()
            .expect("only dropping takes the queue away");
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Error::from_raw_os_error(libc::EBUSY)),
            Err(TrySendError::Disconnected(_)) => Err(Error::other("the disk helper has ended")),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a disk helper panicked");
        }
    }
}
