//! Debian's kcat: metadata, produce with every codec, consume by offset, offsets by time; two members of a group.
//!
//! It cannot play the part that the clients in many languages have: it writes neither timestamps nor
//! binary values of headers, and a member of its own cannot be told to leave. So its group is here.
//! Its library is one of those that stop compressing when Produce is advertised from a version
//! above 0, which the stored batches' attributes show. Its first topic is never created by hand.

mod share;

use std::path::Path;
use std::time::Duration;

use super::{CODECS, Scene, expect_equal, expect_lines, expect_stored};
use crate::x::process::Program;
use crate::x::{Failure, Outcome};

const RECORDS: usize = 300;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    for codec in CODECS {
        let topic = format!("kcat-{codec}");
        let (written, read) = (topic.clone(), topic.clone());
        scene.promise(
            &format!("kcat produces and consumes, {codec}"),
            move |scene| produce(scene, &written, codec),
            Box::new(move |tools, address| {
                expect_stored(address, (&read, 0), codec, RECORDS as i64)?;
                consume(&tools.kcat, address, &read)
            }),
        );
    }
    scene.step("kcat lists metadata", metadata);
    scene.step("kcat finds offsets by time", by_time);
    scene.promise(
        "kcat -G: two members share, both are killed, a third one resumes",
        share::play,
        Box::new(|_, address| share::expect_committed(address, 3 * share::ROUND)),
    );
    Ok(())
}

pub(super) fn kcat(program: &Path, address: &str) -> Program {
    Program::new(program).args(["-b", address]).limit(LIMIT)
}

fn line(index: usize) -> (String, String) {
    (
        format!("key-{index}"),
        format!("value-{index}-{}", "over-stones-".repeat(8)),
    )
}

fn produce(scene: &Scene, topic: &str, codec: &str) -> Outcome<()> {
    let lines: String = (0..RECORDS)
        .map(line)
        .map(|(key, value)| format!("{key}:{value}\n"))
        .collect();
    kcat(&scene.tools.kcat, &scene.server.address())
        .args([
            "-P",
            "-t",
            topic,
            "-p",
            "0",
            "-z",
            codec,
            "-K:",
            "-H",
            "from=kcat",
        ])
        .args(["-X", "linger.ms=50"])
        .input(lines)
        .run()?;
    Ok(())
}

fn consume(program: &Path, address: &str, topic: &str) -> Outcome<()> {
    for start in [0, RECORDS / 3] {
        let output = kcat(program, address)
            .args([
                "-C",
                "-t",
                topic,
                "-p",
                "0",
                "-e",
                "-q",
                "-o",
                &start.to_string(),
            ])
            .args(["-f", "%o %h %k %s\n"])
            .run()?;
        let wanted: Vec<String> = (start..RECORDS)
            .map(|index| {
                let (key, value) = line(index);
                format!("{index} from=kcat {key} {value}")
            })
            .collect();
        expect_lines(&format!("{topic} from {start}"), &output.stdout, &wanted)?;
    }
    Ok(())
}

fn metadata(scene: &mut Scene) -> Outcome<()> {
    let output = kcat(&scene.tools.kcat, &scene.server.address())
        .arg("-L")
        .run()?;
    for part in [
        "topic \"kcat-zstd\" with 1 partitions",
        "partition 0, leader 1, replicas: 1, isrs: 1",
    ] {
        if !output.stdout.contains(part) {
            return Err(Failure::new(format!(
                "`{part}` is not in\n{}",
                output.stdout
            )));
        }
    }
    Ok(())
}

fn by_time(scene: &mut Scene) -> Outcome<()> {
    let output = kcat(&scene.tools.kcat, &scene.server.address())
        .args(["-Q", "-t", "kcat-none:0:1"])
        .run()?;
    expect_equal(
        "first offset since 1970",
        &output.stdout.trim(),
        &"kcat-none [0] offset 0",
    )
}
