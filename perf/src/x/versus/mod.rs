//! `cargo x versus --quick [--only thalweg|kafka]`: Thalweg and Apache Kafka 4.3.0 side by side.
//!
//! The same generator, the same topics, the same file system, one server at a time, in the order
//! A-B-C-C-B-A, medians of the repeats. Like is compared with like only: `flush` with Kafka's
//! `flush.messages=1`, `write` with Kafka's default. What the machine itself can do (an echo over
//! loopback, a durable write) is measured in the same run. Every report says what it compared.

mod limits;
mod rows;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use thalweg_bench::Report;

use super::packages;
use super::process::Program;
use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally, metrics};
use rows::Row;

const PORT: u16 = 19292;
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// After its start a Java machine is busy with itself for a while.
const SETTLE: Duration = Duration::from_secs(3);

/// What an acknowledgement has to mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Durability {
    Flush,
    Write,
}

/// One of the servers compared, in one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Subject {
    #[serde(skip)]
    kind: Kind,
    pub shards: u8,
    pub durability: Durability,
}

/// One row on one subject, once.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub row: &'static str,
    pub subject: String,
    pub report: Report,
    /// Of the server, during the whole run.
    pub cpu_seconds: f64,
    pub cpu_seconds_per_gb: f64,
    pub device_flushes: u64,
    pub device_writes: u64,
    pub device_mb_written: f64,
}

/// What a server shows before any load.
#[derive(Debug, Clone, Serialize)]
pub struct Start {
    pub subject: String,
    pub ready_ms: u128,
    pub resident_mib: u64,
    pub peak_mib_after_load: u64,
}

/// All that a side-by-side run has measured.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    pub commit: String,
    pub limits: limits::Limits,
    pub starts: Vec<Start>,
    pub samples: Vec<Sample>,
}

impl Subject {
    fn name(self) -> String {
        match (self.kind, self.durability) {
            (Kind::Kafka, Durability::Flush) => "Kafka, flush.messages=1".to_owned(),
            (Kind::Kafka, Durability::Write) => "Kafka, default".to_owned(),
            (Kind::Thalweg, Durability::Flush) => format!("Thalweg flush, {} shard", self.shards),
            (Kind::Thalweg, Durability::Write) => format!("Thalweg write, {} shard", self.shards),
        }
    }

    fn extra(self) -> Vec<String> {
        let durability = if self.durability == Durability::Flush {
            "flush"
        } else {
            "write"
        };
        match self.kind {
            Kind::Thalweg => [
                "--shards",
                &self.shards.to_string(),
                "--durability",
                durability,
            ]
            .map(str::to_owned)
            .to_vec(),
            Kind::Kafka if self.durability == Durability::Flush => {
                vec!["log.flush.interval.messages=1".to_owned()]
            }
            Kind::Kafka => Vec::new(),
        }
    }
}

struct Programs {
    thalweg: Option<PathBuf>,
    kafka: Option<PathBuf>,
    bench: PathBuf,
}

pub fn versus(arguments: &[&str]) -> Outcome<Tally> {
    let (thalweg, kafka) = match arguments {
        ["--quick"] => (true, true),
        ["--quick", "--only", "thalweg"] => (true, false),
        ["--quick", "--only", "kafka"] => (false, true),
        _ => {
            return Err(Failure::new(
                "only --quick and --quick --only thalweg|kafka exist so far",
            ));
        }
    };
    let programs = Programs {
        thalweg: thalweg
            .then(|| server::thalweg(Build::Release))
            .transpose()?,
        kafka: kafka.then(packages::kafka_jars).transpose()?,
        bench: generator()?,
    };
    let limits = limits::measure(&packages::cache())?;
    let mut results = Results {
        commit: commit()?,
        limits,
        starts: Vec::new(),
        samples: Vec::new(),
    };
    let mut tally = Tally::default();
    for durability in [Durability::Flush, Durability::Write] {
        for subject in order(&programs, durability) {
            match measure(&programs, subject, &mut results) {
                Ok(samples) => tally.passed += samples,
                Err(failure) => {
                    eprintln!("FAILED  {}: {failure}", subject.name());
                    tally.failed += 1;
                }
            }
        }
    }
    save(&results, thalweg && kafka)?;
    Ok(tally)
}

