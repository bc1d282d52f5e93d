//! From samples to answers: medians of the repeats, each side's better configuration, ratios. Pure.
//!
//! A side has two configurations, and the better one speaks for it: "better" is by the row's
//! headline figure. A ratio above 1 is in Thalweg's favour, whichever way the figure points.

use super::metric::{Figures, Metric};
use super::results::{Results, Sample, ServerRun};
use super::rows::{ROWS, Row};
use super::subject::{Durability, ORDER, Subject};
use crate::x::median::median;
use crate::x::server::Kind;

/// Below this share of the rate that was asked for, a rate was not held.
const HELD_SHARE: f64 = 0.97;

/// Medians of one row on one configuration.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) subject: Subject,
    pub(super) figures: Figures,
}

/// One row under one promise, all configurations.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) row: &'static Row,
    pub(super) durability: Durability,
    pub(super) cells: Vec<Cell>,
}

impl Cell {
    pub(super) fn get(&self, metric: Metric) -> Option<f64> {
        self.figures
            .get(&metric)
            .copied()
            .filter(|value| value.is_finite())
    }

    /// The rate it kept, if that was clearly less than what was asked for.
    pub(super) fn fell_short(&self) -> Option<f64> {
        let (asked, kept) = (
            self.get(Metric::RateAsked)?,
            self.get(Metric::RecordsPerSecond)?,
        );
        (kept < asked * HELD_SHARE).then_some(kept)
    }
}

impl Line {
    /// The better configuration of a side.
    pub(super) fn best(&self, kind: Kind) -> Option<&Cell> {
        let metric = self.row.headline;
        let mine = self.cells.iter().filter(|cell| cell.subject.kind() == kind);
        let known = mine.filter_map(|cell| Some((cell.get(metric)?, cell)));
        let best = if metric.more_is_better() {
            known.max_by(|a, b| a.0.total_cmp(&b.0))
        } else {
            known.min_by(|a, b| a.0.total_cmp(&b.0))
        };
        let best = best.map(|(_, cell)| cell);
        // One that kept nothing of its rate has no latency.
        best.or_else(|| {
            let mut mine = self.cells.iter();
            mine.find(|cell| cell.subject.kind() == kind && cell.fell_short().is_some())
        })
    }

    /// How many times better Thalweg's better configuration is than Kafka's.
    pub(super) fn ratio(&self, metric: Metric) -> Option<f64> {
        let ours = self.best(Kind::Thalweg)?.get(metric)?;
        let theirs = self.best(Kind::Kafka)?.get(metric)?;
        let (above, below) = if metric.more_is_better() {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        (below > 0.0 && above > 0.0).then_some(above / below)
    }
}

/// Every row and promise that the results hold samples of, in the order of the matrix.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    for durability in [Durability::Flush, Durability::Write] {
        for row in ROWS {
            let of = |subject: &Subject| cell(results, row, durability, *subject);
            let cells: Vec<Cell> = ORDER.iter().filter_map(of).collect();
            if !cells.is_empty() {
                lines.push(Line {
                    row,
                    durability,
                    cells,
                });
            }
        }
    }
    lines
}

fn cell(results: &Results, row: &Row, durability: Durability, subject: Subject) -> Option<Cell> {
    let mine: Vec<&Sample> = results
        .samples
        .iter()
        .filter(|s| s.row == row.id && s.durability == durability && s.subject == subject)
        .collect();
    let metrics = mine.iter().flat_map(|sample| sample.figures.keys());
    let figures: Figures = metrics
        .map(|metric| {
            let values = mine.iter().filter_map(|sample| sample.figures.get(metric));
            (*metric, median(values.copied().collect()))
        })
        .collect();
    (!mine.is_empty()).then_some(Cell { subject, figures })
}

/// The median over all starts of a configuration.
pub(super) fn of_servers(
    results: &Results,
    subject: Subject,
    get: impl Fn(&ServerRun) -> f64,
) -> Option<f64> {
    let mine = results.servers.iter().filter(|run| run.subject == subject);
    let values: Vec<f64> = mine.map(get).collect();
    (!values.is_empty()).then(|| median(values))
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::sample_results;
    use super::*;

    #[test]
    fn the_better_configuration_speaks_for_a_side() {
        let lines = lines(&sample_results());
        let line = lines.iter().find(|line| line.row.id == "8p").unwrap();
        assert_eq!(line.best(Kind::Kafka).unwrap().subject, Subject::KafkaTuned);
        assert_eq!(line.best(Kind::Thalweg).unwrap().subject, Subject::Thalweg1);
        assert!((line.ratio(Metric::MbPerSecond).unwrap() - 2.0).abs() < 1e-9);
        assert!((line.ratio(Metric::CpuSecondsPerGb).unwrap() - 4.8).abs() < 1e-9);
    }

    #[test]
    fn a_side_without_figures_has_no_ratio() {
        let lines = lines(&sample_results());
        let line = lines.iter().find(|line| line.row.id == "1").unwrap();
        assert_eq!(line.ratio(Metric::P99Us), None);
    }

    #[test]
    fn a_rate_that_was_not_held_shows() {
        let mut cell = Cell {
            subject: Subject::Kafka,
            figures: Figures::from([
                (Metric::RateAsked, 1000.0),
                (Metric::RecordsPerSecond, 600.0),
            ]),
        };
        assert_eq!(cell.fell_short(), Some(600.0));
        cell.figures.insert(Metric::RecordsPerSecond, 990.0);
        assert_eq!(cell.fell_short(), None);
    }
}
