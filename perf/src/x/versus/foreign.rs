//! Other people's load generators on the rows that matter most: Kafka's own performance tools and
//! franz-go. What they cost themselves is their own affair; the server's costs are counted as ever.

use std::time::Duration;

use serde::Deserialize;

use super::metric::{Figures, Metric};
use super::results::Form;
use super::rows::{BIG_PARTITIONS, BIG_TOPIC, Tool};
use super::scene::Scene;
use crate::x::process::Program;
use crate::x::{Context, Failure, Outcome};

const RECORD_BYTES: u64 = 1024;
const LIMIT: Duration = Duration::from_secs(600);
const QUICK_LIMIT: Duration = Duration::from_secs(60);
/// Kafka's tools count records, not seconds: a second or two of them.
const QUICK_RECORDS: u64 = 400_000;
const RECORDS: u64 = 8_000_000;

/// What the tool itself said.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
struct Said {
    records: u64,
    bytes: u64,
    seconds: f64,
    #[serde(default)]
    errors: u64,
    #[serde(skip)]
    p99_us: Option<f64>,
}

impl Scene<'_> {
    pub(super) fn foreign(&self, tool: Tool) -> Outcome<Figures> {
        self.fill(false)?;
        let words = self.words(&format!(
            "produce --topic {BIG_TOPIC} --partitions {BIG_PARTITIONS}"
        ));
        let offsets = self.records(&words)?;
        let before = self.before()?;
        let said = match tool {
            Tool::JavaProduce => self.java_produce(),
            Tool::JavaConsume => self.java_consume(),
            Tool::FranzProduce => self.franz("produce"),
            Tool::FranzConsume => self.franz("consume"),
        }?;
        let moved = match tool {
            // The server's word, not the tool's.
            Tool::JavaProduce | Tool::FranzProduce => self.records(&words)?.saturating_sub(offsets),
            Tool::JavaConsume | Tool::FranzConsume => said.records,
        };
        if said.records == 0 || moved == 0 {
            return Err(Failure::new("no record came through"));
        }
        let mut figures = self.after(&before, moved, moved * RECORD_BYTES)?;
        let seconds = said.seconds.max(1e-9);
        figures.extend([
            (Metric::RecordsPerSecond, said.records as f64 / seconds),
            (Metric::MbPerSecond, said.bytes as f64 / 1e6 / seconds),
            (Metric::Errors, said.errors as f64),
        ]);
        if let Some(p99) = said.p99_us {
            figures.insert(Metric::P99Us, p99);
        }
        Ok(figures)
    }

    fn records_asked(&self) -> u64 {
        match self.options.form {
            // A trial with short rows is a trial here too.
            Form::Quick if self.times.row < Duration::from_secs(1) => QUICK_RECORDS / 10,
            Form::Quick => QUICK_RECORDS,
            Form::Full | Form::Long => RECORDS,
        }
    }

    fn limit(&self) -> Duration {
        match self.options.form {
            Form::Quick => QUICK_LIMIT,
            Form::Full | Form::Long => LIMIT,
        }
    }

    /// Kafka's start script gives a client 512 MiB and the server compiler.
    fn java(&self, class: &str) -> Program {
        let path = format!("{}/*", self.programs.jars.display());
        Program::new("java")
            .args(["-Xmx512m", "-server", "-cp", &path, class])
            .args(["--bootstrap-server", &self.server.address()])
            .args(["--topic", BIG_TOPIC])
            .limit(self.limit())
    }

    fn java_produce(&self) -> Outcome<Said> {
        let output = self
            .java("org.apache.kafka.tools.ProducerPerformance")
            .args(["--num-records", &self.records_asked().to_string()])
            .args(["--record-size", &RECORD_BYTES.to_string()])
            .args(["--throughput", "-1"])
            .args(["--command-property", "acks=all", "linger.ms=0"])
            .run()?;
        produced(&output.stdout)
            .context(|| format!("no result in the tool's words:\n{}", output.stdout))
    }

    fn java_consume(&self) -> Outcome<Said> {
        let output = self
            .java("org.apache.kafka.tools.ConsumerPerformance")
            .args(["--num-records", &self.records_asked().to_string()])
            .args(["--timeout", "15000", "--hide-header"])
            .run()?;
        consumed(&output.stdout).context(|| {
            format!(
                "no result in the tool's words:\n{}\n{}",
                output.stdout, output.stderr
            )
        })
    }

    fn franz(&self, load: &str) -> Outcome<Said> {
        let program = match &self.programs.franz {
            Ok(program) => program,
            Err(words) => return Err(Failure::new(words.clone())),
        };
        let output = Program::new(program)
            .arg(load)
            .args([self.server.address(), BIG_TOPIC.to_owned()])
            .arg(format!("{:.2}", self.times.row.as_secs_f64()))
            .arg(RECORD_BYTES.to_string())
            .limit(self.limit())
            .run()?;
        serde_json::from_str(output.stdout.trim()).context(|| "reading what franz-go's load said")
    }
}