/// A-B-C-C-B-A: what drifts with time hits all alike.
fn order(programs: &Programs, durability: Durability) -> Vec<Subject> {
    let mut once = Vec::new();
    if programs.kafka.is_some() {
        once.push(Subject {
            kind: Kind::Kafka,
            shards: 0,
            durability,
        });
    }
    if programs.thalweg.is_some() {
        once.extend([1, 2].map(|shards| Subject {
            kind: Kind::Thalweg,
            shards,
            durability,
        }));
    }
    let back: Vec<Subject> = once.iter().rev().copied().collect();
    once.extend(back);
    once
}

/// All rows on a fresh server; how many there were.
fn measure(programs: &Programs, subject: Subject, results: &mut Results) -> Outcome<u64> {
    let program = match subject.kind {
        Kind::Kafka => &programs.kafka,
        Kind::Thalweg => &programs.thalweg,
    };
    let program = program
        .as_ref()
        .context(|| "the subject was not asked for")?;
    let mut setup = Setup::fresh(subject.kind, "versus", PORT, program)?;
    setup.extra = subject.extra();
    let mut server = Server::new(setup);
    eprintln!("== {}", subject.name());
    let ready = server.start()?;
    std::thread::sleep(SETTLE);
    let process = server.process().context(|| "the server does not run")?;
    let (resident_mib, _) = metrics::memory_mib(process)?;
    let mut count = 0;
    for row in rows::QUICK {
        let sample = sample(programs, subject, &server, row)?;
        eprintln!("{}", table::line(&sample));
        results.samples.push(sample);
        count += 1;
    }
    results.starts.push(Start {
        subject: subject.name(),
        ready_ms: ready.as_millis(),
        resident_mib,
        peak_mib_after_load: metrics::memory_mib(process)?.1,
    });
    server.stop()?;
    Ok(count)
}

fn sample(programs: &Programs, subject: Subject, server: &Server, row: &Row) -> Outcome<Sample> {
    let process = server.process().context(|| "the server does not run")?;
    let run = |options: &[&str]| generate(programs, subject, server, row, options);
    // Compiles the server's and warms up the page cache; measured is only what follows.
    run(&["--warm-up", "0", "--duration", "2"])?;
    let before = (
        metrics::cpu_seconds(process)?,
        metrics::device(&server.setup().dir)?,
    );
    let report = run(&["--warm-up", "0", "--duration", "5"])?;
    let after = (
        metrics::cpu_seconds(process)?,
        metrics::device(&server.setup().dir)?,
    );
    let cpu_seconds = after.0 - before.0;
    Ok(Sample {
        row: row.name,
        subject: subject.name(),
        cpu_seconds,
        cpu_seconds_per_gb: cpu_seconds / (report.bytes as f64 / 1e9).max(1e-9),
        device_flushes: after.1.flushes - before.1.flushes,
        device_writes: after.1.writes - before.1.writes,
        device_mb_written: (after.1.write_sectors - before.1.write_sectors) as f64 * 512.0 / 1e6,
        report,
    })
}

fn generate(
    programs: &Programs,
    subject: Subject,
    server: &Server,
    row: &Row,
    options: &[&str],
) -> Outcome<Report> {
    let output = Program::new(&programs.bench)
        .args(row.words)
        .args(["--brokers", &server.address(), "--format", "json"])
        .args(["--durability", &subject.name()])
        .args(options)
        .limit(RUN_LIMIT)
        .run()
        .context(|| format!("row {}", row.name))?;
    serde_json::from_str(&output.stdout).context(|| "reading the generator's report")
}

fn generator() -> Outcome<PathBuf> {
    eprintln!("$ cargo build --release --package thalweg-bench");
    Program::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "thalweg-bench",
        ])
        .in_dir(&packages::root())
        .echo()
        .run()?;
    Ok(packages::root().join("target/release/thalweg-bench"))
}

fn commit() -> Outcome<String> {
    let output = Program::new("git")
        .args(["describe", "--always", "--dirty"])
        .in_dir(&packages::root())
        .run()?;
    Ok(output.stdout.trim().to_owned())
}

/// A run of both sides is a result to keep; half a run stays in the driver's own folder.
fn save(results: &Results, both: bool) -> Outcome<()> {
    let dir = if both {
        packages::root().join("perf/results")
    } else {
        packages::cache()
    };
    fs::create_dir_all(&dir).context(|| "creating the folder for results")?;
    let json = serde_json::to_string_pretty(results).context(|| "writing results as JSON")?;
    fs::write(dir.join("quick.json"), json).context(|| "saving results")?;
    let text = table::whole(results);
    eprintln!("{text}");
    fs::write(dir.join("quick.md"), text).context(|| "saving the table")
}
