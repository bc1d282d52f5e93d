//! One self-contained page: numbers, percentile curve, timeline, histogram, where it was measured.
//! No script, nothing loaded from anywhere; it looks the same in ten years.

use std::fmt::Write;

use super::chart::{Chart, Scale, Series, grouped};
use super::{Percentiles, Report};

const STYLE: &str = include_str!("page.css");

pub(super) fn page(report: &Report) -> String {
    let title = format!("thalweg bench: {}", workload(report));
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n"
    );
    headline(&mut html, report);
    warnings(&mut html, report);
    latencies(&mut html, report);
    charts(&mut html, report);
    environment(&mut html, report);
    html.push_str("</main></body></html>\n");
    html
}

fn workload(report: &Report) -> String {
    let name = serde_json::to_value(report.workload).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn headline(html: &mut String, report: &Report) {
    let latency = &report.latency_us;
    let fields = [
        (grouped(report.records_per_second), "records a second"),
        (grouped(report.mb_per_second), "MB a second"),
        (grouped(latency.p50), "p50, us"),
        (grouped(latency.p99), "p99, us"),
        (grouped(latency.p999), "p99.9, us"),
        (grouped(report.errors as f64), "errors"),
    ];
    html.push_str("<dl class=\"head\">");
    // Writing to a string cannot fail.
    for (value, name) in fields {
        let _ = write!(html, "<div><dd>{value}</dd><dt>{name}</dt></div>");
    }
    let _ = writeln!(
        html,
        "</dl>\n<p>Durability: <b>{}</b>. Latency of {}. {} records in {:.1} s.</p>",
        escaped(&report.durability),
        escaped(&report.latency_of),
        grouped(report.records as f64),
        report.seconds,
    );
    if let Some(rate) = report.knee_rate {
        let _ = writeln!(
            html,
            "<p>The knee is at <b>{} records a second</b>.</p>",
            grouped(rate)
        );
    }
}

fn warnings(html: &mut String, report: &Report) {
    let mut told: Vec<String> = report.lag_told().into_iter().collect();
    for (count, what) in [
        (
            report.unsent_records,
            "were due and not sent before the end",
        ),
        (report.refused_records, "were refused"),
        (report.missing_records, "never came to a consumer"),
        (report.foreign_records, "were not written by this generator"),
    ] {
        if count > 0 {
            told.push(format!("{} records {what}", grouped(count as f64)));
        }
    }
    for told in told {
        let _ = writeln!(html, "<p class=\"warning\">{}</p>", escaped(&told));
    }
}

fn latencies(html: &mut String, report: &Report) {
    html.push_str(
        "<h2>Latency, us</h2>\n<table><tr><th></th><th>records/s</th><th>MB/s</th><th>p50</th>\
         <th>p90</th><th>p99</th><th>p99.9</th><th>p99.99</th><th>max</th></tr>\n",
    );
    for part in &report.parts {
        let rates = [
            grouped(part.records_per_second),
            grouped(part.mb_per_second),
        ];
        row(html, &part.name, &rates, &part.latency_us);
    }
    let none = [String::new(), String::new()];
    if report.schedule_lag_us.count > 0 {
        row(html, "schedule lag", &none, &report.schedule_lag_us);
        row(html, "of it the generator's own", &none, &report.own_lag_us);
    }
    html.push_str("</table>\n");
    if let Some(worst) = report.worst_10s {
        let _ = writeln!(
            html,
            "<p>The worst {} s begin at second {}: p50 {}, p99 {}, p99.9 {}, p99.99 {}, max {} us.</p>",
            worst.seconds,
            worst.from_second,
            grouped(worst.p50_us as f64),
            grouped(worst.p99_us as f64),
            grouped(worst.p999_us as f64),
            grouped(worst.p9999_us as f64),
            grouped(worst.max_us as f64),
        );
    }
    if let Some(bounds) = report.intervals_95 {
        let between = |[low, high]: [f64; 2]| format!("{} to {}", grouped(low), grouped(high));
        let _ = writeln!(
            html,
            "<p>By the run's own seconds, 95%: {} records/s; p50 {}, p99 {}, p99.9 {} us.</p>",
            between(bounds.records_per_second),
            between(bounds.p50),
            between(bounds.p99),
            between(bounds.p999),
        );
    }
}

fn row(html: &mut String, name: &str, rates: &[String; 2], row: &Percentiles) {
    let _ = write!(html, "<tr><th>{}</th>", escaped(name));
    let us = [row.p50, row.p90, row.p99, row.p999, row.p9999, row.max].map(grouped);
    for value in rates.iter().chain(&us) {
        let _ = write!(html, "<td>{value}</td>");
    }
    html.push_str("</tr>\n");
}

fn charts(html: &mut String, report: &Report) {
    let inner = report.curve.iter().filter(|point| point.quantile < 1.0);
    let points = inner.map(|point| (point.quantile, point.us)).collect();
    let percentiles = [Series::new("us", "one", points)];
    let axes = (("percentile", Scale::Nines), ("us", Scale::Log));
    figure(html, "Percentiles", &Chart::lines(axes, percentiles));

    let records = seconds(report, |all| all.records as f64);
    let axes = (("second", Scale::Even), ("records", Scale::Even));
    let records = [Series::new("records", "one", records)];
    figure(html, "Records a second", &Chart::lines(axes, records));

    // A second in which nothing was due has no latency; a log axis has no zero.
    let latency =
        |value: fn(&super::TimelineSecond) -> u64| seconds(report, |all| value(all).max(1) as f64);
    let axes = (("second", Scale::Even), ("us", Scale::Log));
    let three = [
        Series::new("us, p50", "one", latency(|all| all.p50_us)),
        Series::new("us, p99", "two", latency(|all| all.p99_us)),
        Series::new("us, max", "three", latency(|all| all.max_us)),
    ];
    figure(
        html,
        "Latency of each second's records",
        &Chart::lines(axes, three),
    );

    let bars = report
        .histogram
        .iter()
        .map(|bar| (bar.us, bar.count as f64));
    let axes = (("us", Scale::Log), ("records", Scale::Log));
    let bars = [Series::new("records", "one", bars.collect())];
    let mut histogram = Chart::lines(axes, bars);
    histogram.bars = true;
    figure(html, "Histogram", &histogram);

    if !report.sweep.is_empty() {
        let steps = |value: fn(&super::Step) -> f64| {
            let each = report.sweep.iter();
            each.map(|step| (step.rate, value(step))).collect()
        };
        let axes = (
            ("records a second, asked for", Scale::Log),
            ("us", Scale::Log),
        );
        let three = [
            Series::new("us, p50", "one", steps(|step| step.p50)),
            Series::new("us, p99", "two", steps(|step| step.p99)),
            Series::new("us, p99.9", "three", steps(|step| step.p999)),
        ];
        figure(html, "Latency by rate", &Chart::lines(axes, three));
    }
}

fn seconds(report: &Report, value: impl Fn(&super::TimelineSecond) -> f64) -> Vec<(f64, f64)> {
    let each = report.timeline.iter().enumerate();
    each.map(|(second, all)| (second as f64, value(all)))
        .collect()
}

fn figure(html: &mut String, title: &str, chart: &Chart) {
    let _ = writeln!(html, "<h2>{title}</h2>\n<figure>");
    if chart.series.len() > 1 {
        html.push_str("<p class=\"key\">");
        for series in &chart.series {
            let _ = write!(
                html,
                "<span class=\"{}\">{}</span>",
                series.class, series.name
            );
        }
        html.push_str("</p>\n");
    }
    html.push_str(&chart.svg());
    html.push_str("</figure>\n");
}

fn environment(html: &mut String, report: &Report) {
    let here = &report.environment;
    html.push_str("<h2>Where and how</h2>\n<table class=\"facts\">\n");
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(html, "<tr><th>{name}</th><td>{}</td></tr>", escaped(value));
    };
    fact("kernel", &here.kernel);
    fact("CPU", &format!("{} x {}", here.cpus, here.cpu));
    fact(
        "memory",
        &format!("{} MiB", grouped(here.memory_mib as f64)),
    );
    for disk in &here.disks {
        fact("disk", disk);
    }
    fact("generator", &format!("{} {}", here.version, here.git));
    fact(
        "its CPU time",
        &format!("{:.2} s", report.generator_cpu_seconds),
    );
    fact("durability, as told", &report.durability);
    for (name, value) in report.settings.as_object().into_iter().flatten() {
        fact(name, &setting(value));
    }
    html.push_str("</table>\n");
}

/// Durations are structures to a machine; a reader wants a time.
fn setting(value: &serde_json::Value) -> String {
    let part = |name| value.get(name).and_then(serde_json::Value::as_u64);
    match (part("secs"), part("nanos")) {
        (Some(seconds), Some(nanos)) => format!("{} s", seconds as f64 + nanos as f64 / 1e9),
        _ => match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        },
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::load::Measured;
    use crate::report::Run;
    use crate::settings::Workload;

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let mut settings = Settings::new(Workload::Produce);
        settings.durability = "<flush & more>".to_owned();
        let mut measured = Measured::default();
        measured.produced.seconds = 3.0;
        for second in 0..3 {
            measured.produced.arrive(second, 10, 1000);
            measured.produced.latency(second, 1_000_000, 10);
        }
        let report = Report::new(&settings, &Run::of(&settings, &measured));
        let html = page(&report);
        assert!(html.contains("&lt;flush &amp; more&gt;"));
        for loaded in ["<script", "http://", "https://", "<link", "NaN"] {
            assert!(!html.contains(loaded), "{loaded}");
        }
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert_eq!(html.matches("<svg").count(), 4);
    }
}
