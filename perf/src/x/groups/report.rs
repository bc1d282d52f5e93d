//! What was measured, as a table and as JSON. Both say what an acknowledgement meant.

use serde::{Serialize, Serializer};

use super::Shape;
use crate::x::median::median;
use crate::x::server::{Build, Kind};
use crate::x::{Context, Outcome};

const SCHEMA_VERSION: u32 = 1;

/// All runs of one call.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    schema_version: u32,
    form: &'static str,
    build: &'static str,
    /// What an acknowledged commit is on both sides.
    durability: &'static str,
    cores: usize,
    members: usize,
    partitions: i32,
    groups: usize,
    connections: usize,
    seconds: f64,
    pub(super) runs: Vec<Run>,
}

/// One start of one server.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    #[serde(serialize_with = "named")]
    pub(super) server: Kind,
    /// From the last JoinGroup sent to the last SyncGroup answered, one a round.
    pub(super) rebalance_ms: Vec<f64>,
    pub(super) commits_per_second: f64,
    /// All that were acknowledged: what the restart has to read.
    pub(super) commits: u64,
    /// From the start of the process to its first answer.
    pub(super) ready_ms: f64,
    /// And until every group's offset was told.
    pub(super) reload_ms: f64,
}

fn named<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(name(*kind))
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Thalweg => "Thalweg",
        Kind::Kafka => "Apache Kafka",
    }
}

/// A figure of a run, and whether less of it is better.
type Figure = (&'static str, fn(&Run) -> f64, bool);

const FIGURES: [Figure; 5] = [
    (
        "rebalance, median, ms",
        |run| median(run.rebalance_ms.clone()),
        true,
    ),
    ("rebalance, worst, ms", |run| worst(&run.rebalance_ms), true),
    ("commits/s", |run| run.commits_per_second, false),
    ("restart to first answer, ms", |run| run.ready_ms, true),
    (
        "restart to all groups loaded, ms",
        |run| run.reload_ms,
        true,
    ),
];

impl Results {
    pub(super) fn new(form: &'static str, build: Build, shape: &Shape) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            form,
            build: match build {
                Build::Release => "release",
                Build::Dev => "dev",
            },
            durability: "flush",
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            members: shape.members,
            partitions: shape.partitions,
            groups: shape.groups,
            connections: shape.connections,
            seconds: shape.duration.as_secs_f64(),
            runs: Vec::new(),
        }
    }

    pub(super) fn json(&self) -> Outcome<String> {
        let text = serde_json::to_string_pretty(self).context(|| "writing results as JSON")?;
        Ok(text + "\n")
    }

    /// A line a figure: each run in its order, then how many times better Thalweg is.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "{} members on {} partitions; {} groups on {} connections, {} s; {} build, {} form, {} cores.\n\
             An acknowledged commit is flushed to the device on both sides.\n\n| |",
            self.members,
            self.partitions,
            self.groups,
            self.connections,
            self.seconds,
            self.build,
            self.form,
            self.cores
        );
        for run in &self.runs {
            text += &format!(" {} |", name(run.server));
        }
        text += " Thalweg is better by |\n|---|";
        text += &"---:|".repeat(self.runs.len() + 1);
        text += "\n";
        for (words, figure, less_is_better) in FIGURES {
            text += &format!("| {words} |");
            for run in &self.runs {
                text += &format!(" {:.1} |", figure(run));
            }
            let side = |kind| {
                let runs = self.runs.iter().filter(|run| run.server == kind);
                median(runs.map(figure).collect())
            };
            let (ours, theirs) = (side(Kind::Thalweg), side(Kind::Kafka));
            let ratio = if less_is_better {
                theirs / ours
            } else {
                ours / theirs
            };
            text += &format!(" {ratio:.2} |\n");
        }
        text
    }
}

fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(server: Kind, rebalance: f64, commits: f64) -> Run {
        Run {
            server,
            rebalance_ms: vec![rebalance, rebalance * 2.0, rebalance * 9.0],
            commits_per_second: commits,
            commits: 1,
            ready_ms: 10.0,
            reload_ms: 20.0,
        }
    }

    #[test]
    fn a_ratio_above_one_is_in_thalwegs_favour_whichever_way_the_figure_points() {
        let shape = Shape {
            members: 2,
            partitions: 3,
            rounds: 1,
            groups: 4,
            connections: 5,
            duration: std::time::Duration::from_secs(6),
        };
        let mut results = Results::new("quick", Build::Release, &shape);
        results.runs = vec![
            run(Kind::Thalweg, 1.0, 400.0),
            run(Kind::Kafka, 5.0, 100.0),
            run(Kind::Kafka, 5.0, 100.0),
            run(Kind::Thalweg, 1.0, 600.0),
        ];
        let table = results.table();
        assert!(
            table.contains("| rebalance, median, ms | 2.0 | 10.0 | 10.0 | 2.0 | 5.00 |"),
            "{table}"
        );
        assert!(
            table.contains("| commits/s | 400.0 | 100.0 | 100.0 | 600.0 | 5.00 |"),
            "{table}"
        );
        let json = results.json().unwrap();
        assert!(json.contains("\"durability\": \"flush\"") && json.contains("\"Apache Kafka\""));
    }
}
