//! `cargo x sim`: whole nodes on the seeded disk, one seed or many.
//!
//! The runs are tests of the node (`node/tests/sim`); this names their seeds. Without arguments it
//! runs the fixed list that `cargo x check` runs, canaries included.

use super::process::Program;
use super::{Failure, Outcome, Tally};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Fixed,
    Seed(u64),
    Seeds(u64),
}

/// Runs the simulation.
pub fn sim(arguments: &[&str]) -> Outcome<Tally> {
    let mut program = Program::new("cargo").args(["test", "--package", "thalweg-node"]);
    program = program.args(["--test", "sim", "--"]);
    program = match parse(arguments)? {
        Asked::Fixed => program,
        Asked::Seed(seed) => one(program).env("THALWEG_SEED", seed.to_string()),
        Asked::Seeds(seeds) => one(program).env("THALWEG_SEEDS", seeds.to_string()),
    };
    eprintln!("$ cargo test --package thalweg-node --test sim");
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

/// Only the crashes, with their summary.
fn one(program: Program) -> Program {
    program.args(["what_was_told_outlives_any_crash", "--nocapture"])
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
        _ => Err(Failure::new("sim takes --seed N or --seeds N")),
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
