//! The figures that a sample may hold, with their units and which way is better.
//!
//! Results are a map from these to numbers, so that rows of very different kinds (a load, a cold
//! read, servers at rest) share one file, one table and one set of plots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was measured of one row on one server, once.
pub(super) type Figures = BTreeMap<Metric, f64>;

/// One figure. The names in results are these in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Metric {
    /// Within the measured window, as the generator saw it.
    RecordsPerSecond,
    MbPerSecond,
    P50Us,
    P99Us,
    P999Us,
    P9999Us,
    MaxUs,
    /// The highest latency of the worst second, divided by that of the median second.
    WorstToMedianSecond,
    /// How late the generator was; what it adds is not the server's fault.
    ScheduleLagP99Us,
    /// What was asked for; absent when as much as possible was.
    RateAsked,
    /// Of the server's process tree, for each GB of values written or delivered.
    CpuSecondsPerGb,
    CpuNsPerRecord,
    /// Of the server: 1.0 is a whole core.
    CpuCores,
    ContextSwitchesPerSecond,
    DeviceFlushesPerSecond,
    DeviceWritesPerSecond,
    DeviceMbPerSecond,
    /// Of the server while the row ran.
    PeakMib,
    /// Answers with an error.
    Errors,
    CreateSeconds,
    /// Until each partition of a new topic had its first few records, written by one producer.
    FirstRecordsSeconds,
    RestartSeconds,
    /// Produce latency before a reader of old data came.
    P99BeforeUs,
    /// What that reader got meanwhile.
    DrainMbPerSecond,
    /// Of a whole core, with clients connected and nothing to do.
    IdleCpuPercent,
}

impl Metric {
    /// True when a larger figure is the better one.
    #[must_use]
    pub(super) fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::RecordsPerSecond | Self::MbPerSecond | Self::DrainMbPerSecond
        )
    }

    #[must_use]
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::RecordsPerSecond => "records/s",
            Self::MbPerSecond => "MB/s",
            Self::P50Us => "p50",
            Self::P99Us => "p99",
            Self::P999Us => "p99.9",
            Self::P9999Us => "p99.99",
            Self::MaxUs => "max",
            Self::WorstToMedianSecond => "worst second / median second",
            Self::ScheduleLagP99Us => "schedule lag p99",
            Self::RateAsked => "rate asked",
            Self::CpuSecondsPerGb => "CPU-s/GB",
            Self::CpuNsPerRecord => "CPU ns/record",
            Self::CpuCores => "cores used",
            Self::ContextSwitchesPerSecond => "context switches/s",
            Self::DeviceFlushesPerSecond => "device flushes/s",
            Self::DeviceWritesPerSecond => "device writes/s",
            Self::DeviceMbPerSecond => "device MB/s written",
            Self::PeakMib => "peak MiB",
            Self::Errors => "errors",
            Self::CreateSeconds => "topic created",
            Self::FirstRecordsSeconds => "first records in each partition",
            Self::RestartSeconds => "restart",
            Self::P99BeforeUs => "p99 before",
            Self::DrainMbPerSecond => "drain MB/s",
            Self::IdleCpuPercent => "CPU at rest",
        }
    }

    /// A figure with its unit, short enough for a table.
    #[must_use]
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Self::P50Us
            | Self::P99Us
            | Self::P999Us
            | Self::P9999Us
            | Self::MaxUs
            | Self::ScheduleLagP99Us
            | Self::P99BeforeUs => time(value),
            Self::CpuSecondsPerGb
            | Self::CpuCores
            | Self::CreateSeconds
            | Self::FirstRecordsSeconds
            | Self::RestartSeconds => format!("{value:.2}"),
            Self::WorstToMedianSecond => format!("{value:.1}"),
            Self::IdleCpuPercent => format!("{value:.1}%"),
            _ => thousands(value),
        }
    }

    /// As [`Self::show`], with the unit that a table's head would carry.
    #[must_use]
    pub(super) fn tell(self, value: f64) -> String {
        let shown = self.show(value);
        match self {
            Self::RecordsPerSecond | Self::RateAsked => format!("{shown}/s"),
            Self::MbPerSecond | Self::DrainMbPerSecond | Self::DeviceMbPerSecond => {
                format!("{shown} MB/s")
            }
            Self::CpuSecondsPerGb => format!("{shown} CPU-s/GB"),
            Self::CpuNsPerRecord => format!("{shown} ns CPU"),
            Self::CreateSeconds | Self::FirstRecordsSeconds | Self::RestartSeconds => {
                format!("{shown} s")
            }
            Self::PeakMib => format!("{shown} MiB"),
            _ => shown,
        }
    }
}

/// Microseconds in the unit that reads best.
#[must_use]
pub(super) fn time(us: f64) -> String {
    match us {
        us if !us.is_finite() => "-".to_owned(),
        us if us < 1000.0 => format!("{us:.0} us"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1e3),
        us if us < 1_000_000.0 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}

/// A whole number in groups of three digits; small ones keep a decimal.
#[must_use]
pub(super) fn thousands(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value.abs() < 10.0 && value.fract().abs() > 0.05 {
        return format!("{value:.1}");
    }
    thalweg_bench::report::in_thousands(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        for (metric, value, shown) in [
            (Metric::RecordsPerSecond, 1_234_567.4, "1,234,567"),
            (Metric::MbPerSecond, 3.25, "3.2"),
            (Metric::MbPerSecond, 999.6, "1,000"),
            (Metric::P99Us, 87.4, "87 us"),
            (Metric::P99Us, 4_321.0, "4.32 ms"),
            (Metric::P99Us, 43_210.0, "43 ms"),
            (Metric::P99Us, 2_500_000.0, "2.5 s"),
            (Metric::CpuSecondsPerGb, 0.456, "0.46"),
            (Metric::P99Us, f64::NAN, "-"),
        ] {
            assert_eq!(metric.show(value), shown);
        }
    }

    #[test]
    fn names_in_results_are_stable() {
        let figures = Figures::from([(Metric::P999Us, 1.5), (Metric::CpuSecondsPerGb, 2.0)]);
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(text, r#"{"p999_us":1.5,"cpu_seconds_per_gb":2.0}"#);
        assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
    }
}
