//! `bench compare A B`: what B is to A, and how sure that is.
//!
//! A file holds one report or several, one after the other. A ratio's interval comes from both:
//! runs are drawn with replacement, and each one is moved by what chance leaves open within it.
//! Unequal durability is refused: the two did not do the same work. So is durability that nobody
//! has told.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::BenchError;
use crate::error::io;
use crate::report::{Report, spread::Draw, spread::middle_95};

const REPLICATES: usize = 2000;
const UNKNOWN: &str = "unknown";
/// Half the width of a 95% interval, in standard deviations.
const WIDTH_95: f64 = 1.96;

/// What is compared of two sides.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub durability: String,
    pub runs: [usize; 2],
    pub rows: Vec<Row>,
    /// Settings that differ, beside where the servers are.
    pub differences: Vec<String>,
}

/// One measure of both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    pub a: f64,
    pub b: f64,
    /// b / a.
    pub ratio: f64,
    /// None when neither repeats nor seconds say how much chance leaves open.
    pub interval_95: Option<[f64; 2]>,
}

/// A measure: its name, its value, and its bounds within one run.
type Measure = (
    &'static str,
    fn(&Report) -> f64,
    fn(&Report) -> Option<[f64; 2]>,
);

const MEASURES: [Measure; 7] = [
    (
        "records/s",
        |report| report.records_per_second,
        |report| Some(report.intervals_95?.records_per_second),
    ),
    (
        "MB/s",
        |report| report.mb_per_second,
        |report| {
            let scale = report.mb_per_second / report.records_per_second;
            Some(
                report
                    .intervals_95?
                    .records_per_second
                    .map(|rate| rate * scale),
            )
        },
    ),
    (
        "p50 us",
        |report| report.latency_us.p50,
        |report| Some(report.intervals_95?.p50),
    ),
    (
        "p99 us",
        |report| report.latency_us.p99,
        |report| Some(report.intervals_95?.p99),
    ),
    (
        "p99.9 us",
        |report| report.latency_us.p999,
        |report| Some(report.intervals_95?.p999),
    ),
    (
        "p99.99 us",
        |report| report.latency_us.p9999,
        |report| Some(report.intervals_95?.p9999),
    ),
    ("max us", |report| report.latency_us.max, |_| None),
];

/// Reads reports, one after the other or as an array.
pub fn read(path: &Path) -> Result<Vec<Report>, BenchError> {
    let text = fs::read_to_string(path).map_err(io("reading a report"))?;
    let wrong = |error: serde_json::Error| {
        BenchError::Usage(format!("{}: no report of ours: {error}", path.display()))
    };
    let reports = if text.trim_start().starts_with('[') {
        serde_json::from_str(&text).map_err(wrong)?
    } else {
        let each = serde_json::Deserializer::from_str(&text).into_iter();
        each.collect::<Result<Vec<Report>, _>>().map_err(wrong)?
    };
    match reports.is_empty() {
        true => Err(BenchError::Usage(format!("{}: no report", path.display()))),
        false => Ok(reports),
    }
}

/// What `b` is to `a`.
pub fn compare(a: &[Report], b: &[Report]) -> Result<Comparison, BenchError> {
    let durability = equal_durability(a, b)?;
    let workloads = |reports: &[Report]| reports.iter().map(|r| r.workload).collect::<Vec<_>>();
    let mut all = [workloads(a), workloads(b)].concat();
    all.dedup();
    if let [one, other, ..] = all.as_slice() {
        let what = format!("{one:?} and {other:?} are different loads");
        return Err(BenchError::Usage(what));
    }
    let row = |(name, value, bounds): &Measure| {
        let side = |reports: &[Report]| -> Vec<Known> {
            let known = |report| Known::new(value(report), bounds(report));
            reports.iter().map(known).collect()
        };
        let (a, b) = (side(a), side(b));
        let (middle_a, middle_b) = (middle(&a), middle(&b));
        Row {
            name,
            a: middle_a,
            b: middle_b,
            ratio: middle_b / middle_a,
            interval_95: interval(&a, &b),
        }
    };
    Ok(Comparison {
        durability,
        runs: [a.len(), b.len()],
        rows: MEASURES.iter().map(row).collect(),
        differences: differences(a, b),
    })
}

fn equal_durability(a: &[Report], b: &[Report]) -> Result<String, BenchError> {
    let mut words = a.iter().chain(b).map(|report| report.durability.as_str());
    let first = words.next().unwrap_or(UNKNOWN);
    if let Some(other) = words.find(|word| *word != first) {
        return Err(BenchError::Usage(format!(
            "durability `{first}` and `{other}` are not the same work: not compared"
        )));
    }
    if first == UNKNOWN {
        return Err(BenchError::Usage(
            "the durability of these runs is unknown: run them with --durability, so that it is \
             known to be equal"
                .to_owned(),
        ));
    }
    Ok(first.to_owned())
}

/// Of a value: itself, and what chance leaves open of its logarithm.
#[derive(Clone, Copy, Debug)]
struct Known {
    value: f64,
    deviation: Option<f64>,
}

impl Known {
    fn new(value: f64, bounds: Option<[f64; 2]>) -> Self {
        let width = |[low, high]: [f64; 2]| (high / low).ln() / (2.0 * WIDTH_95);
        Self {
            value,
            deviation: bounds.map(width).filter(|deviation| deviation.is_finite()),
        }
    }
}

