//! What a run has shown, as text and as JSON. The JSON is the contract; its schema is versioned.

use std::fmt::Write;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::load::{Latencies, Tally};
use crate::settings::Workload;

pub const SCHEMA_VERSION: u32 = 1;

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
    /// Partitions of requests that were answered with an error.
    pub errors: u64,
    pub first_error: Option<i16>,
    pub latency_us: Percentiles,
    /// How late the generator sent what was due.
    pub schedule_lag_us: Percentiles,
    pub timeline_records: Vec<u64>,
    pub timeline_worst_us: Vec<u64>,
    pub environment: Environment,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Environment {
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    pub version: String,
}

impl Percentiles {
    fn of(latencies: &Latencies) -> Self {
        Self {
            count: latencies.count(),
            mean: latencies.mean_us(),
            p50: latencies.quantile_us(0.50),
            p90: latencies.quantile_us(0.90),
            p99: latencies.quantile_us(0.99),
            p999: latencies.quantile_us(0.999),
            p9999: latencies.quantile_us(0.9999),
            max: latencies.max_us(),
        }
    }
}

impl Environment {
    fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: cpu.map_or_else(String::new, |(_, name)| name.to_owned()),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Report {
    #[must_use]
    pub fn new(settings: &Settings, tally: &Tally) -> Self {
        let seconds = tally.seconds.max(1e-9);
        Self {
            schema_version: SCHEMA_VERSION,
            workload: settings.workload,
            settings: serde_json::to_value(settings).unwrap_or_default(),
            open_loop: settings.rate.is_some() && settings.workload != Workload::Consume,
            durability: settings.durability.clone(),
            records: tally.records,
            bytes: tally.bytes,
            seconds,
            records_per_second: tally.records as f64 / seconds,
            mb_per_second: tally.bytes as f64 / seconds / 1e6,
            requests: tally.requests,
            batches: tally.batches,
            errors: tally.errors,
            first_error: tally.first_error,
            latency_us: Percentiles::of(&tally.latencies),
            schedule_lag_us: Percentiles::of(&tally.lags),
            timeline_records: tally.timeline.clone(),
            timeline_worst_us: tally.worst_us.clone(),
            environment: Environment::here(),
        }
    }

    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let kind = if self.open_loop {
            "from intended send time"
        } else {
            "from sending"
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} records, {:.0}/s, {:.1} MB/s in {:.1} s; durability: {}; {} errors{}",
            self.records,
            self.records_per_second,
            self.mb_per_second,
            self.seconds,
            self.durability,
            self.errors,
            self.first_error
                .map_or_else(String::new, |code| format!(" (first: {code})")),
        );
        for (name, row) in [
            ("latency", self.latency_us),
            ("schedule lag", self.schedule_lag_us),
        ] {
            let _ = writeln!(
                text,
                "{name:>12} us: p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  p99.99 {:.0}  max {:.0}",
                row.p50, row.p90, row.p99, row.p999, row.p9999, row.max
            );
        }
        let _ = writeln!(
            text,
            "latency {kind}; {} requests, {} batches",
            self.requests, self.batches
        );
        text
    }
}
