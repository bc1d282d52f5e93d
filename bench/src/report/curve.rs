//! The whole distribution in few numbers: points of the percentile curve, bars of a histogram, and
//! HdrHistogram's text format made from them.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Report;
use crate::load::Latencies;

/// Points for each halving of what is left: HdrHistogram's own choice.
const TICKS_PER_HALVING: f64 = 5.0;
const BARS_PER_DECADE: i32 = 20;

/// This part of all was at most so long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    pub quantile: f64,
    pub us: f64,
    pub count: u64,
}

/// So many were longer than the bar before and at most this long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramBar {
    pub us: f64,
    pub count: u64,
}

pub(super) fn curve(latencies: &Latencies) -> Vec<CurvePoint> {
    let mut points = Vec::new();
    let all = latencies.count();
    if all == 0 {
        return points;
    }
    let mut quantile = 0.0;
    while (1.0 - quantile) * all as f64 >= 1.0 {
        points.push(point(latencies, quantile));
        let halvings = (1.0 / (1.0 - quantile)).log2().floor() + 1.0;
        quantile += 1.0 / (TICKS_PER_HALVING * halvings.exp2());
    }
    points.push(point(latencies, 1.0));
    points
}

fn point(latencies: &Latencies, quantile: f64) -> CurvePoint {
    let us = latencies.quantile_us(quantile);
    let count = latencies.count_to_us(us);
    CurvePoint {
        quantile,
        us,
        count,
    }
}

pub(super) fn histogram(latencies: &Latencies) -> Vec<HistogramBar> {
    let mut bars = Vec::new();
    let (mut before, all) = (0, latencies.count());
    for step in 0.. {
        let us = 10f64.powf(f64::from(step) / f64::from(BARS_PER_DECADE));
        let count = latencies.count_to_us(us);
        if count > 0 {
            bars.push(HistogramBar {
                us,
                count: count - before,
            });
        }
        before = count;
        if count >= all {
            return bars;
        }
    }
    bars
}

/// The percentile distribution as HdrHistogram's plotters read it, in us.
pub(super) fn hgrm(report: &Report) -> String {
    let mut text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    // Writing to a string cannot fail.
    for point in &report.curve {
        let _ = write!(
            text,
            "{:12.3} {:2.12} {:10}",
            point.us, point.quantile, point.count
        );
        let _ = match point.quantile < 1.0 {
            true => writeln!(text, " {:14.2}", 1.0 / (1.0 - point.quantile)),
            false => writeln!(text),
        };
    }
    let all = &report.latency_us;
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        all.mean, all.deviation
    );
    let _ = writeln!(
        text,
        "#[Max     = {:12.3}, Total count    = {:12}]",
        all.max, all.count
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_ends_at_the_longest() {
        let mut latencies = Latencies::default();
        for us in 1..=10_000 {
            latencies.record(us * 1000);
        }
        let points = curve(&latencies);
        assert!(points.is_sorted_by(|one, other| one.quantile < other.quantile));
        let last = points.last().unwrap();
        assert_eq!((last.quantile, last.count), (1.0, 10_000));
        let middle = points.iter().find(|point| point.quantile == 0.5).unwrap();
        assert!((4_990.0..5_010.0).contains(&middle.us), "{middle:?}");
        let bars = histogram(&latencies);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 10_000);
        assert!(curve(&Latencies::default()).is_empty());
        assert!(histogram(&Latencies::default()).is_empty());
    }
}
