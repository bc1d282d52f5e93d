//! Time for rows: the quick form has to end, whatever the machine does. Pure.
//!
//! Before each start of a server the time left is shared out over what is still to do: if the plan
//! does not fit, all rows to come get shorter by the same factor, down to a floor. Once the time is
//! up, rows are left out and told as such.

use std::time::Duration;

use super::options::{Options, Run, Times};
use super::rows::Row;
use super::subject::Durability;
use crate::x::server::Kind;

/// Starting the generator, looking at offsets and counters.
const ROW_OVERHEAD: f64 = 0.5;
/// Shorter rows than this share of the plan say nothing.
const SCALE_MIN: f64 = 0.3;

/// One start of a server with what it has to play.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    kind: Kind,
    durability: Durability,
    rows: &'a [&'static Row],
}

impl Task<'_> {
    /// Formatting, starting, stopping, and the second start before cold rows.
    fn fixed_seconds(&self, times: &Times) -> f64 {
        let restarts = if self.rows.iter().any(|row| row.is_cold()) {
            1.0
        } else {
            0.0
        };
        let own = match (self.kind, self.durability) {
            // The first records of a thousand partitions, and closing them one by one, take Kafka
            // their time.
            (Kind::Kafka, Durability::Flush) => 44.0,
            (Kind::Kafka, Durability::Write) => 33.0 + 6.0 * restarts,
            (Kind::Thalweg, _) => 3.0 + 2.0 * restarts,
        };
        own + times.settle.as_secs_f64() + times.server_warm_up.as_secs_f64()
    }

    fn weight(&self) -> f64 {
        self.rows.iter().map(|row| row.weight()).sum()
    }
}

/// The times for the first of these starts, so that all of them fit into what is left.
pub(super) fn fit(options: &Options, runs: &[Run], left: Duration) -> Times {
    let times = options.times;
    let rows: Vec<_> = runs.iter().map(|run| options.rows(run.1)).collect();
    let tasks = runs.iter().zip(&rows).map(|(run, rows)| Task {
        kind: run.2.kind(),
        durability: run.1,
        rows,
    });
    let (mut fixed, mut weight) = (0.0, 0.0);
    for task in tasks {
        fixed += task.fixed_seconds(&times);
        weight += task.weight();
    }
    let free = left.as_secs_f64() - fixed - weight * ROW_OVERHEAD;
    let wanted = weight * (times.row_warm_up + times.row).as_secs_f64();
    let scale = if wanted > 0.0 {
        (free / wanted).clamp(SCALE_MIN, 1.0)
    } else {
        1.0
    };
    Times {
        row_warm_up: times.row_warm_up.mul_f64(scale),
        row: times.row.mul_f64(scale),
        ..times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(options: &Options, left: u64) -> Times {
        fit(options, &options.runs(), Duration::from_secs(left))
    }

    /// Ten minutes on a machine that keeps its pace leave every row most of its time.
    #[test]
    fn the_quick_form_fits() {
        let options = Options::parse(&["--quick"]).unwrap();
        let times = whole(&options, options.times.whole.unwrap().as_secs());
        let share = times.row.as_secs_f64() / options.times.row.as_secs_f64();
        assert!(share > 0.8, "{share}");
    }

    #[test]
    fn rows_get_shorter_to_a_floor() {
        let options = Options::parse(&["--quick"]).unwrap();
        let (much, little, none) = (
            whole(&options, 10_000),
            whole(&options, 450),
            whole(&options, 0),
        );
        assert_eq!(much, options.times);
        assert!(little.row < much.row && none.row < little.row);
        assert_eq!(none.row, options.times.row.mul_f64(SCALE_MIN));
    }
}
