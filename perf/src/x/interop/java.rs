//! Apache Kafka's own Java tools: topics, console producer and consumer, perf test, offsets.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::{CODECS, Promise, Scene, expect_equal, expect_lines, expect_stored};
use crate::x::process::Program;
use crate::x::server;
use crate::x::{Context, Failure, Outcome};

pub(super) const RECORDS: usize = 200;
const PERF_RECORDS: u64 = 50_000;
/// A topic whose first records are deleted: its one segment still has them, and no file but the
/// log start checkpoint says so.
const DELETED_TOPIC: &str = "java-deleted";
const DELETED: usize = 77;
/// A topic that says in which codec its batches are stored.
const RECODED_TOPIC: &str = "java-recoded";
/// A tool that needs longer hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    scene.step("kafka-topics creates, lists and describes", topics);
    scene.step("kafka-topics deletes and creates anew", recreate);
    scene.step("kafka-configs describes a topic", configs);
    for codec in CODECS {
        let topic = format!("java-{codec}");
        let (written, read) = (topic.clone(), topic.clone());
        scene.promise(
            &format!("console producer and consumer, {codec}"),
            move |scene| {
                create(scene, &written, 1, &[])?;
                produce(scene, &written, codec)
            },
            Box::new(move |tools, address| {
                expect_stored(address, (&read, 0), codec, RECORDS as i64)?;
                consume(&tools.jars, address, &read)
            }),
        );
    }
    scene.promise(
        "a topic with a codec of its own",
        |scene| {
            create(scene, RECODED_TOPIC, 1, &["compression.type=zstd"])?;
            produce(scene, RECODED_TOPIC, "gzip")
        },
        Box::new(|tools, address| {
            expect_stored(address, (RECODED_TOPIC, 0), "zstd", RECORDS as i64)?;
            consume(&tools.jars, address, RECODED_TOPIC)
        }),
    );
    scene.promise(
        "records deleted up to the middle of a segment",
        |scene| {
            create(scene, DELETED_TOPIC, 1, &[])?;
            produce(scene, DELETED_TOPIC, "none")?;
            delete_records(scene)
        },
        Box::new(|tools, address| {
            expect_begin(&tools.jars, address)?;
            consume_from(&tools.jars, address, DELETED_TOPIC, ("earliest", DELETED))
        }),
    );
    scene.promise(
        "producer perf test, lz4, idempotent, 3 partitions",
        perf_test,
        Box::new(|tools, address| expect_end_offsets(&tools.jars, address)),
    );
    Ok(())
}

pub(super) fn tool(jars: &Path, class: &str, address: &str) -> Program {
    server::java(jars, class)
        .args(["--bootstrap-server", address])
        .limit(LIMIT)
}

fn topic_command(scene: &Scene) -> Program {
    tool(
        &scene.tools.jars,
        "org.apache.kafka.tools.TopicCommand",
        &scene.server.address(),
    )
}

pub(super) fn create(scene: &Scene, topic: &str, partitions: u32, configs: &[&str]) -> Outcome<()> {
    let mut program = topic_command(scene)
        .args([
            "--create",
            "--topic",
            topic,
            "--partitions",
            &partitions.to_string(),
        ])
        .args(["--replication-factor", "1"]);
    for config in configs {
        program = program.args(["--config", config]);
    }
    program.run()?;
    Ok(())
}

fn topics(scene: &mut Scene) -> Outcome<()> {
    create(scene, "perf", 3, &["retention.ms=700000000"])?;
    let list = topic_command(scene).arg("--list").run()?.stdout;
    expect_equal(
        "perf is listed",
        &list.lines().any(|line| line == "perf"),
        &true,
    )?;
    let described = topic_command(scene)
        .args(["--describe", "--topic", "perf"])
        .run()?
        .stdout;
    for part in [
        "PartitionCount: 3",
        "retention.ms=700000000",
        "Partition: 2\tLeader: 1",
    ] {
        if !described.contains(part) {
            return Err(Failure::new(format!("`{part}` is not in\n{described}")));
        }
    }
    Ok(())
}

fn recreate(scene: &mut Scene) -> Outcome<()> {
    create(scene, "short-lived", 1, &[])?;
    produce(scene, "short-lived", "none")?;
    topic_command(scene)
        .args(["--delete", "--topic", "short-lived"])
        .run()?;
    let list = topic_command(scene).arg("--list").run()?.stdout;
    expect_equal(
        "still listed",
        &list.lines().any(|line| line == "short-lived"),
        &false,
    )?;
    create(scene, "short-lived", 1, &[])?;
    expect_stored(&scene.server.address(), ("short-lived", 0), "none", 0)
}

fn configs(scene: &mut Scene) -> Outcome<()> {
    let described = tool(
        &scene.tools.jars,
        "kafka.admin.ConfigCommand",
        &scene.server.address(),
    )
    .args(["--describe", "--topic", "perf"])
    .run()?
    .stdout;
    expect_equal(
        "the override is told",
        &described.contains("retention.ms=700000000"),
        &true,
    )
}

pub(super) fn key_and_value(index: usize) -> (String, String) {
    (
        format!("key-{index}"),
        format!("value-{index}-{}", "as-the-river-runs-".repeat(5)),
    )
}

pub(super) fn produce(scene: &Scene, topic: &str, codec: &str) -> Outcome<()> {
    let (jars, address) = (&scene.tools.jars, scene.server.address());
    write(jars, &address, (topic, codec), 0..RECORDS)
}

