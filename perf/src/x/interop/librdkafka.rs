//! librdkafka, old and newest, through its Python client: `perf/interop/librdkafka.py` does the work.

use std::path::Path;
use std::time::Duration;

use super::{CODECS, Scene, expect_stored, java};
use crate::x::packages;
use crate::x::process::Program;

const RECORDS: usize = 1000;
const TEXT_RECORDS: u64 = 100;
const LIMIT: Duration = Duration::from_secs(150);

pub(super) fn play(scene: &mut Scene) {
    let pythons = scene.tools.pythons.clone();
    for (version, python) in pythons {
        let topics: Vec<String> = CODECS.map(|codec| format!("rd-{version}-{codec}")).into();
        let maker = python.clone();
        scene.step(
            &format!("librdkafka {version} creates topics"),
            move |scene| {
                script(&maker, "create", &scene.server.address(), &topics.join(","))
                    .args(["--partitions", "2", "--config", "segment.bytes=104857600"])
                    .run()?;
                Ok(())
            },
        );
        for codec in CODECS {
            binary(scene, version, &python, codec);
        }
    }
    text(scene);
}

/// Null, empty and binary keys, values and headers; even codecs idempotent, odd ones not.
fn binary(scene: &mut Scene, version: &str, python: &Path, codec: &'static str) {
    let topic = format!("rd-{version}-{codec}");
    let (written, writer) = (topic.clone(), python.to_owned());
    let (read, reader) = (topic, python.to_owned());
    let plain = codec == "gzip" || codec == "lz4";
    scene.promise(
        &format!(
            "librdkafka {version}, {codec}{}",
            if plain { "" } else { ", idempotent" }
        ),
        move |scene| {
            let base = scene.tools.base_ms.to_string();
            let program = script(&writer, "produce", &scene.server.address(), &written)
                .args(["--codec", codec, "--base", &base])
                .args(["--count", &RECORDS.to_string()]);
            if plain {
                program.run()?
            } else {
                program.arg("--idempotent").run()?
            };
            Ok(())
        },
        Box::new(move |tools, address| {
            expect_stored(address, &read, codec, RECORDS as i64)?;
            script(&reader, "verify", address, &read)
                .args([
                    "--base",
                    &tools.base_ms.to_string(),
                    "--count",
                    &RECORDS.to_string(),
                ])
                .run()?;
            Ok(())
        }),
    );
}

/// One client's timestamps, headers and keys as the other client sees them.
fn text(scene: &mut Scene) {
    let (_, newest) = scene.tools.pythons[1].clone();
    scene.promise(
        "librdkafka writes, Java reads, timestamps and all",
        move |scene| {
            let address = scene.server.address();
            script(&newest, "create", &address, "rd-text").run()?;
            script(&newest, "produce", &address, "rd-text")
                .args([
                    "--text",
                    "--codec",
                    "zstd",
                    "--count",
                    &TEXT_RECORDS.to_string(),
                ])
                .args(["--base", &scene.tools.base_ms.to_string()])
                .run()?;
            Ok(())
        },
        Box::new(|tools, address| {
            let lines: Vec<String> = (0..TEXT_RECORDS)
                .map(|index| {
                    let stamp = tools.base_ms + index * 10;
                    format!("CreateTime:{stamp}\tindex:{index}\tkey-{index}\tvalue-{index}")
                })
                .collect();
            java::consume_lines(&tools.jars, address, "rd-text", &lines)
        }),
    );
}

pub(super) fn script(python: &Path, command: &str, address: &str, topic: &str) -> Program {
    Program::new(python)
        .arg(packages::root().join("perf/interop/librdkafka.py"))
        .args([command, address, topic])
        .limit(LIMIT)
}
