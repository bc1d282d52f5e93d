//! A report for a terminal.

use std::fmt::Write;

use super::{Part, Percentiles, Report};

/// Above this a generator was late in a way that a reader has to know of.
const LAG_US_MAX: f64 = 1000.0;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} records, {:.0}/s, {:.1} MB/s in {:.1} s; durability: {}; {} errors{}",
        report.records,
        report.records_per_second,
        report.mb_per_second,
        report.seconds,
        report.durability,
        report.errors,
        report
            .first_error
            .map_or_else(String::new, |code| format!(" (first: {code})")),
    );
    let _ = writeln!(text, "latency of {}", report.latency_of);
    row(&mut text, "latency", &report.latency_us);
    if report.schedule_lag_us.count > 0 {
        row(&mut text, "schedule lag", &report.schedule_lag_us);
    }
    if let Some(worst) = report.worst_10s {
        let _ = writeln!(
            text,
            "  worst {:>2} s us: p50 {}  p99 {}  p99.9 {}  p99.99 {}  max {}  from second {}",
            worst.seconds,
            worst.p50_us,
            worst.p99_us,
            worst.p999_us,
            worst.p9999_us,
            worst.max_us,
            worst.from_second,
        );
    }
    if let Some(bounds) = report.intervals_95 {
        let _ = writeln!(
            text,
            "     within 95%: {:.0}..{:.0}/s  p50 {:.0}..{:.0}  p99 {:.0}..{:.0}  p99.9 {:.0}..{:.0} us",
            bounds.records_per_second[0],
            bounds.records_per_second[1],
            bounds.p50[0],
            bounds.p50[1],
            bounds.p99[0],
            bounds.p99[1],
            bounds.p999[0],
            bounds.p999[1],
        );
    }
    if let Some(unavailable) = report.unavailable {
        let _ = writeln!(text, "{}", unavailable.told());
    }
    if report.parts.len() > 1 {
        for part in &report.parts {
            part_lines(&mut text, part);
        }
    }
    notes(&mut text, report);
    text
}

fn row(text: &mut String, name: &str, row: &Percentiles) {
    let _ = writeln!(
        text,
        "{name:>12} us: p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  p99.99 {:.0}  max {:.0}",
        row.p50, row.p90, row.p99, row.p999, row.p9999, row.max
    );
}

fn part_lines(text: &mut String, part: &Part) {
    let _ = writeln!(
        text,
        "{}: {:.0}/s, {:.1} MB/s in {:.1} s",
        part.name, part.records_per_second, part.mb_per_second, part.seconds
    );
    row(text, "", &part.latency_us);
}

fn notes(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "{} requests, {} batches; the generator used {:.2} CPU-seconds",
        report.requests, report.batches, report.generator_cpu_seconds
    );
    if let Some(rate) = report.knee_rate {
        let _ = writeln!(text, "the knee is at {rate:.0} records a second");
    }
    let asked = report
        .settings
        .get("group")
        .is_some_and(|group| !group.is_null());
    if asked && !report.grouped {
        text.push_str("no consumer groups here: partitions were shared out without one\n");
    }
    if let Some(told) = report.lag_told() {
        let _ = writeln!(text, "{told}");
    }
    for (count, what) in [
        (
            report.unsent_records,
            "were due and not sent before the end; their wait until then is in the latencies",
        ),
        (report.refused_records, "were refused"),
        (report.missing_records, "never came to a consumer"),
        (
            report.foreign_records,
            "were not written by this generator: only their checksums were verified",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{count} records {what}");
        }
    }
}

impl Report {
    /// A sentence when the schedule was not kept, and whose fault it was.
    #[must_use]
    pub fn lag_told(&self) -> Option<String> {
        let (all, own) = (&self.schedule_lag_us, &self.own_lag_us);
        if !self.open_loop || all.p99 < LAG_US_MAX {
            return None;
        }
        Some(match own.p99 >= LAG_US_MAX {
            true => format!(
                "THE GENERATOR FELL BEHIND: p99 of its own schedule lag is {:.0} us; more --threads, a \
                 lower rate, or a less busy machine",
                own.p99
            ),
            false => format!(
                "the schedule was not kept: requests left up to {:.0} us late (p99), because the \
                 server had no room for them; latencies count from the intended time all the same",
                all.p99
            ),
        })
    }
}
