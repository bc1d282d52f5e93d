//! Where a run took place: what a reader has to know before believing a number.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    pub version: String,
    #[serde(default)]
    pub memory_mib: u64,
    /// The machine's block devices: name, size, kind of write cache.
    #[serde(default)]
    pub disks: Vec<String>,
    /// What the generator was built from; empty outside of a repository.
    #[serde(default)]
    pub git: String,
}

impl Environment {
    #[must_use]
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: cpu.map_or_else(String::new, |(_, name)| name.to_owned()),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            memory_mib: memory_mib(&read("/proc/meminfo")),
            disks: disks(Path::new("/sys/block")),
            git: env!("THALWEG_BENCH_GIT").to_owned(),
        }
    }
}

fn memory_mib(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Disks with a size, without loops and memory.
fn disks(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let disk = |path: &Path| {
        let read = |file| fs::read_to_string(path.join(file)).unwrap_or_default();
        let name = path.file_name()?.to_string_lossy().into_owned();
        let sectors: u64 = read("size").trim().parse().ok()?;
        let made_up = ["loop", "ram", "zram", "nbd"]
            .iter()
            .any(|kind| name.starts_with(kind));
        if made_up || sectors == 0 {
            return None;
        }
        let kind = match read("queue/rotational").trim() {
            "1" => "rotating",
            _ => "solid state",
        };
        let cache = read("queue/write_cache").trim().to_owned();
        let model = read("device/model").trim().to_owned();
        let gib = (sectors * 512) >> 30;
        Some(format!("{name} {model} {gib} GiB, {kind}, {cache}").replace("  ", " "))
    };
    let mut found: Vec<String> = entries.filter_map(|entry| disk(&entry.path())).collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        assert_eq!(
            memory_mib("MemTotal:       24576000 kB\nMemFree: 1 kB\n"),
            24_000
        );
        assert_eq!(memory_mib(""), 0);
    }
}
