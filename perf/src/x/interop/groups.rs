//! Consumer groups: console consumer, the group command, kcat -G.
//!
//! What is committed is a promise like records are: it is there after kill -9, after a clean stop,
//! and when Apache Kafka serves a copy of the directory.

use std::path::Path;
use std::time::Duration;

use super::java::{LIMIT, RECORDS, create, key_and_value, produce, tool};
use super::{Scene, Tools, expect_equal, expect_lines};
use crate::x::process::Program;
use crate::x::{Failure, Outcome};

const TOPIC: &str = "grouped";
/// Where the group is set back to.
const BACK_TO: usize = 50;

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    scene.promise(
        "console consumer commits for its group",
        |scene| {
            create(scene, TOPIC, 1, &[])?;
            produce(scene, TOPIC, "none")?;
            consume(scene, "console", 0)
        },
        Box::new(|tools, address| expect_committed(tools, address, "console", RECORDS)),
    );
    scene.step("kafka-consumer-groups lists, resets and resumes", command);
    scene.step("kafka-consumer-groups deletes", delete);
    scene.promise(
        "kcat -G reads all and commits",
        kcat,
        Box::new(|tools, address| expect_committed(tools, address, "kcat", RECORDS)),
    );
    Ok(())
}

/// Reads from the group's offset to the topic's end.
fn consume(scene: &Scene, group: &str, start: usize) -> Outcome<()> {
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let output = tool(&scene.tools.jars, class, &scene.server.address())
        .args(["--topic", TOPIC, "--group", group, "--from-beginning"])
        .args(["--max-messages", &(RECORDS - start).to_string()])
        .args(["--timeout-ms", "30000"])
        .args(["--formatter-property", "print.key=true"])
        .run()?;
    expect_lines(&format!("group {group}"), &output.stdout, &lines(start))
}

fn lines(start: usize) -> Vec<String> {
    let records = (start..RECORDS).map(key_and_value);
    records
        .map(|(key, value)| format!("{key}\t{value}"))
        .collect()
}

fn group_command(jars: &Path, address: &str) -> Program {
    tool(
        jars,
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        address,
    )
}

fn describe(jars: &Path, address: &str, group: &str) -> Outcome<String> {
    let output = group_command(jars, address)
        .args(["--describe", "--group", group])
        .run()?;
    Ok(output.stdout)
}

/// The committed offsets of a topic's partitions, as a description shows them.
fn offsets(described: &str, topic: &str) -> Vec<usize> {
    let rows = described
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1) == Some(&topic))
        .filter_map(|row| row.get(3)?.parse().ok())
        .collect()
}

fn expect_committed(tools: &Tools, address: &str, group: &str, offset: usize) -> Outcome<()> {
    let described = describe(&tools.jars, address, group)?;
    match offsets(&described, TOPIC).as_slice() {
        [one] if *one == offset => Ok(()),
        _ => Err(Failure::new(format!(
            "{group} is not at {offset}:\n{described}"
        ))),
    }
}

fn groups(scene: &Scene) -> Outcome<String> {
    let output = group_command(&scene.tools.jars, &scene.server.address())
        .arg("--list")
        .run()?;
    Ok(output.stdout)
}

fn command(scene: &mut Scene) -> Outcome<()> {
    let listed = groups(scene)?;
    expect_equal(
        "console is listed",
        &listed.lines().any(|line| line == "console"),
        &true,
    )?;
    let reset = ["--reset-offsets", "--to-offset", &BACK_TO.to_string()].map(str::to_owned);
    for (flag, offset) in [("--dry-run", RECORDS), ("--execute", BACK_TO)] {
        group_command(&scene.tools.jars, &scene.server.address())
            .args(&reset)
            .args(["--group", "console", "--topic", TOPIC, flag])
            .run()?;
        expect_committed(&scene.tools, &scene.server.address(), "console", offset)?;
    }
    consume(scene, "console", BACK_TO)?;
    expect_committed(&scene.tools, &scene.server.address(), "console", RECORDS)
}

fn delete(scene: &mut Scene) -> Outcome<()> {
    consume(scene, "short-lived", 0)?;
    for words in [
        &["--delete-offsets", "--topic", TOPIC][..],
        &["--delete"][..],
    ] {
        group_command(&scene.tools.jars, &scene.server.address())
            .args(["--group", "short-lived"])
            .args(words)
            .run()?;
    }
    expect_equal(
        "still listed",
        &groups(scene)?.lines().any(|line| line == "short-lived"),
        &false,
    )
}

fn kcat(scene: &Scene) -> Outcome<()> {
    let output = Program::new(&scene.tools.kcat)
        .args(["-b", &scene.server.address(), "-G", "kcat"])
        .args(["-X", "auto.offset.reset=earliest", "-q", "-e"])
        .args(["-K", "\t", TOPIC])
        .limit(LIMIT.max(Duration::from_secs(60)))
        .run()?;
    expect_lines("kcat -G", &output.stdout, &lines(0))
}