fn write(
    jars: &Path,
    address: &str,
    (topic, codec): (&str, &str),
    records: Range<usize>,
) -> Outcome<()> {
    let lines: String = records
        .map(|index| {
            let (key, value) = key_and_value(index);
            format!("index:{index},from:java\t{key}\t{value}\n")
        })
        .collect();
    let class = "org.apache.kafka.tools.ConsoleProducer";
    let output = tool(jars, class, address)
        .args(["--topic", topic, "--compression-codec", codec])
        .args([
            "--command-property",
            "acks=all",
            "--command-property",
            "linger.ms=50",
        ])
        .args([
            "--reader-property",
            "parse.key=true",
            "--reader-property",
            "parse.headers=true",
        ])
        .input(lines)
        .run()?;
    // The tool ends with 0 even when records were refused.
    let complaints = format!("{}{}", output.stdout, output.stderr);
    match complaints.contains("ERROR") {
        true => Err(Failure::new(complaints)),
        false => Ok(()),
    }
}

fn consumer(jars: &Path, address: &str, topic: &str, properties: &[&str]) -> Program {
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let mut program = tool(jars, class, address).args([
        "--topic",
        topic,
        "--partition",
        "0",
        "--timeout-ms",
        "20000",
    ]);
    for property in properties {
        program = program.args(["--formatter-property", property]);
    }
    program
}

/// From the start and from the middle, each record with offset, headers, key and value.
fn consume(jars: &Path, address: &str, topic: &str) -> Outcome<()> {
    for start in [0, RECORDS / 2] {
        consume_from(jars, address, topic, (&start.to_string(), start))?;
    }
    Ok(())
}

/// Everything from an offset on, which the tool is told as a word; `start` is what it means.
fn consume_from(
    jars: &Path,
    address: &str,
    topic: &str,
    (offset, start): (&str, usize),
) -> Outcome<()> {
    consume_range(jars, address, topic, (offset, start..RECORDS))
}

fn consume_range(
    jars: &Path,
    address: &str,
    topic: &str,
    (offset, records): (&str, Range<usize>),
) -> Outcome<()> {
    let shown = ["print.offset=true", "print.headers=true", "print.key=true"];
    let output = consumer(jars, address, topic, &shown)
        .args(["--offset", offset])
        .args(["--max-messages", &records.len().to_string()])
        .run()?;
    let what = format!("{topic} from {}", records.start);
    let wanted: Vec<String> = records
        .map(|index| {
            let (key, value) = key_and_value(index);
            format!("Offset:{index}\tindex:{index},from:java\t{key}\t{value}")
        })
        .collect();
    expect_lines(&what, &output.stdout, &wanted)
}

fn delete_records(scene: &Scene) -> Outcome<()> {
    let path = scene.server.setup().dir.join("delete-records.json");
    let text = format!(
        r#"{{"partitions":[{{"topic":"{DELETED_TOPIC}","partition":0,"offset":{DELETED}}}],"version":1}}"#
    );
    std::fs::write(&path, text).context(|| "writing delete-records.json")?;
    let class = "org.apache.kafka.tools.DeleteRecordsCommand";
    let output = tool(&scene.tools.jars, class, &scene.server.address())
        .arg("--offset-json-file")
        .arg(&path)
        .run()?;
    let told = format!("low_watermark: {DELETED}");
    expect_equal("the tool's answer", &output.stdout.contains(&told), &true)
}

/// Writes more records to the topic whose log does not begin at offset 0.
pub(super) fn add(jars: &Path, address: &str, records: usize) -> Outcome<()> {
    write(
        jars,
        address,
        (DELETED_TOPIC, "none"),
        RECORDS..RECORDS + records,
    )
}

/// The promise that they stand behind the others.
pub(super) fn added(records: usize) -> Promise {
    Promise {
        name: "records that Apache Kafka added".to_owned(),
        verify: Box::new(move |tools, address| {
            let wanted = RECORDS..RECORDS + records;
            let start = wanted.start.to_string();
            consume_range(&tools.jars, address, DELETED_TOPIC, (&start, wanted))
        }),
    }
}

fn expect_begin(jars: &Path, address: &str) -> Outcome<()> {
    let class = "org.apache.kafka.tools.GetOffsetShell";
    let output = tool(jars, class, address)
        .args(["--topic", DELETED_TOPIC, "--time", "earliest"])
        .run()?;
    let wanted = format!("{DELETED_TOPIC}:0:{DELETED}");
    expect_equal("earliest offset", &output.stdout.trim(), &wanted.as_str())
}

fn perf_test(scene: &Scene) -> Outcome<()> {
    let class = "org.apache.kafka.tools.ProducerPerformance";
    let output = tool(&scene.tools.jars, class, &scene.server.address())
        .args([
            "--topic",
            "perf",
            "--num-records",
            &PERF_RECORDS.to_string(),
        ])
        .args(["--record-size", "100", "--throughput", "-1"])
        .args(["--command-property", "acks=all", "compression.type=lz4"])
        .run()?;
    let sent = format!("{PERF_RECORDS} records sent");
    match output
        .stdout
        .lines()
        .rev()
        .find(|line| line.contains(&sent))
    {
        Some(line) => eprintln!("        {line}"),
        None => {
            return Err(Failure::new(format!(
                "not all was sent:\n{}",
                output.stdout
            )));
        }
    }
    Ok(())
}

fn expect_end_offsets(jars: &Path, address: &str) -> Outcome<()> {
    let class = "org.apache.kafka.tools.GetOffsetShell";
    let output = tool(jars, class, address).args(["--topic", "perf"]).run()?;
    let ends: Vec<u64> = output
        .stdout
        .lines()
        .filter_map(|line| line.rsplit(':').next().and_then(|end| end.parse().ok()))
        .collect();
    expect_equal("partitions", &ends.len(), &3)?;
    expect_equal(
        "records in all partitions",
        &ends.iter().sum(),
        &PERF_RECORDS,
    )
}
