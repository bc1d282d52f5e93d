//! Shards to cores, rings and locked memory: computed before anything starts.
//!
//! Cores are those of the affinity mask (not the machine's), capped by the cgroup's CPU quota.
//! Shards are pinned only when each gets a core of its own. glommio's rings and our second ring
//! need locked memory; what they need and what the limit gives is computed here, and rings get
//! smaller rather than fail. The pure half takes numbers; the reading half asks the kernel.

use std::fs;

/// Locked memory that glommio's own buffers get per shard; data goes through our memory.
pub const IO_MEMORY_BYTES: usize = 1 << 20;
/// Ring entries that are tried, largest first.
const RING_DEPTHS: [usize; 4] = [256, 128, 64, 32];
/// Bytes that one ring entry costs of locked memory: a submission entry of 64, two completion
/// entries of 16, rounded up for the index array.
const RING_ENTRY_BYTES: usize = 128;
/// Rings per shard: glommio's three and our second one.
const RINGS: usize = 4;

/// What the machine gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Cores this process may run on.
    pub cores: Vec<usize>,
    /// CPU quota in whole cores, rounded up.
    pub quota: Option<usize>,
    /// Limit of locked memory; `None` is unlimited.
    pub memlock_bytes: Option<u64>,
}

/// Where shards run and what rings they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The core of each shard; empty if shards are not pinned.
    pub pinned: Vec<usize>,
    /// Number of shards.
    pub shards: u16,
    /// Entries of each ring.
    pub ring_depth: usize,
    /// Locked memory that this needs.
    pub memlock_need: u64,
}

/// What was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Number of shards; 0 is one per usable core.
    pub shards: u16,
    /// Entries of each ring at most.
    pub ring_depth: usize,
}

/// The cores named by a list such as `0-3,8`; `None` if it can't be read.
#[must_use]
pub fn cores_of(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= rustix::thread::CpuSet::MAX_CPU {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// Decides.
#[must_use]
pub fn place(machine: &Machine, wanted: Wanted) -> Placement {
    let cores = machine.cores.len().max(1);
    let usable = machine.quota.unwrap_or(cores).clamp(1, cores);
    let shards = match wanted.shards {
        0 => u16::try_from(usable).unwrap_or(u16::MAX),
        wanted => wanted,
    };
    let pinned = if usize::from(shards) <= machine.cores.len() {
        machine
            .cores
            .iter()
            .copied()
            .take(usize::from(shards))
            .collect()
    } else {
        Vec::new()
    };
    let need = |depth: usize| {
        let shard = IO_MEMORY_BYTES + RINGS * depth * RING_ENTRY_BYTES;
        u64::from(shards) * shard as u64
    };
    let fits = |depth: &usize| {
        machine
            .memlock_bytes
            .is_none_or(|limit| need(*depth) <= limit)
    };
    let smallest = RING_DEPTHS[RING_DEPTHS.len() - 1];
    let allowed = |depth: &usize| *depth <= wanted.ring_depth;
    let ring_depth = RING_DEPTHS
        .into_iter()
        .filter(allowed)
        .find(fits)
        .unwrap_or(smallest);
    Placement {
        pinned,
        shards,
        ring_depth,
        memlock_need: need(ring_depth),
    }
}

/// Asks the kernel.
#[must_use]
pub fn machine() -> Machine {
    let cores = rustix::thread::sched_getaffinity(None).map_or_else(
        |_unknown| vec![0],
        |set| {
            (0..rustix::thread::CpuSet::MAX_CPU)
                .filter(|core| set.is_set(*core))
                .collect()
        },
    );
    let memlock = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    Machine {
        cores,
        quota: quota(),
        memlock_bytes: memlock,
    }
}

fn quota() -> Option<usize> {
    let text = |path: &str| fs::read_to_string(path).ok();
    if let Some(max) = text("/sys/fs/cgroup/cpu.max") {
        return quota_v2(&max);
    }
    let number = |path: &str| text(path)?.trim().parse::<i64>().ok();
    quota_v1(
        number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")?,
        number("/sys/fs/cgroup/cpu/cpu.cfs_period_us")?,
    )
}

fn quota_v2(max: &str) -> Option<usize> {
    let (quota, period) = max.trim().split_once(' ')?;
    quota_v1(quota.parse().ok()?, period.parse().ok()?)
}

fn quota_v1(quota: i64, period: i64) -> Option<usize> {
    if quota <= 0 || period <= 0 {
        return None;
    }
    usize::try_from((quota + period - 1) / period).ok()
}

/// Raises the number of open files to what the system allows; answers the limit.
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(shards: u16) -> Wanted {
        Wanted {
            shards,
            ring_depth: 256,
        }
    }

    #[test]
    fn core_lists_are_read_as_people_write_them() {
        assert_eq!(cores_of("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(cores_of("3"), Some(vec![3]));
        for bad in ["", "a", "3-1", "0-", "99999"] {
            assert_eq!(cores_of(bad), None, "{bad:?}");
        }
    }

    fn machine(cores: usize, quota: Option<usize>, memlock: Option<u64>) -> Machine {
        Machine {
            cores: (0..cores).collect(),
            quota,
            memlock_bytes: memlock,
        }
    }

    #[test]
    fn shards_follow_cores_and_quota() {
        for (cores, quota, count, shards, pinned) in [
            (2, None, 0, 2, 2),
            (8, Some(3), 0, 3, 3),
            (2, None, 4, 4, 0),
            (2, None, 1, 1, 1),
            (0, None, 0, 1, 0),
        ] {
            let placement = place(&machine(cores, quota, None), wanted(count));
            assert_eq!((placement.shards, placement.pinned.len()), (shards, pinned));
        }
    }

    #[test]
    fn rings_shrink_to_the_locked_memory_there_is() {
        assert_eq!(
            place(&machine(2, None, Some(8 << 20)), wanted(2)).ring_depth,
            256
        );
        assert_eq!(
            place(&machine(2, None, Some(2_200_000)), wanted(2)).ring_depth,
            64
        );
        assert_eq!(place(&machine(2, None, Some(0)), wanted(2)).ring_depth, 32);
    }

    #[test]
    fn quotas_round_up() {
        assert_eq!(quota_v2("max 100000\n"), None);
        assert_eq!(quota_v2("150000 100000\n"), Some(2));
        assert_eq!(quota_v1(-1, 100_000), None);
    }
}
