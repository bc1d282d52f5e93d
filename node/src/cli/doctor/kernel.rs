//! The kernel: io_uring, and what it is too old for.

use thalweg_storage::disk::ring::Ring;

use super::check::{Check, Severity, read};

const GROUP: &str = "kernel";
/// io_uring with the operations that the rings use.
const VERSION_MIN: (u32, u32) = (5, 10);
/// cachestat(2), which tells what is in the page cache.
const VERSION_GOOD: (u32, u32) = (6, 5);

pub(super) fn checks() -> Vec<Check> {
    vec![io_uring(), version()]
}

fn io_uring() -> Check {
    let (current, passed) = match Ring::new() {
        Ok(_) => ("works".to_owned(), true),
        Err(error) => (format!("{error} ({})", blockers()), false),
    };
    Check::new(GROUP, "io_uring", "asynchronous I/O of the kernel")
        .severity(Severity::Fatal)
        .found("allowed", current, Some(passed))
        .why(
            "all files and sockets of the node go through it",
            "set sysctl kernel.io_uring_disabled=0; in a container allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile; raise memlock",
        )
        .command("sysctl -w kernel.io_uring_disabled=0")
}

/// What may forbid it.
fn blockers() -> String {
    let sysctl = read("/proc/sys/kernel/io_uring_disabled").unwrap_or_else(|| "absent".to_owned());
    let status = read("/proc/self/status").unwrap_or_default();
    let seccomp = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .map_or("unknown", str::trim)
        .to_owned();
    format!("kernel.io_uring_disabled is {sysctl}, seccomp mode is {seccomp}")
}

fn version() -> Check {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let found = parse(&release);
    let severity = match found {
        Some(version) if version < VERSION_MIN => Severity::Fatal,
        _ => Severity::Warning,
    };
    Check::new(GROUP, "kernel", "version of the kernel")
        .severity(severity)
        .found(
            format!("{}.{} or later", VERSION_GOOD.0, VERSION_GOOD.1),
            release,
            found.map(|version| version >= VERSION_GOOD),
        )
        .why(
            "below 6.5 there is no cachestat: reads of old records cannot tell what is in memory; below 5.10 io_uring lacks what is needed",
            "use a newer kernel",
        )
}

fn parse(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_as_distributions_write_them() {
        assert_eq!(parse("6.12.0-1-amd64"), Some((6, 12)));
        assert_eq!(parse("5.4"), Some((5, 4)));
        assert_eq!(parse("odd"), None);
    }
}
