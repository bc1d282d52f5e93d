//! The data directory: can it be used, on what does it lie, and how fast is a small durable write.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thalweg_config::Loaded;
use thalweg_config::units::show_bytes;
use thalweg_storage::disk::probe::Probe;
use thalweg_storage::files::meta::{META_PROPERTIES, MetaProperties};

use super::super::cluster::round_bytes;
use super::check::{Check, Severity, chosen, read};
use crate::runtime::boot;

const GROUP: &str = "storage";
/// Room for the journals' first files and some records.
const FREE_BYTES_GOOD: u64 = 1 << 30;
/// A durable write that takes longer makes every acknowledgement slow.
const WRITE_GOOD: Duration = Duration::from_millis(5);
const BLOCK: usize = 4_096;
/// The probe's file; removed at its end.
const PROBE_NAME: &str = ".doctor";
/// What the next clean stop takes away.
const NOT_EMPTY: &str = "log/THALWEG-JOURNAL-NOT-EMPTY.txt";

pub(super) fn checks(loaded: &Loaded, measure: Option<Duration>) -> Vec<Check> {
    let data = boot::data_dir(loaded);
    let dir = nearest(&data);
    let mut checks = vec![writable(&data, &dir)];
    if !checks.iter().any(Check::failed) {
        checks.push(direct(&dir));
    }
    checks.extend([
        file_system(&dir),
        free(&dir),
        scheduler(&dir),
        cache(&dir),
        identity(&data),
    ]);
    if let Some(time) = measure {
        checks.push(durable_write(&dir, time));
    }
    checks
}

/// The directory itself, or the nearest one above it that exists: a first start makes the rest.
fn nearest(data: &Path) -> PathBuf {
    let existing = data.ancestors().find(|dir| dir.is_dir());
    match existing {
        Some(dir) if dir.as_os_str().is_empty() => PathBuf::from("."),
        Some(dir) => dir.to_path_buf(),
        None => PathBuf::from("."),
    }
}

fn writable(data: &Path, dir: &Path) -> Check {
    let path = dir.join(PROBE_NAME);
    let made = File::create(&path).and_then(|_| fs::remove_file(&path));
    let current = match &made {
        Ok(()) if data.is_dir() => format!("{} is", data.display()),
        Ok(()) => format!("{} can be made", data.display()),
        Err(error) => format!("{}: {error}", dir.display()),
    };
    Check::new(GROUP, "data-directory", "where records and the journal lie")
        .severity(Severity::Fatal)
        .found("writable", current, Some(made.is_ok()))
        .why(
            "nothing can be kept without it",
            "chown it to the user that runs the node, or name another with --data DIR",
        )
}

fn direct(dir: &Path) -> Check {
    let probe = Probe::run(dir);
    let (current, passed) = match &probe {
        Ok(probe) if probe.is_direct => (
            format!("works, a durable write takes {:?}", probe.write_time),
            Some(true),
        ),
        Ok(probe) => (
            format!(
                "buffered only, a durable write takes {:?}",
                probe.write_time
            ),
            Some(false),
        ),
        Err(error) => (error.to_string(), None),
    };
    Check::new(
        GROUP,
        "direct-io",
        "reading and writing past the page cache",
    )
    .severity(Severity::Warning)
    .found("works", current, passed)
    .why(
        "without it, writes are copied once more and reads of old records disturb the page cache",
        "put the data directory on ext4 or xfs",
    )
}

fn file_system(dir: &Path) -> Check {
    let found = rustix::fs::statfs(dir)
        .ok()
        .map(|stat| name_of(stat.f_type.into()));
    Check::new(GROUP, "file-system", "what the data directory lies on")
        .severity(Severity::Warning)
        .found(
            "ext4 or xfs",
            found.clone().unwrap_or_else(|| "unknown".to_owned()),
            found.map(|name| name == "ext4" || name == "xfs"),
        )
        .why(
            "only on these are direct I/O, preallocation and flushes known to do what the journal needs; memory and overlay file systems are for trying out",
            "mount ext4 or xfs, and name it with --data DIR",
        )
}

/// By the magic number of statfs(2).
fn name_of(magic: i128) -> String {
    match magic {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794c_7630 => "overlay".to_owned(),
        0x6969 => "nfs".to_owned(),
        0x2fc1_2fc1 => "zfs".to_owned(),
        0xf2f5_2010 => "f2fs".to_owned(),
        0x6573_5546 => "fuse".to_owned(),
        other => format!("number {other:#x}"),
    }
}

fn free(dir: &Path) -> Check {
    let found = rustix::fs::statvfs(dir).ok();
    let bytes = found.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    Check::new(GROUP, "free-space", "room for records")
        .severity(Severity::Warning)
        .found(
            show_bytes(FREE_BYTES_GOOD),
            bytes.map_or("unknown".to_owned(), round_bytes),
            bytes.map(|bytes| bytes >= FREE_BYTES_GOOD),
        )
        .why(
            "a full disk refuses records until retention or somebody makes room",
            "make room, or name another disk with --data DIR",
        )
}

