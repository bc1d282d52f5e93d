//! What a run has shown. The JSON is the contract: its schema is versioned, fields are only added.
//!
//! ```text
//! tallies -> Run (which side is the headline) -> Report -> text | JSON | .hgrm | HTML
//! ```

mod chart;
mod curve;
mod environment;
mod html;
mod part;
pub(crate) mod spread;
mod text;
mod unavailable;

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::load::{Measured, Tally};
use crate::settings::Workload;

pub use curve::{CurvePoint, HistogramBar};
pub use environment::Environment;
pub use part::{Part, Percentiles, TimelineSecond, WorstWindow};
pub use spread::Intervals;
pub use unavailable::Unavailable;

pub const SCHEMA_VERSION: u32 = 1;

/// A number as a whole one, in groups of three digits.
#[must_use]
pub fn in_thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    if value < 0.0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub schema_version: u32,
    /// Its name.
    pub workload: Workload,
    /// Everything it was told.
    pub settings: serde_json::Value,
    /// False when latency counts from the moment of sending, because there was no rate to keep.
    pub open_loop: bool,
    pub durability: String,
    pub records: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub records_per_second: f64,
    /// Of values, in millions of bytes.
    pub mb_per_second: f64,
    pub requests: u64,
    pub batches: u64,
    /// Partitions of requests that were answered with an error; one more if records are missing.
    pub errors: u64,
    pub first_error: Option<i16>,
    pub latency_us: Percentiles,
    /// How late the generator sent what was due, for whatever reason.
    pub schedule_lag_us: Percentiles,
    pub timeline_records: Vec<u64>,
    pub timeline_worst_us: Vec<u64>,
    pub environment: Environment,
    /// What `latency_us` is the latency of, and from when it counts.
    #[serde(default)]
    pub latency_of: String,
    /// How late it was though the server had room: its own fault.
    #[serde(default)]
    pub own_lag_us: Percentiles,
    /// Of batches that were refused.
    #[serde(default)]
    pub refused_records: u64,
    /// Due before the end and still waiting for the server then; their wait is in the latencies.
    #[serde(default)]
    pub unsent_records: u64,
    /// Numbers that consumers never saw.
    #[serde(default)]
    pub missing_records: u64,
    /// Records that this generator did not write.
    #[serde(default)]
    pub foreign_records: u64,
    /// The ten seconds in a row with the highest p99.
    #[serde(default)]
    pub worst_10s: Option<WorstWindow>,
    /// What chance leaves open at 95%, from the run's seconds.
    #[serde(default)]
    pub intervals_95: Option<Intervals>,
    #[serde(default)]
    pub timeline: Vec<TimelineSecond>,
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    #[serde(default)]
    pub histogram: Vec<HistogramBar>,
    /// Each side and phase of the run by itself; the headline's one is among them.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Through a consumer group.
    #[serde(default)]
    pub grouped: bool,
    /// CPU time of the generator's own threads.
    #[serde(default)]
    pub generator_cpu_seconds: f64,
    /// From connecting to a topic whose partitions all have leaders.
    #[serde(default)]
    pub setup_seconds: f64,
    /// The highest rate before latency turns, and all rates that were tried.
    #[serde(default)]
    pub knee_rate: Option<f64>,
    #[serde(default)]
    pub sweep: Vec<Step>,
    /// Failover only: how long nobody took records.
    #[serde(default)]
    pub unavailable: Option<Unavailable>,
}

/// One rate of a sweep.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Step {
    pub rate: f64,
    pub records_per_second: f64,
    /// In us, as all of these.
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub lag_p99: f64,
    pub errors: u64,
}

impl Step {
    pub(crate) const fn of(rate: f64, report: &Report) -> Self {
        Self {
            rate,
            records_per_second: report.records_per_second,
            p50: report.latency_us.p50,
            p99: report.latency_us.p99,
            p999: report.latency_us.p999,
            lag_p99: report.own_lag_us.p99,
            errors: report.errors,
        }
    }
}

/// A finished run: its parts, and which of them is the headline.
#[derive(Debug)]
pub(crate) struct Run {
    headline: Tally,
    latency_of: &'static str,
    /// Both sides together.
    errors: u64,
    first_error: Option<i16>,
    lags: Tally,
    parts: Vec<Part>,
    grouped: bool,
    cpu_seconds: f64,
}

