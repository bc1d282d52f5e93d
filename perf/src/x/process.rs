//! Other programs: run one to its end within a time limit, or keep one running beside the driver.
//!
//! Output is always drained by own threads, so that a chatty program never blocks on a full pipe.
//! A program that outlives its limit is killed and counts as failed. A [`Daemon`] is killed when it
//! is dropped, so that a failing run leaves no server behind; only processes started here are ended.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Context, Failure, Outcome};

/// Long enough for a cold build of the workspace on two cores; a program that needs more is stuck.
const TIME_LIMIT: Duration = Duration::from_secs(3600);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How much of a failed program's output is shown.
const TAIL_LINES_MAX: usize = 40;

/// A finished program's output.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// One program to run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: Option<Vec<u8>>,
    limit: Duration,
    echo: bool,
}

impl Program {
    #[must_use]
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(name);
        command.stdin(Stdio::null());
        Self {
            command,
            input: None,
            limit: TIME_LIMIT,
            echo: false,
        }
    }

    #[must_use]
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.command.args(args);
        self
    }

    #[must_use]
    pub fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn in_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Bytes for standard input; without them it is empty.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Shows the program's output while it runs.
    #[must_use]
    pub fn echo(mut self) -> Self {
        self.echo = true;
        self
    }

    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let line: Vec<_> = words.map(|word| shorten(&word.to_string_lossy())).collect();
        line.join(" ")
    }

    /// Runs to the end, whatever the exit code.
    pub fn finish(mut self) -> Outcome<Output> {
        let line = self.line();
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .context(|| format!("starting `{line}`"))?;
        let feeder = self
            .input
            .take()
            .zip(child.stdin.take())
            .map(|(bytes, mut pipe)| {
                // A program may end before it has read all: a broken pipe is its own verdict.
                thread::spawn(move || drop(pipe.write_all(&bytes)))
            });
        let stdout = drain(child.stdout.take(), self.echo);
        let stderr = drain(child.stderr.take(), self.echo);
        let status = wait(&mut child, self.limit).context(|| format!("running `{line}`"))?;
        if let Some(feeder) = feeder {
            drop(feeder.join());
        }
        Ok(Output {
            status,
            stdout: collect(stdout),
            stderr: collect(stderr),
        })
    }

    /// Runs to the end; anything but exit code 0 is a failure that shows the output's tail.
    pub fn run(self) -> Outcome<Output> {
        let (line, echo) = (self.line(), self.echo);
        let output = self.finish()?;
        if output.status.success() {
            return Ok(output);
        }
        let shown = if echo {
            String::new()
        } else {
            format!("\n{}\n{}", tail(&output.stdout), tail(&output.stderr))
        };
        Err(Failure::new(format!(
            "`{line}` ended with {}{shown}",
            output.status
        )))
    }

    /// Starts it with pipes for input and output, to talk to; its complaints go to `log`.
    pub(super) fn spawn_piped(mut self, log: &Path) -> Outcome<Child> {
        let line = self.line();
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file(log)?);
        self.command
            .spawn()
            .context(|| format!("starting `{line}`"))
    }

    /// Starts it and leaves it running; both outputs go to `log`.
    pub fn spawn(mut self, log: &Path) -> Outcome<Daemon> {
        let line = self.line();
        let file = log_file(log)?;
        let twin = file.try_clone().context(|| "sharing the log file")?;
        self.command.stdout(file).stderr(twin);
        let child = self
            .command
            .spawn()
            .context(|| format!("starting `{line}`"))?;
        Ok(Daemon { child })
    }
}

/// A program that runs beside the driver until it is stopped, killed or dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
}

impl Daemon {
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL: no chance to tidy up.
    pub fn kill(mut self) -> Outcome<()> {
        self.child.kill().context(|| "killing a server")?;
        self.child
            .wait()
            .context(|| "waiting for a killed server")?;
        Ok(())
    }

    /// SIGTERM, then waits for the exit code.
    pub fn stop(mut self, limit: Duration) -> Outcome<ExitStatus> {
        Program::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .run()?;
        wait(&mut self.child, limit).context(|| "stopping a server")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.ended().is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn log_file(path: &Path) -> Outcome<File> {
    let options = OpenOptions::new().create(true).append(true).open(path);
    options.context(|| format!("opening {}", path.display()))
}

pub(super) fn wait(child: &mut Child, limit: Duration) -> Outcome<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context(|| "asking for the exit status")? {
            return Ok(status);
        }
        if started.elapsed() > limit {
            drop(child.kill());
            drop(child.wait());
            return Err(Failure::new(format!(
                "still running after {} s",
                limit.as_secs()
            )));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>, echo: bool) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let Some(mut pipe) = pipe else { return all };
        let mut chunk = [0; 1 << 16];
        while let Ok(count @ 1..) = pipe.read(&mut chunk) {
            let part = chunk.get(..count).unwrap_or(&[]);
            if echo {
                drop(std::io::stderr().write_all(part));
            }
            all.extend_from_slice(part);
        }
        all
    })
}

fn collect(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

pub(super) fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES_MAX);
    lines.get(from..).unwrap_or(&[]).join("\n")
}

/// A class path of a hundred jars would hide the rest of the line.
fn shorten(word: &str) -> String {
    if word.chars().count() <= 200 {
        return word.to_owned();
    }
    word.chars().take(80).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_input_pass_through() {
        let output = Program::new("cat").input("hello").run().unwrap();
        assert_eq!(output.stdout, "hello");
    }

    #[test]
    fn a_failing_program_is_a_failure_with_its_words() {
        let failure = Program::new("sh")
            .args(["-c", "echo broken >&2; exit 3"])
            .run()
            .unwrap_err();
        assert!(failure.to_string().contains("broken"), "{failure}");
    }

    #[test]
    fn a_program_over_its_limit_is_ended() {
        let failure = Program::new("sleep")
            .arg("60")
            .limit(Duration::from_millis(30))
            .run()
            .unwrap_err();
        assert!(failure.to_string().contains("still running"), "{failure}");
    }
}
