//! A conversation with another program: lines of JSON to its input, lines of JSON from its output.
//!
//! Lines are read by a thread of their own, so that neither side ever blocks on a full pipe, and
//! each wait is bounded: a program that falls silent is a failure that shows what it complained of.
//! A program is killed when its conversation is dropped.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::process::{self, Program};
use super::{Context, Failure, Outcome};

/// How long a program may be silent when something is expected of it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The driver's end.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    /// None once the program has been told that there is no more.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Talk {
    pub fn start(program: Program, log: &Path) -> Outcome<Self> {
        let mut child = program.spawn_piped(log)?;
        let input = child.stdin.take();
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || pass_on(output, &sender));
        }
        Ok(Self {
            child,
            input,
            lines,
            log: log.to_owned(),
        })
    }

    /// Sends text as it is; lines end with a line feed of the caller's.
    pub fn send(&mut self, text: &str) -> Outcome<()> {
        let input = self.input.as_mut().context(|| "the input is closed")?;
        let sent = input.write_all(text.as_bytes());
        match sent.and_then(|()| input.flush()) {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.failure(&format!("it takes no more input: {cause}"))),
        }
    }

    /// The next line, which has to come.
    pub fn answer(&mut self) -> Outcome<Value> {
        self.hear(PATIENCE)?
            .ok_or_else(|| self.failure("it is silent"))
    }

    /// The next line, if one comes in time.
    pub fn hear(&mut self, limit: Duration) -> Outcome<Option<Value>> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.failure(&format!("no JSON: {line}"))),
            },
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.failure("it has ended")),
        }
    }

    /// No more input: the program is expected to end well. What it says last is told.
    pub fn close(mut self) -> Outcome<Vec<Value>> {
        drop(self.input.take());
        match process::wait(&mut self.child, PATIENCE) {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(self.failure(&format!("it ended with {status}"))),
            Err(cause) => return Err(self.failure(&cause.to_string())),
        }
        let last = self.lines.iter().map(|line| {
            serde_json::from_str(&line).context(|| format!("no JSON at its end: {line}"))
        });
        last.collect()
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Outcome<()> {
        self.child.kill().context(|| "killing a client")?;
        self.child
            .wait()
            .context(|| "waiting for a killed client")?;
        Ok(())
    }

    fn failure(&self, what: &str) -> Failure {
        let complaints = fs::read_to_string(&self.log).unwrap_or_default();
        let name = self.log.file_stem().unwrap_or_default().to_string_lossy();
        Failure::new(format!("{name}: {what}\n{}", process::tail(&complaints)))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn pass_on(output: ChildStdout, lines: &Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(script: &str) -> Talk {
        let name = format!("talk-{}-{}.log", std::process::id(), script.len());
        let program = Program::new("sh").args(["-c", script]);
        Talk::start(program, &std::env::temp_dir().join(name)).unwrap()
    }

    #[test]
    fn lines_go_both_ways() {
        let mut cat = talk("cat");
        cat.send("[1]\n").unwrap();
        assert_eq!(cat.answer().unwrap(), serde_json::json!([1]));
        cat.send("[2]\n").unwrap();
        assert_eq!(cat.close().unwrap(), [serde_json::json!([2])]);
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let broken = talk("cat; echo broken >&2; exit 3");
        let failure = broken.close().unwrap_err().to_string();
        assert!(failure.contains("broken"), "{failure}");
    }
}
