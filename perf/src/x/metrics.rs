//! Numbers about a running server from outside: its own counters, its process, its disk.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{Context, Failure, Outcome};

const PATIENCE: Duration = Duration::from_secs(10);
/// Kernel clock ticks a second in /proc; fixed by Linux's interface.
const TICKS: f64 = 100.0;

/// A server's answer to a GET of `path`.
pub fn get(address: &str, path: &str) -> Outcome<String> {
    let mut socket = TcpStream::connect(address).context(|| format!("connecting to {address}"))?;
    socket
        .set_read_timeout(Some(PATIENCE))
        .context(|| "setting a time limit")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).context(|| "sending")?;
    let mut answer = String::new();
    socket
        .read_to_string(&mut answer)
        .context(|| "reading an answer")?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(Failure::new(format!("{path} was answered with\n{answer}"))),
    }
}

/// The sum of a metric over all of its label sets; a metric that is not there is a failure.
pub fn sum(text: &str, name: &str) -> Outcome<f64> {
    let values: Vec<f64> = text
        .lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with([' ', '{']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
        .collect();
    if values.is_empty() {
        return Err(Failure::new(format!("no metric {name}")));
    }
    Ok(values.iter().sum())
}

/// User and system CPU-seconds of a process so far.
pub fn cpu_seconds(process: u32) -> Outcome<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).context(|| "reading stat")?;
    let after = text.rsplit(") ").next().unwrap_or_default();
    let ticks: Vec<f64> = after
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse().ok())
        .collect();
    match ticks.as_slice() {
        [user, system] => Ok((user + system) / TICKS),
        _ => Err(Failure::new("/proc/PID/stat is not as expected")),
    }
}

/// Resident memory of a process now and at its peak, in MiB.
pub fn memory_mib(process: u32) -> Outcome<(u64, u64)> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(path).context(|| "reading status")?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let now = field("VmRSS:").context(|| "no VmRSS")?;
    let peak = field("VmHWM:").context(|| "no VmHWM")?;
    Ok((now / 1024, peak / 1024))
}

/// What the block device below a path has done since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    pub writes: u64,
    pub write_sectors: u64,
    pub flushes: u64,
}

pub fn device(path: &Path) -> Outcome<Device> {
    let number = fs::metadata(path)
        .context(|| format!("looking at {}", path.display()))?
        .dev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let file = format!("/sys/dev/block/{major}:{minor}/stat");
    let text = fs::read_to_string(&file).context(|| format!("reading {file}"))?;
    let fields: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0);
    Ok(Device {
        writes: field(4),
        write_sectors: field(6),
        flushes: field(15),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP a x\na{shard=\"0\"} 3\na{shard=\"1\"} 4\nab 9\n";
        assert!((sum(text, "a").unwrap() - 7.0).abs() < 1e-9);
        assert!(sum(text, "missing").is_err());
    }

    #[test]
    fn this_process_has_used_some_memory() {
        let (now, peak) = memory_mib(std::process::id()).unwrap();
        assert!(0 < now && now <= peak);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
