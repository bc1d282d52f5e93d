//! `cargo x check` and `cargo x fix`: what has to hold before anything lands.
//!
//! `check` needs Rust and a C compiler, nothing more, and writes nothing but build artefacts.

use super::process::Program;
use super::{Failure, Outcome, Tally};

/// Format, lints, all tests and docs, in the order of what fails fastest.
pub fn check(arguments: &[&str]) -> Outcome<Tally> {
    expect_none(arguments)?;
    cargo(&["fmt", "--all", "--", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])?;
    let tally = test(&["--workspace"])?;
    eprintln!("$ cargo doc --workspace --no-deps");
    Program::new("cargo")
        .args(["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .echo()
        .run()?;
    Ok(tally)
}

/// What a machine can put right by itself.
pub fn fix(arguments: &[&str]) -> Outcome<Tally> {
    expect_none(arguments)?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ])?;
    cargo(&["fmt", "--all"])?;
    Ok(Tally::default())
}

/// Runs `cargo test` with these arguments and adds up the harness's own result lines.
pub fn test(arguments: &[&str]) -> Outcome<Tally> {
    eprintln!("$ cargo test {}", arguments.join(" "));
    let output = Program::new("cargo")
        .arg("test")
        .args(arguments)
        .echo()
        .run()?;
    let tally = count(&output.stdout);
    if tally.passed == 0 {
        return Err(Failure::new("cargo test ran no test"));
    }
    Ok(tally)
}

fn cargo(arguments: &[&str]) -> Outcome<()> {
    eprintln!("$ cargo {}", arguments.join(" "));
    Program::new("cargo").args(arguments).echo().run()?;
    Ok(())
}

fn expect_none(arguments: &[&str]) -> Outcome<()> {
    match arguments.first() {
        None => Ok(()),
        Some(word) => Err(Failure::new(format!(
            "`{word}`: this command takes no arguments"
        ))),
    }
}

/// Adds up lines like `test result: ok. 3 passed; 0 failed; 1 ignored; ...`.
pub(super) fn count(text: &str) -> Tally {
    let mut tally = Tally::default();
    for line in text
        .lines()
        .filter(|line| line.starts_with("test result: "))
    {
        for part in line.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u64>().ok());
            match (number, words.next()) {
                (Some(number), Some("passed")) => tally.passed += number,
                (Some(number), Some("failed")) => tally.failed += number,
                (Some(number), Some("ignored")) => tally.skipped += number,
                _ => {}
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let text = "running 3 tests\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(
            count(text),
            Tally {
                passed: 5,
                failed: 1,
                skipped: 1
            }
        );
    }
}
