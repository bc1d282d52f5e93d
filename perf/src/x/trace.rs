//! The system calls of a running process, by strace: a second witness for what counters say.
//!
//! strace does not see what goes over io_uring, so it proves what went by sendfile and that nothing
//! was written by plain calls. Where tracing is not allowed (containers without ptrace), asking for
//! it is a failure that says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::packages::tool;
use super::process::{Daemon, Program};
use super::{Context, Failure, Outcome};

/// Attaching to some twenty threads, or letting go of them.
const PATIENCE: Duration = Duration::from_secs(30);
const CALLS: &str = "trace=sendfile,write,writev,pwrite64,pwritev,pwritev2";
const WRITES: [&str; 5] = ["write(", "writev(", "pwrite64(", "pwritev(", "pwritev2("];

/// A process being traced.
#[derive(Debug)]
pub struct Trace {
    strace: Daemon,
    file: PathBuf,
}

/// What a trace saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Sum of what sendfile said it sent.
    pub sendfile_bytes: u64,
    /// Plain writes to journal files and segments.
    pub writes: Vec<String>,
}

impl Trace {
    /// Begins to trace all threads of a process; the calls go to `file`.
    pub fn attach(process: u32, file: &Path) -> Outcome<Self> {
        let program = tool("strace", "strace")?;
        let words = file.with_extension("words");
        let mut strace = Program::new(program)
            .args([
                "-f",
                "-q",
                "-y",
                "-e",
                CALLS,
                "-p",
                &process.to_string(),
                "-o",
            ])
            .arg(file)
            .spawn(&words)?;
        let started = Instant::now();
        while !is_traced(process)? {
            let gone = strace.ended();
            if gone.is_some() || started.elapsed() > PATIENCE {
                let told = fs::read_to_string(&words).unwrap_or_default();
                return Err(Failure::new(format!(
                    "strace can't attach to the node; this row needs a machine that allows ptrace\n{told}"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self {
            strace,
            file: file.to_owned(),
        })
    }

    /// Lets go of the process; what was seen.
    pub fn end(self) -> Outcome<Calls> {
        // strace ends by the signal it is sent, after letting go: that is no failure.
        let _by_signal = self.strace.stop(PATIENCE)?;
        let text = fs::read_to_string(&self.file).context(|| "reading the trace")?;
        Ok(read(&text))
    }
}

fn is_traced(process: u32) -> Outcome<bool> {
    let tasks = format!("/proc/{process}/task");
    for task in fs::read_dir(&tasks).context(|| format!("listing {tasks}"))? {
        let path = task.context(|| "listing")?.path().join("status");
        // A thread that ended meanwhile needs no tracing.
        let status = fs::read_to_string(path).unwrap_or_default();
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A call may be told in two lines, begun and resumed: the first has its arguments, the second its
/// result.
fn read(text: &str) -> Calls {
    let mut calls = Calls::default();
    for line in text.lines() {
        let call = line
            .split_once(' ')
            .map_or(line, |(_, call)| call.trim_start());
        if call.starts_with("sendfile(") || call.starts_with("<... sendfile resumed>") {
            let result = call.rsplit_once(" = ").map(|(_, result)| result);
            let bytes = result.and_then(|result| result.split(' ').next()?.parse::<u64>().ok());
            calls.sendfile_bytes += bytes.unwrap_or(0);
        }
        let is_write = WRITES.iter().any(|name| call.starts_with(name));
        let target = call.split(['<', '>']).nth(1).unwrap_or_default();
        if is_write && (target.contains("/data/journal/") || target.ends_with(".log")) {
            calls.writes.push(call.to_owned());
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_line_by_line() {
        let text = "\
77 sendfile(21<TCP:[127.0.0.1:1->127.0.0.1:2]>, 30</x/data/log/t-0/00.log>, [0] => [100], 262144) = 100
78 sendfile(21<TCP:[1]>, 30</x/00.log>, [100], 5) = -1 EAGAIN (Resource temporarily unavailable)
77 sendfile(21<TCP:[1]>, 30</x/00.log>, [100] <unfinished ...>
78 write(5<anon_inode:[eventfd]>, \"\\1\", 8) = 8
77 <... sendfile resumed> => [350], 250) = 250
78 pwrite64(9</x/data/journal/0/1.journal>, \"\", 4096, 0) = 4096
78 write(9</x/data/log/t-0/00.log>, \"\", 1 <unfinished ...>
78 write(2</x/node.out>, \"a.log\", 5) = 5
";
        let calls = read(text);
        assert_eq!(calls.sendfile_bytes, 350);
        assert_eq!(calls.writes.len(), 2, "{calls:?}");
    }
}
