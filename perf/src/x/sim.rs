//! `cargo x sim [storage]`: whole nodes, or the storage engine alone, on the seeded disk.
//!
//! The runs are tests of the node (`node/tests/sim`) and of the engine (`storage/tests`: crashes and
//! faults, the plain model, cleaning, rot); this names their seeds. Without arguments it runs the fixed
//! list that `cargo x check` runs, planted defects included. A seed of the engine is milliseconds, so
//! that a hundred thousand are a coffee and not a night.

use std::time::Duration;

use super::process::Program;
use super::{Failure, Outcome, Tally};

const NODE: &[&str] = &["--package", "thalweg-node", "--test", "sim"];
/// Only the crashes, with their summary.
const NODE_SEEDED: &[&str] = &["what_was_told_outlives_any_crash"];
const STORAGE: &[&str] = &[
    "--package",
    "thalweg-storage",
    "--test",
    "crash",
    "--test",
    "model",
    "--test",
    "cleaning",
    "--test",
    "scrub",
];
/// Those tests of them that have seeds.
const STORAGE_SEEDED: &[&str] = &[
    "nothing_acknowledged_or_shown_is_lost",
    "a_node_is_its_partitions_vectors",
    "the_newest_of_each_key_survives_everything",
    "a_turned_bit_costs_its_batch_and_no_other",
    "a_rotten_index_is_made_anew",
];
/// As many seeds as somebody has the patience for.
const SEEDS_LIMIT: Duration = Duration::from_secs(12 * 3600);

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Fixed,
    Seed(u64),
    Seeds(u64),
}

/// Runs the simulation.
pub fn sim(arguments: &[&str]) -> Outcome<Tally> {
    let (tests, only, seeds) = match arguments {
        ["storage", seeds @ ..] => (STORAGE, STORAGE_SEEDED, seeds),
        seeds => (NODE, NODE_SEEDED, seeds),
    };
    let program = Program::new("cargo").arg("test").args(tests).arg("--");
    let seeded = |program: Program| program.args(only).arg("--nocapture").limit(SEEDS_LIMIT);
    let program = match parse(seeds)? {
        Asked::Fixed => program,
        Asked::Seed(seed) => seeded(program).env("THALWEG_SEED", seed.to_string()),
        Asked::Seeds(seeds) => seeded(program).env("THALWEG_SEEDS", seeds.to_string()),
    };
    eprintln!("$ cargo test {}", tests.join(" "));
    let output = program.echo().run()?;
    let tally = super::check::count(&output.stdout);
    if tally.passed == 0 {
        return Err(Failure::new("no simulation ran"));
    }
    // What was run: seeds, crashes, answers checked.
    for line in output
        .stderr
        .lines()
        .filter(|line| line.contains("seeds, "))
    {
        eprintln!("{line}");
    }
    Ok(tally)
}

fn parse(arguments: &[&str]) -> Outcome<Asked> {
    let number = |text: &str| {
        text.parse()
            .map_err(|error| Failure::new(format!("`{text}`: {error}")))
    };
    match arguments {
        [] => Ok(Asked::Fixed),
        ["--seed", seed] => Ok(Asked::Seed(number(seed)?)),
        ["--seeds", seeds] => Ok(Asked::Seeds(number(seeds)?)),
        _ => Err(Failure::new(
            "sim takes `storage`, and --seed N or --seeds N",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_named_or_counted() {
        assert_eq!(parse(&[]).unwrap(), Asked::Fixed);
        assert_eq!(parse(&["--seed", "7"]).unwrap(), Asked::Seed(7));
        assert_eq!(parse(&["--seeds", "1000"]).unwrap(), Asked::Seeds(1000));
        assert!(parse(&["--seed", "x"]).is_err() && parse(&["--all"]).is_err());
    }
}
