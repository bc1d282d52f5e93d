//! Transactions: an application with Kafka's own Java client, the perf test, Kafka's transaction tool.
//!
//! What the application sees on Apache Kafka is committed (`perf/interop/clients/java/transactions.txt`); it
//! must see the same on every server, and committed records must read the same after each start.

use std::path::Path;

use super::java::{LIMIT, tool};
use super::{Scene, expect_equal};
use crate::x::packages;
use crate::x::process::Program;
use crate::x::{Failure, Outcome};

const SEEN: &str = include_str!("../../../interop/clients/java/transactions.txt");
/// The lines of it that are about what must outlive the server.
const LASTING: usize = 3;
const PREFIX: &str = "txn";
const PERF_ID: &str = "perf-in-transactions";
const PERF_TOPIC: &str = "perf-in-transactions";
const PERF_RECORDS: u64 = 2_000;

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    scene.promise(
        "a Java application commits, aborts, is fenced and asks about it",
        |scene| {
            let seen = application(&scene.tools.jars, &scene.server.address(), &[PREFIX])?;
            expect_equal("what it sees", &seen.trim(), &SEEN.trim())
        },
        Box::new(|tools, address| {
            let seen = application(&tools.jars, address, &[PREFIX, "check"])?;
            let lines: Vec<&str> = SEEN.trim().lines().collect();
            let (_, lasting) = lines.split_at(lines.len().saturating_sub(LASTING));
            expect_equal("what it sees", &seen.trim(), &lasting.join("\n").as_str())
        }),
    );
    scene.promise(
        "producer perf test in transactions",
        perf_test,
        Box::new(|tools, address| {
            let listed = transactions(&tools.jars, address, &["list"])?;
            let row = listed.lines().find(|line| line.starts_with(PERF_ID));
            let is_complete = row.is_some_and(|row| row.contains("CompleteCommit"));
            expect_equal("it is complete", &is_complete, &true)
        }),
    );
    scene.step("kafka-transactions describes what it finds", described);
    Ok(())
}

/// Runs the application; what it printed.
fn application(jars: &Path, address: &str, arguments: &[&str]) -> Outcome<String> {
    let folder = packages::root().join("perf/interop/clients/java");
    let classes = packages::java_classes(&folder, jars)?;
    let path = format!("{}:{}/*", classes.display(), jars.display());
    let words = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    let run = Program::new("java")
        .args(words)
        .args(["-cp", &path, "Transactions", address])
        .args(arguments)
        .limit(LIMIT)
        .run()?;
    Ok(run.stdout)
}

fn perf_test(scene: &Scene) -> Outcome<()> {
    let (jars, address) = (&scene.tools.jars, scene.server.address());
    let records = PERF_RECORDS.to_string();
    let class = "org.apache.kafka.tools.ProducerPerformance";
    let run = tool(jars, class, &address)
        .args(["--topic", PERF_TOPIC, "--num-records", &records])
        .args(["--record-size", "100", "--throughput", "-1"])
        .args(["--transactional-id", PERF_ID])
        .args(["--transaction-duration-ms", "50"])
        .run()?;
    let words = format!("{PERF_RECORDS} records sent");
    expect_equal("all are sent", &run.stdout.contains(&words), &true)
}

fn transactions(jars: &Path, address: &str, words: &[&str]) -> Outcome<String> {
    let class = "org.apache.kafka.tools.TransactionsCommand";
    Ok(tool(jars, class, address).args(words).run()?.stdout)
}

fn described(scene: &mut Scene) -> Outcome<()> {
    let (jars, address) = (&scene.tools.jars, scene.server.address());
    let ask = |words: &[&str]| transactions(jars, &address, words);
    let shown = ask(&["describe", "--transactional-id", PERF_ID])?;
    expect_contains(&shown, &["CompleteCommit", PERF_ID])?;
    let shown = ask(&[
        "describe-producers",
        "--topic",
        PERF_TOPIC,
        "--partition",
        "0",
    ])?;
    expect_contains(&shown, &["LatestCoordinatorEpoch", "None"])?;
    let hanging = ask(&["find-hanging", "--broker-id", "1"])?;
    expect_equal("rows of hanging ones", &hanging.lines().count(), &1)
}

fn expect_contains(shown: &str, words: &[&str]) -> Outcome<()> {
    match words.iter().find(|word| !shown.contains(**word)) {
        None => Ok(()),
        Some(word) => Err(Failure::new(format!("no `{word}` in:\n{shown}"))),
    }
}
