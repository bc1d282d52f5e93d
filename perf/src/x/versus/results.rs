//! Everything that a run has measured, as a file: written by a run, read for tables and plots.
//!
//! One JSON object, one sample a line, so that a committed result is a readable difference.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::metric::Figures;
use super::subject::{Durability, Subject};
use crate::x::{Context, Outcome, packages};

pub(super) const SCHEMA_VERSION: u32 = 2;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) schema_version: u32,
    pub(super) form: Form,
    pub(super) commit: String,
    pub(super) kafka_version: String,
    /// Seconds since 1970.
    pub(super) started: u64,
    pub(super) machine: Machine,
    /// Of a plain load, as planned.
    pub(super) row_seconds: f64,
    pub(super) warm_up_seconds: f64,
    pub(super) limits: Limits,
    pub(super) servers: Vec<ServerRun>,
    pub(super) samples: Vec<Sample>,
    pub(super) failures: Vec<Failed>,
}

/// How much of the matrix was played, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    Quick,
    Full,
    Long,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) kernel: String,
    pub(super) cpu: String,
    pub(super) cpus: usize,
    pub(super) memory_mib: u64,
}

/// One start of one server, before and around its rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct ServerRun {
    pub(super) subject: Subject,
    pub(super) durability: Durability,
    pub(super) repeat: u32,
    /// First start with an empty folder, formatting apart for Kafka, included for Thalweg.
    pub(super) ready_ms: f64,
    pub(super) resident_mib: u64,
    /// Through all rows.
    pub(super) peak_mib: u64,
}

/// One row on one server, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) row: String,
    pub(super) durability: Durability,
    pub(super) subject: Subject,
    pub(super) repeat: u32,
    pub(super) seconds: f64,
    pub(super) figures: Figures,
}

/// A row that gave no figures, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) row: String,
    pub(super) durability: Durability,
    pub(super) subject: Subject,
    pub(super) words: String,
}

impl Form {
    #[must_use]
    /// Who speaks for a side.
    pub(super) fn spokesmen(self) -> &'static str {
        match self {
            Self::Quick => "Each side as it comes, on two cores",
            Self::Full | Self::Long => "Each side by the better of its two configurations",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Long => "long",
        }
    }
}

impl Machine {
    pub(super) fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
        };
        let memory = after(&read("/proc/meminfo"), "MemTotal:");
        let kib: Option<u64> = memory.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: after(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: kib.unwrap_or(0) / 1024,
        }
    }
}

/// Where results live in the work tree.
#[must_use]
pub(super) fn folder() -> PathBuf {
    packages::root().join("perf/results")
}

/// What the README speaks about: the most thorough form that was recorded.
pub(super) fn recorded(dir: &Path) -> Outcome<Option<Results>> {
    for form in [Form::Long, Form::Full, Form::Quick] {
        let path = dir.join(format!("{}.json", form.name()));
        if path.exists() {
            return read(&path).map(Some);
        }
    }
    Ok(None)
}

pub(super) fn read(path: &Path) -> Outcome<Results> {
    let text = fs::read_to_string(path).context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).context(|| format!("understanding {}", path.display()))
}

impl Results {
    /// JSON with a line for each entry of its lists.
    pub(super) fn json(&self) -> Outcome<String> {
        let whole = serde_json::to_value(self).context(|| "results as JSON")?;
        let Some(fields) = whole.as_object() else {
            return Ok(whole.to_string());
        };
        let mut text = String::from("{\n");
        for (index, (name, value)) in fields.iter().enumerate() {
            let comma = if index + 1 < fields.len() { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = match value.as_array().filter(|entries| !entries.is_empty()) {
                None => writeln!(text, "  \"{name}\": {value}{comma}"),
                Some(entries) => {
                    let lines: Vec<String> =
                        entries.iter().map(|entry| format!("    {entry}")).collect();
                    writeln!(text, "  \"{name}\": [\n{}\n  ]{comma}", lines.join(",\n"))
                }
            };
        }
        text.push_str("}\n");
        Ok(text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::x::versus::metric::Metric;

    /// A made-up run: row 8p once on each subject, row 1 failing on Kafka.
    pub(crate) fn sample_results() -> Results {
        let sample = |row: &str, durability, subject, figures: &[(Metric, f64)]| Sample {
            row: row.to_owned(),
            durability,
            subject,
            repeat: 0,
            seconds: 3.0,
            figures: figures.iter().copied().collect(),
        };
        let max = |subject, rate: f64, cpu: f64| {
            let figures = [
                (Metric::RecordsPerSecond, rate * 1000.0),
                (Metric::MbPerSecond, rate),
                (Metric::CpuSecondsPerGb, cpu),
            ];
            sample("8p", Durability::Write, subject, &figures)
        };
        Results {
            schema_version: SCHEMA_VERSION,
            form: Form::Quick,
            commit: "abc1234".to_owned(),
            kafka_version: "4.3.0".to_owned(),
            started: 1_700_000_000,
            machine: Machine::default(),
            row_seconds: 3.0,
            warm_up_seconds: 1.0,
            limits: Limits {
                device_write_mb_per_second: 2800.0,
                ..Limits::default()
            },
            servers: Vec::new(),
            samples: vec![
                max(Subject::Kafka, 300.0, 2.5),
                max(Subject::Thalweg1, 700.0, 0.5),
                max(Subject::Thalweg2, 600.0, 0.6),
                max(Subject::KafkaTuned, 350.0, 2.4),
                sample(
                    "1",
                    Durability::Flush,
                    Subject::Thalweg1,
                    &[(Metric::P99Us, 250.0)],
                ),
            ],
            failures: vec![Failed {
                row: "1".to_owned(),
                durability: Durability::Flush,
                subject: Subject::Kafka,
                words: "it said no".to_owned(),
            }],
        }
    }

    #[test]
    fn results_survive_the_file() {
        let results = sample_results();
        let text = results.json().unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
        assert!(text.lines().count() > results.samples.len() + 10, "{text}");
    }
}
