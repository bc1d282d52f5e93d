//! `cargo x oracle`: Kafka's own classes as judges of the wire.
//!
//! First the schemas inside Kafka's jars are read again and compared with the committed facts, then
//! the oracle tests of `wire` run with the jars: Kafka's JSON converters on random messages of every
//! version, its log validator on batches, recorded frames, and the crate `kafka-protocol`. Without
//! the jars those tests leave out what needs them; here they are always there.

use super::packages::{kafka_jars, root};
use super::process::Program;
use super::{Failure, Outcome, Tally};

/// Runs all oracles.
pub fn oracle(arguments: &[&str]) -> Outcome<Tally> {
    if let Some(word) = arguments.first() {
        return Err(Failure::new(format!("`{word}`: oracle takes nothing")));
    }
    let jars = kafka_jars()?;
    let script = root().join("wire/schema/extract.py");
    Program::new("python3")
        .arg(script)
        .args(["--check", "--jars"])
        .arg(&jars)
        .echo()
        .run()?;
    let tests = ["test", "--package", "thalweg-wire", "--test", "oracle"];
    eprintln!("$ cargo {}", tests.join(" "));
    let output = Program::new("cargo")
        .args(tests)
        .env("THALWEG_KAFKA_JARS", &jars)
        .echo()
        .run()?;
    let mut tally = super::check::count(&output.stdout);
    if tally.passed == 0 {
        return Err(Failure::new("no oracle ran"));
    }
    tally.passed += 1;
    Ok(tally)
}