/// "400000 records sent, 351802.9 records/sec (343.56 MB/sec), ..., 90 ms 99th, 95 ms 99.9th."
fn produced(text: &str) -> Option<Said> {
    let line = text.lines().rfind(|line| line.contains(" 99.9th"))?;
    let mut parts = line.split(", ");
    let records = number(parts.next()?)?;
    let rate = number(parts.next()?)?;
    let p99_ms = parts
        .find(|part| part.ends_with(" 99th"))
        .and_then(number)?;
    Some(Said {
        records: records as u64,
        bytes: records as u64 * RECORD_BYTES,
        seconds: records / f64::max(rate, 1e-9),
        errors: 0,
        p99_us: Some(p99_ms * 1e3),
    })
}

/// Start, end, MiB, MiB a second, records, records a second, rebalancing ms, fetching ms, ...
/// Joining the group takes its time on every server, so only fetching counts.
fn consumed(text: &str) -> Option<Said> {
    let line = text.lines().rfind(|line| line.split(", ").count() >= 10)?;
    let fields: Vec<f64> = line
        .split(", ")
        .skip(2)
        .filter_map(|field| field.trim().parse().ok())
        .collect();
    let (mib, records, fetch_ms) = (fields.first()?, fields.get(2)?, fields.get(5)?);
    Some(Said {
        records: *records as u64,
        bytes: (mib * f64::from(1 << 20)) as u64,
        seconds: fetch_ms / 1e3,
        errors: 0,
        p99_us: None,
    })
}

fn number(part: &str) -> Option<f64> {
    part.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_producer_tool_is_understood() {
        let text = "100 records sent, 20.0 records/sec (0.02 MB/sec), 1.0 ms avg latency, 9.0 ms max latency.\n\
            400000 records sent, 200000.0 records/sec (195.31 MB/sec), 40.50 ms avg latency, 300.00 ms max latency, 30 ms 50th, 60 ms 95th, 90 ms 99th, 95 ms 99.9th.\n";
        let said = produced(text).unwrap();
        assert_eq!((said.records, said.bytes), (400_000, 409_600_000));
        assert!((said.seconds - 2.0).abs() < 1e-9);
        assert_eq!(said.p99_us, Some(90_000.0));
        assert_eq!(produced("nothing of the kind"), None);
    }

    #[test]
    fn the_consumer_tool_is_understood() {
        let text = "2026-11-23 16:00:00:000, 2026-11-23 16:00:02:000, 390.6250, 195.3125, 400000, 200000.0000, 1500, 500, 781.2500, 800000.0000\n";
        let said = consumed(text).unwrap();
        assert_eq!((said.records, said.bytes), (400_000, 409_600_000));
        assert!((said.seconds - 0.5).abs() < 1e-9);
        assert_eq!(consumed("the group said no"), None);
    }
}