/// The geometric mean: a ratio of two is the same whichever way it is read.
fn middle(side: &[Known]) -> f64 {
    let sum: f64 = side.iter().map(|known| known.value.ln()).sum();
    (sum / side.len() as f64).exp()
}

fn interval(a: &[Known], b: &[Known]) -> Option<[f64; 2]> {
    let is_known =
        |side: &[Known]| side.len() > 1 || side.iter().all(|known| known.deviation.is_some());
    if !is_known(a) || !is_known(b) {
        return None;
    }
    let mut draw = Draw::new(2);
    let side = |known: &[Known], draw: &mut Draw| {
        let mut sum = 0.0;
        for _ in known {
            if let Some(one) = known.get(draw.below(known.len())) {
                sum += one.value.ln() + one.deviation.unwrap_or(0.0) * draw.normal();
            }
        }
        sum / known.len() as f64
    };
    let ratios = (0..REPLICATES).map(|_| (side(b, &mut draw) - side(a, &mut draw)).exp());
    Some(middle_95(ratios.collect())).filter(|bounds| bounds.iter().all(|one| one.is_finite()))
}

/// Settings by name that are not the same everywhere.
fn differences(a: &[Report], b: &[Report]) -> Vec<String> {
    let (Some(first), Some(other)) = (a.first(), b.first()) else {
        return Vec::new();
    };
    let expected = ["brokers", "topic", "durability"];
    let theirs = first.settings.as_object().into_iter().flatten();
    let mut found = Vec::new();
    for (name, value) in theirs.filter(|(name, _)| !expected.contains(&name.as_str())) {
        let other = other.settings.get(name);
        if other != Some(value) {
            let other = other.map_or_else(|| "absent".to_owned(), ToString::to_string);
            found.push(format!("{name}: {value} and {other}"));
        }
    }
    if first.environment.cpu != other.environment.cpu {
        let (one, two) = (&first.environment.cpu, &other.environment.cpu);
        found.push(format!("cpu: {one} and {two}"));
    }
    found
}

impl Comparison {
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let [a, b] = self.runs;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{a} and {b} runs; durability of all: {}",
            self.durability
        );
        let _ = writeln!(
            text,
            "{:>10}  {:>12}  {:>12}  {:>8}  95%",
            "", "A", "B", "B / A"
        );
        for row in &self.rows {
            let interval = match row.interval_95 {
                Some([low, high]) => format!("{low:.3}..{high:.3}"),
                None => "unknown: one run each, too short".to_owned(),
            };
            let _ = writeln!(
                text,
                "{:>10}  {:>12.1}  {:>12.1}  {:>8.3}  {interval}",
                row.name, row.a, row.b, row.ratio
            );
        }
        for difference in &self.differences {
            let _ = writeln!(text, "NOT THE SAME: {difference}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::load::{Measured, Tally};
    use crate::report::Run;
    use crate::settings::Workload;

    fn report(durability: &str, records: u64, us: u64) -> Report {
        let mut settings = Settings::new(Workload::Produce);
        durability.clone_into(&mut settings.durability);
        let mut measured = Measured::default();
        let tally: &mut Tally = &mut measured.produced;
        tally.seconds = 20.0;
        for second in 0..20 {
            tally.arrive(second, records + second as u64 % 3, 1000 * records);
            tally.latency(second, us * 1000, 90);
            tally.latency(second, us * 1000 + 1000 * second as u64, 10);
        }
        Report::new(&settings, &Run::of(&settings, &measured))
    }

    #[test]
    fn ratios_have_intervals_that_hold_them() {
        let (a, b) = (report("flush", 1000, 400), report("flush", 3000, 100));
        let found = compare(&[a], &[b]).unwrap();
        let row = |name| found.rows.iter().find(|row| row.name == name).unwrap();
        let rate = row("records/s");
        assert!((rate.ratio - 3.0).abs() < 0.01, "{rate:?}");
        let [low, high] = rate.interval_95.unwrap();
        assert!(
            low <= rate.ratio && rate.ratio <= high && high - low < 0.1,
            "{rate:?}"
        );
        let p50 = row("p50 us");
        assert!((p50.ratio - 0.25).abs() < 0.01, "{p50:?}");
        assert_eq!(row("max us").interval_95, None);
        assert!(found.differences.is_empty(), "{:?}", found.differences);
        assert!(found.text().contains("durability of all: flush"));
    }

    #[test]
    fn repeats_widen_the_interval() {
        let a: Vec<Report> = [1000, 1500, 700]
            .map(|rate| report("flush", rate, 400))
            .into();
        let b: Vec<Report> = [2000, 2900, 1500]
            .map(|rate| report("flush", rate, 400))
            .into();
        let found = compare(&a, &b).unwrap();
        let [low, high] = found.rows[0].interval_95.unwrap();
        assert!(low < 1.7 && high > 2.4, "{low} {high}");
    }

    #[test]
    fn unequal_or_unknown_durability_is_refused() {
        for (one, other, word) in [
            ("flush", "write", "not the same work"),
            ("flush", "unknown", "not the same work"),
            ("unknown", "unknown", "unknown"),
        ] {
            let (a, b) = (report(one, 1, 1), report(other, 1, 1));
            let told = compare(&[a], &[b]).unwrap_err().to_string();
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn different_loads_are_refused() {
        let (a, mut b) = (report("flush", 1, 1), report("flush", 1, 1));
        b.workload = Workload::Consume;
        assert!(compare(&[a], &[b]).is_err());
    }
}