/// The queue of the block device under a directory, in sysfs.
fn queue(dir: &Path) -> Option<PathBuf> {
    let device = fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let device = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    // A partition has its disk's queue.
    let own = device.join("queue");
    match own.is_dir() {
        true => Some(own),
        false => device
            .parent()
            .map(|disk| disk.join("queue"))
            .filter(|queue| queue.is_dir()),
    }
}

fn of_queue(dir: &Path, name: &str) -> Option<String> {
    read(queue(dir)?.join(name).to_str()?)
}

fn scheduler(dir: &Path) -> Check {
    let found = of_queue(dir, "scheduler");
    let name = found
        .as_deref()
        .map(|text| chosen(text).unwrap_or(text).to_owned());
    Check::new(
        GROUP,
        "scheduler",
        "how the kernel orders the disk's requests",
    )
    .severity(Severity::Info)
    .found(
        "none",
        name.clone()
            .unwrap_or_else(|| "no block device seen".to_owned()),
        name.map(|name| name == "none"),
    )
    .why(
        "the node orders its own requests; a scheduler costs a little time for each",
        "echo none > /sys/block/DISK/queue/scheduler",
    )
}

fn cache(dir: &Path) -> Check {
    let cache = of_queue(dir, "write_cache");
    let fua = of_queue(dir, "fua");
    let current = match (&cache, &fua) {
        (Some(cache), Some(fua)) => format!("{cache}, fua {fua}"),
        _ => "no block device seen".to_owned(),
    };
    Check::new(GROUP, "write-cache", "whether a flush is a trip of its own")
        .found("-", current, None)
        .why(
            "with a volatile cache (write back) and no FUA every durable write is a write and a flush; disks with power-loss protection say `write through`",
            "",
        )
}

fn identity(data: &Path) -> Check {
    let meta = fs::read(data.join("log").join(META_PROPERTIES));
    let current = match meta.map(|bytes| MetaProperties::decode(&bytes)) {
        Ok(Ok(meta)) => {
            let unclean = data.join(NOT_EMPTY).exists();
            let stopped = match unclean {
                true => "in use, or not stopped cleanly: the next start replays the journal",
                false => "stopped cleanly",
            };
            format!(
                "cluster {} node {}, {stopped}",
                meta.cluster_id, meta.node_id
            )
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "not formatted: the first start does it".to_owned()
        }
        Err(error) => error.to_string(),
    };
    Check::new(GROUP, "data", "what lies in the data directory")
        .found("-", current, None)
        .why("a directory belongs to one node of one cluster", "")
}

/// Small durable writes one after the other, as the journal makes them.
fn durable_write(dir: &Path, time: Duration) -> Check {
    let path = dir.join(PROBE_NAME);
    let measured = measure(&path, time);
    drop(fs::remove_file(&path));
    let (current, passed) = match measured {
        Ok(times) => {
            let at = |percent: usize| times.get(times.len() * percent / 100).copied();
            let p50 = at(50).unwrap_or_default();
            let words = format!(
                "{} writes, p50 {p50:?}, p99 {:?}, worst {:?}",
                times.len(),
                at(99).unwrap_or_default(),
                times.last().copied().unwrap_or_default()
            );
            (words, Some(p50 <= WRITE_GOOD))
        }
        Err(error) => (error.to_string(), None),
    };
    Check::new(
        GROUP,
        "durable-write",
        "4 KiB written and flushed, one after the other",
    )
    .severity(Severity::Warning)
    .found(format!("p50 up to {WRITE_GOOD:?}"), current, passed)
    .why(
        "an acknowledgement waits for one such write",
        "use a local SSD, best with power-loss protection; other load on the disk counts, too",
    )
}

fn measure(path: &Path, time: Duration) -> io::Result<Vec<Duration>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)?;
    let block = [0x55; BLOCK];
    // The first write allocates; only writing again is what the journal does.
    file.write_all_at(&block, 0)?;
    file.sync_all()?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || begun.elapsed() < time {
        let before = Instant::now();
        file.write_all_at(&block, 0)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

#[cfg(test)]
mod tests {
    use thalweg_storage::testing::TempDir;

    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above() {
        let dir = TempDir::new("doctor");
        let deep = dir.path().join("not/there");
        assert_eq!(nearest(&deep), dir.path());
        assert_eq!(writable(&deep, dir.path()).passed, Some(true));
        let times = measure(&dir.path().join(PROBE_NAME), Duration::ZERO).unwrap();
        assert_eq!(times.len(), 1);
        assert_eq!(name_of(0xef53), "ext4");
    }
}
