//! A laggard's return: producers go on at their rate while a consumer drains what is stored.
//!
//! Three loads in a row: write the backlog unless it is there, produce alone, produce while the
//! backlog is read. What the drain costs the producers is the difference of the last two.

use std::sync::Arc;

use super::clock::Clock;
use super::stage::Stage;
use super::{Reading, Sides, drive, window};
use crate::client::Cluster;
use crate::report::{Report, Run};
use crate::{BenchError, Settings};

const ALONE: Sides = Sides {
    produce: true,
    read: None,
};
const DRAINED: Sides = Sides {
    produce: true,
    read: Some(Reading::Stored),
};

pub(super) fn run(settings: &Settings, cluster: &Cluster) -> Result<Report, BenchError> {
    fill(settings, cluster)?;
    let stage = Arc::new(Stage::new(Clock::real(), window(settings)));
    let before = drive(settings, cluster, &stage, ALONE)?;
    // The producers go on until the drain is done; there is nothing to warm up any more.
    let stage = Arc::new(Stage::new(Clock::real(), (0, u64::MAX)));
    let during = drive(settings, cluster, &stage, DRAINED)?;
    let run = Run::of(settings, &during).with_before(&before);
    Ok(Report::new(settings, &run))
}

/// Writes what the backlog lacks, as fast as it goes.
fn fill(settings: &Settings, cluster: &Cluster) -> Result<(), BenchError> {
    let (starts, ends) = (cluster.starts()?, cluster.ends()?);
    let stored: i64 = ends.values().sum::<i64>() - starts.values().sum::<i64>();
    let stored = u64::try_from(stored).unwrap_or(0);
    if stored >= settings.backlog {
        return Ok(());
    }
    let fast = Settings {
        rate: None,
        batch_bytes: settings.batch_bytes.max(64 << 10),
        ..settings.clone()
    };
    let stage = Stage::new(Clock::real(), (0, u64::MAX));
    let stage = Arc::new(stage.with_records_max(settings.backlog - stored));
    let filled = drive(&fast, cluster, &stage, ALONE)?;
    match filled.produced.first_error {
        Some(code) => {
            let what = "writing the backlog";
            Err(BenchError::Refused { what, code })
        }
        None => Ok(()),
    }
}