impl Run {
    pub(crate) fn of(settings: &Settings, measured: &Measured) -> Self {
        let (produced, consumed) = (&measured.produced, &measured.consumed);
        let from = match settings.rate {
            Some(_) => "from the intended send time",
            None => "from sending",
        };
        let part = |name: &str, tally: &Tally| Part::new(name, tally);
        let (reading, latency_of) = match settings.workload {
            Workload::Consume => (true, "a fetch, from asking"),
            Workload::E2e | Workload::FanOut => (
                true,
                match settings.rate {
                    Some(_) => "a record to the consumer, from the intended send time",
                    None => "a record to the consumer, from sending",
                },
            ),
            _ if settings.rate.is_some() => {
                (false, "an acknowledgement, from the intended send time")
            }
            _ => (false, "an acknowledgement, from sending"),
        };
        let mut parts = Vec::new();
        if settings.workload != Workload::Consume {
            parts.push(part(&format!("acknowledgements, {from}"), produced));
        }
        match settings.workload {
            Workload::Consume | Workload::CatchUp => parts.push(part("fetches", consumed)),
            Workload::E2e | Workload::FanOut | Workload::Mixed => {
                parts.push(part(&format!("records to consumers, {from}"), consumed));
            }
            Workload::Produce | Workload::ManyPartitions | Workload::Failover => {}
        }
        let headline = if reading { consumed } else { produced };
        Self {
            headline: headline.clone(),
            latency_of,
            errors: produced.errors + consumed.errors,
            first_error: produced.first_error.or(consumed.first_error),
            lags: Tally {
                lags: produced.lags.clone(),
                own_lags: produced.own_lags.clone(),
                refused_records: produced.refused_records,
                unsent_records: produced.unsent_records,
                missing_records: consumed.missing_records,
                foreign_records: consumed.foreign_records,
                ..Tally::default()
            },
            parts,
            grouped: measured.grouped,
            cpu_seconds: produced.cpu_seconds + consumed.cpu_seconds,
        }
    }

    /// Puts the phase before this one in front of its parts.
    pub(crate) fn with_before(mut self, before: &Measured) -> Self {
        for (part, name) in self.parts.iter_mut().zip(["during the drain", "the drain"]) {
            part.name = format!("{name}: {}", part.name);
        }
        let name = "before the drain: acknowledgements";
        self.parts.insert(0, Part::new(name, &before.produced));
        self.errors += before.produced.errors;
        self.first_error = self.first_error.or(before.produced.first_error);
        self.cpu_seconds += before.produced.cpu_seconds;
        self
    }
}

impl Report {
    pub(crate) fn new(settings: &Settings, run: &Run) -> Self {
        let tally = &run.headline;
        let part = Part::new("", tally);
        let timeline: Vec<TimelineSecond> = tally.timeline.iter().map(Into::into).collect();
        Self {
            schema_version: SCHEMA_VERSION,
            workload: settings.workload,
            settings: serde_json::to_value(settings).unwrap_or_default(),
            open_loop: settings.rate.is_some() && settings.workload != Workload::Consume,
            durability: settings.durability.clone(),
            records: part.records,
            bytes: part.bytes,
            seconds: part.seconds,
            records_per_second: part.records_per_second,
            mb_per_second: part.mb_per_second,
            requests: part.requests,
            batches: part.batches,
            errors: run.errors,
            first_error: run.first_error,
            latency_us: part.latency_us,
            schedule_lag_us: Percentiles::of(&run.lags.lags),
            timeline_records: timeline.iter().map(|second| second.records).collect(),
            timeline_worst_us: timeline.iter().map(|second| second.max_us).collect(),
            environment: Environment::here(),
            latency_of: run.latency_of.to_owned(),
            own_lag_us: Percentiles::of(&run.lags.own_lags),
            refused_records: run.lags.refused_records,
            unsent_records: run.lags.unsent_records,
            missing_records: run.lags.missing_records,
            foreign_records: run.lags.foreign_records,
            worst_10s: part.worst_10s,
            intervals_95: Intervals::of(tally),
            timeline,
            curve: curve::curve(&tally.latencies),
            histogram: curve::histogram(&tally.latencies),
            parts: run.parts.clone(),
            grouped: run.grouped,
            generator_cpu_seconds: run.cpu_seconds,
            setup_seconds: 0.0,
            knee_rate: None,
            sweep: Vec::new(),
            unavailable: (settings.workload == Workload::Failover)
                .then(|| Unavailable::of(&tally.outages)),
        }
    }

    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// For plotters of HdrHistogram's own format.
    #[must_use]
    pub fn hgrm(&self) -> String {
        curve::hgrm(self)
    }

    /// One page that needs nothing but itself.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }
}
