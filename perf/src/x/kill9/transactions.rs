//! Transactions under kill -9: four writers commit and abort, a reader of committed records goes on all
//! the time, and every outcome ever told, and everything ever shown, is held against what is there in
//! the end. What is looked for are the anomalies of transactions: lost writes, aborted reads, records
//! shown before they were committed, transactions that are there in part.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{AUDIT_LIMIT, PARTITIONS, PRODUCERS, Plan, TOPIC, kill_rounds, stop_all};
use crate::x::Outcome;
use crate::x::packages;
use crate::x::process::{Daemon, Program};
use crate::x::server::Server;

/// After the last writer: the reader may still see what was committed last.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// The rounds that passed, and the audit.
pub(super) fn run(plan: &Plan, python: &Path, server: &mut Server) -> Outcome<u64> {
    let dir = server.setup().dir.clone();
    let out = dir.join("writers.out");
    let script = |name: &str| {
        let path = packages::root().join("perf/interop").join(name);
        Program::new(python)
            .arg(path)
            .args([&server.address(), TOPIC])
    };
    let ends: Vec<PathBuf> = (0..PRODUCERS)
        .map(|index| dir.join(format!("ends-{index}")))
        .collect();
    let writers = ends
        .iter()
        .enumerate()
        .map(|(index, path)| {
            let program = script("txn_writer.py");
            program
                .args([&index.to_string(), PARTITIONS])
                .arg(path)
                .spawn(&out)
        })
        .collect::<Outcome<Vec<Daemon>>>()?;
    let shown = dir.join("shown");
    let reader = script("txn_reader.py")
        .arg(PARTITIONS)
        .arg(&shown)
        .spawn(&out)?;
    let audit = script("txn_audit.py")
        .arg(PARTITIONS)
        .arg(&shown)
        .args(&ends)
        .limit(AUDIT_LIMIT);
    let passed = kill_rounds(plan, server)?;
    stop_all(writers, server)?;
    std::thread::sleep(LAST_LOOK);
    stop_all(vec![reader], server)?;
    eprintln!("{}", audit.run()?.stdout.trim());
    Ok(passed + 1)
}
