//! The knee: the highest rate that is kept up at a latency that is still like that of a quiet
//! server. Rates go up geometrically until one is too much; then the gap is halved a few times.
//!
//! A rate is too much when less than [`KEPT_PART`] of it is answered, when something is refused, or
//! when p99 is over [`LATENCY_TIMES`] times the best p99 seen at lower rates.

use std::sync::Arc;

use super::clock::Clock;
use super::stage::Stage;
use super::{Sides, drive, once, window};
use crate::client::Cluster;
use crate::report::{Report, Step};
use crate::settings::Sweep;
use crate::{BenchError, Settings};

/// Less than this part of the rate is not kept up. Chance at the window's edges is well below.
const KEPT_PART: f64 = 0.98;
/// A p99 so many times the best one is past the knee.
const LATENCY_TIMES: f64 = 5.0;
/// Below this a p99 is noise of the machine, not a queue.
const LATENCY_FLOOR_US: f64 = 1000.0;
/// How often the gap around the knee is halved: to a sixteenth of a step.
const HALVINGS: u32 = 4;
/// `auto` begins at this part of the maximum, and takes so many steps to it.
const AUTO_FROM: f64 = 0.05;
const AUTO_STEPS: u32 = 8;

pub(super) fn run(
    settings: &Settings,
    cluster: &Cluster,
    sweep: Sweep,
) -> Result<Report, BenchError> {
    let (low, high, steps) = match sweep {
        Sweep::Between { low, high, steps } => (low, high, steps),
        Sweep::Auto => {
            let most = maximum(settings, cluster)?;
            (most * AUTO_FROM, most, AUTO_STEPS)
        }
    };
    let (steps, knee) = search(low, high, steps, |rate| {
        let settings = Settings {
            rate: Some(rate),
            ..settings.clone()
        };
        let report = once(&settings, cluster, Clock::real())?;
        let step = Step::of(rate, &report);
        tell(&step);
        Ok((step, report))
    })?;
    let Some((rate, mut report)) = knee else {
        let what = format!("even {low:.0} records a second were too many");
        return Err(BenchError::Protocol(what));
    };
    report.knee_rate = Some(rate);
    report.sweep = steps;
    Ok(report)
}

fn tell(step: &Step) {
    eprintln!(
        "rate {:>10.0}: {:>10.0}/s  p50 {:>8.0}  p99 {:>8.0}  p99.9 {:>8.0} us  lag p99 {:.0} us",
        step.rate, step.records_per_second, step.p50, step.p99, step.p999, step.lag_p99
    );
}

fn maximum(settings: &Settings, cluster: &Cluster) -> Result<f64, BenchError> {
    let fast = Settings {
        rate: None,
        ..settings.clone()
    };
    let stage = Arc::new(Stage::new(Clock::real(), window(settings)));
    let produce = Sides {
        produce: true,
        read: None,
    };
    let produced = drive(&fast, cluster, &stage, produce)?.produced;
    Ok(produced.records as f64 / produced.seconds.max(1e-9))
}

type Found<T> = (Vec<Step>, Option<(f64, T)>);

/// The search itself: rates in, what was measured out, no clock.
fn search<T>(
    low: f64,
    high: f64,
    steps: u32,
    mut measure: impl FnMut(f64) -> Result<(Step, T), BenchError>,
) -> Result<Found<T>, BenchError> {
    let factor = (high / low).powf(1.0 / f64::from(steps - 1));
    let (mut taken, mut best_p99) = (Vec::new(), f64::INFINITY);
    let (mut good, mut bad): (Option<(f64, T)>, Option<f64>) = (None, None);
    let mut keep = |step: &Step| {
        let kept = step.errors == 0 && step.records_per_second >= KEPT_PART * step.rate;
        let calm = step.p99 <= LATENCY_TIMES * best_p99.max(LATENCY_FLOOR_US);
        best_p99 = best_p99.min(step.p99);
        kept && calm
    };
    for index in 0..steps {
        let rate = low * factor.powi(index as i32);
        let (step, result) = measure(rate)?;
        let is_good = keep(&step);
        taken.push(step);
        if !is_good {
            bad = Some(rate);
            break;
        }
        good = Some((rate, result));
    }
    for _ in 0..HALVINGS {
        let (Some((low, _)), Some(high)) = (&good, bad) else {
            break;
        };
        let rate = (low * high).sqrt();
        let (step, result) = measure(rate)?;
        match keep(&step) {
            true => good = Some((rate, result)),
            false => bad = Some(rate),
        }
        taken.push(step);
    }
    taken.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    Ok((taken, good))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with room for 50,000 a second, whose queue shows in its latency before.
    fn server(rate: f64) -> Result<(Step, f64), BenchError> {
        let step = Step {
            rate,
            records_per_second: rate.min(50_000.0),
            p50: 100.0,
            p99: 500.0 / (1.0 - rate / 50_001.0).max(1e-3),
            p999: 0.0,
            lag_p99: 0.0,
            errors: 0,
        };
        Ok((step, rate))
    }

    #[test]
    fn the_knee_is_where_latency_turns() {
        let (steps, knee) = search(1000.0, 100_000.0, 5, server).unwrap();
        let (rate, _) = knee.unwrap();
        // p99 is five times the floor of 1 ms at 45,000.
        assert!((41_500.0..=45_001.0).contains(&rate), "{rate}");
        assert!(steps.is_sorted_by(|one, other| one.rate < other.rate));
        assert_eq!(steps.len(), 5 + HALVINGS as usize);
    }

    #[test]
    fn a_sweep_below_the_knee_ends_at_its_highest_rate() {
        let (steps, knee) = search(1000.0, 20_000.0, 3, server).unwrap();
        assert_eq!(steps.len(), 3);
        assert!((knee.unwrap().0 - 20_000.0).abs() < 1.0);
    }

    #[test]
    fn a_server_that_is_always_late_has_no_knee() {
        let (_, knee) = search(60_000.0, 90_000.0, 3, server).unwrap();
        assert!(knee.is_none());
    }
}
