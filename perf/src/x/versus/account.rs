//! What a server has used, seen from outside: CPU time and context switches of its process and all
//! that came from it, and what the block device below its data did meanwhile.
//!
//! CPU time is utime + stime in /proc, counted in hundredths of a second, plus that of children that
//! have ended. Context switches are summed over the threads alive at both ends; a thread that comes
//! and goes in between is missed. The device is shared: on a busy machine it counts others' work too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use super::metric::{Figures, Metric};
use crate::x::metrics::{self, Device};
use crate::x::{Context, Outcome};

/// Kernel clock ticks a second in /proc; fixed by Linux's interface.
const TICKS: f64 = 100.0;

/// The state of the counters at one moment.
#[derive(Debug)]
pub(super) struct Account {
    at: Instant,
    cpu_seconds: f64,
    context_switches: u64,
    device: Device,
}

/// The difference of two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spent {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) context_switches: u64,
    pub(super) flushes: u64,
    pub(super) writes: u64,
    pub(super) mb_written: f64,
}

impl Account {
    pub(super) fn take(process: u32, dir: &Path) -> Outcome<Self> {
        let mut cpu_seconds = 0.0;
        let mut context_switches = 0;
        for process in tree(process, &parents()) {
            cpu_seconds += cpu(process).unwrap_or(0.0);
            context_switches += switches(process);
        }
        Ok(Self {
            at: Instant::now(),
            cpu_seconds,
            context_switches,
            device: metrics::device(dir)?,
        })
    }

    pub(super) fn until(&self, later: &Self) -> Spent {
        let (from, to) = (&self.device, &later.device);
        let sectors = to.write_sectors.saturating_sub(from.write_sectors);
        Spent {
            seconds: later.at.duration_since(self.at).as_secs_f64(),
            cpu_seconds: (later.cpu_seconds - self.cpu_seconds).max(0.0),
            context_switches: later.context_switches.saturating_sub(self.context_switches),
            flushes: to.flushes.saturating_sub(from.flushes),
            writes: to.writes.saturating_sub(from.writes),
            mb_written: sectors as f64 * 512.0 / 1e6,
        }
    }
}

impl Spent {
    /// With what all that was spent on: records and bytes of values, warm-up included.
    pub(super) fn figures(&self, records: u64, bytes: u64) -> Figures {
        let seconds = self.seconds.max(1e-9);
        let mut figures = Figures::from([
            (Metric::CpuCores, self.cpu_seconds / seconds),
            (
                Metric::ContextSwitchesPerSecond,
                self.context_switches as f64 / seconds,
            ),
            (
                Metric::DeviceFlushesPerSecond,
                self.flushes as f64 / seconds,
            ),
            (Metric::DeviceWritesPerSecond, self.writes as f64 / seconds),
            (Metric::DeviceMbPerSecond, self.mb_written / seconds),
        ]);
        if records > 0 && bytes > 0 {
            let per_gb = self.cpu_seconds / (bytes as f64 / 1e9);
            figures.insert(Metric::CpuSecondsPerGb, per_gb);
            let per_record = self.cpu_seconds * 1e9 / records as f64;
            figures.insert(Metric::CpuNsPerRecord, per_record);
        }
        figures
    }
}

/// Lets the kernel count the process's peak memory anew; where that is not allowed, it stays the
/// peak since the start.
pub(super) fn reset_peak(process: u32) {
    drop(fs::write(format!("/proc/{process}/clear_refs"), "5"));
}

/// Parent of every process.
fn parents() -> BTreeMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, fields(process)?.get(1)?.parse().ok()?)))
        .collect()
}

/// A process and all that descend from it.
fn tree(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(process, of)| **of == parent && **process != parent)
                .map(|(process, _)| *process),
        );
        next += 1;
    }
    found
}

/// What /proc says about a process after its name: state, parent, and so on.
fn fields(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let after = text.rsplit(") ").next()?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

/// Its own and that of its children that have ended.
fn cpu(process: u32) -> Outcome<f64> {
    let fields = fields(process).context(|| format!("process {process} is gone"))?;
    let ticks = fields.iter().skip(11).take(4);
    Ok(ticks
        .filter_map(|word| word.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS)
}

fn switches(process: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let entries = tasks.into_iter().flatten().flatten();
    entries
        .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
        .map(|status| switches_of(&status))
        .sum()
}

fn switches_of(status: &str) -> u64 {
    status
        .lines()
        .filter(|line| line.contains("voluntary_ctxt_switches:"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found() {
        let parents = BTreeMap::from([(1, 0), (10, 1), (11, 10), (12, 11), (20, 1)]);
        assert_eq!(tree(10, &parents), [10, 11, 12]);
        assert_eq!(tree(20, &parents), [20]);
    }

    #[test]
    fn both_kinds_of_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t5\n";
        assert_eq!(switches_of(status), 12);
    }

    #[test]
    fn costs_are_shared_out() {
        let spent = Spent {
            seconds: 2.0,
            cpu_seconds: 1.0,
            context_switches: 10,
            flushes: 4,
            writes: 6,
            mb_written: 8.0,
        };
        let figures = spent.figures(1_000_000, 500_000_000);
        assert_eq!(figures.get(&Metric::CpuSecondsPerGb), Some(&2.0));
        assert_eq!(figures.get(&Metric::CpuNsPerRecord), Some(&1000.0));
        assert_eq!(figures.get(&Metric::DeviceFlushesPerSecond), Some(&2.0));
        assert!(!spent.figures(0, 0).contains_key(&Metric::CpuSecondsPerGb));
    }

    #[test]
    fn this_process_can_be_counted() {
        let account = Account::take(std::process::id(), Path::new("/tmp")).unwrap();
        assert!(account.context_switches > 0);
    }
}
