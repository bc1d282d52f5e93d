//! What a stopped server leaves on disk, judged by Apache Kafka itself.
//!
//! The dump tool ends with 0 whatever it finds, so its words are read too, and the records it saw
//! are counted. Then Apache Kafka starts on a copy, every promise is verified against it, and it adds
//! some records. Last comes Thalweg on what Apache Kafka left: its own directory come back, or an import
//! of one that was Apache Kafka's from the beginning.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CODECS, Scene, compaction, expect_equal, java};
use crate::x::process::Program;
use crate::x::server::{self, Kind, Server, Setup};
use crate::x::{Context, Failure, Outcome};

/// What the dump tool says about a damaged file.
const DAMAGE: [&str; 4] = ["Found", "mismatch", "invalid bytes", "Exception"];
/// What it says of offsets that do not follow each other, as a cleaned log's may not.
const GAPS: &str = "Non-consecutive";
const DEEP: [&str; 2] = ["--deep-iteration", "--print-data-log"];
const FILES_MAX: usize = 200;

pub(super) fn stop(scene: &mut Scene) -> Outcome<()> {
    let status = scene.server.stop()?;
    // A Java machine that was ended by SIGTERM says so in its exit code, whatever it did before.
    let wanted = if scene.server.setup().kind == Kind::Kafka {
        143
    } else {
        0
    };
    expect_equal("exit code", &status.code(), &Some(wanted))
}

pub(super) fn dump(scene: &mut Scene) -> Outcome<()> {
    let logs = scene.server.setup().log_dir();
    let jars = scene.tools.jars.clone();
    for codec in CODECS {
        for topic in ["java", "kcat"] {
            let name = format!("{topic}-{codec}-0");
            let records = dump_records(&jars, &files(&logs.join(&name), "log")?)?;
            let wanted = if topic == "java" { 200 } else { 300 };
            expect_equal(&format!("records dumped from {name}"), &records, &wanted)?;
        }
    }
    let perf = logs.join("perf-0");
    dump_sound(&jars, &files(&perf, "index")?, &["--index-sanity-check"])?;
    dump_sound(&jars, &files(&perf, "timeindex")?, &[])?;
    let idempotent = logs.join("java-none-0");
    dump_sound(&jars, &files(&idempotent, "snapshot")?, &[])?;
    dump_compacted(&jars, &logs.join(format!("{}-0", compaction::TOPIC)))?;
    let metadata = files(&logs.join("__cluster_metadata-0"), "log")?;
    let text = dump_sound(
        &jars,
        &metadata,
        &["--cluster-metadata-decoder", "--skip-record-metadata"],
    )?;
    expect_equal(
        "topic records in the metadata log",
        &text.contains("TOPIC_RECORD"),
        &true,
    )
}

/// Gaps between offsets are what compaction leaves; all else the tool says counts.
fn dump_compacted(jars: &Path, dir: &Path) -> Outcome<()> {
    let text = dump_files(jars, &files(dir, "log")?, &DEEP, &DAMAGE)?;
    let records = text.lines().filter(|line| line.contains(" key: key-"));
    let what = "records left by the cleaner";
    expect_equal(what, &records.count(), &compaction::left())?;
    dump_sound(jars, &files(dir, "index")?, &["--index-sanity-check"])?;
    Ok(())
}

fn dump_records(jars: &Path, logs: &[PathBuf]) -> Outcome<usize> {
    let text = dump_sound(jars, logs, &DEEP)?;
    Ok(text
        .lines()
        .filter(|line| line.starts_with("| offset: "))
        .count())
}

/// Files that the tool has to find whole, every offset following the last.
fn dump_sound(jars: &Path, files: &[PathBuf], options: &[&str]) -> Outcome<String> {
    let complaints: Vec<&str> = DAMAGE.into_iter().chain([GAPS]).collect();
    dump_files(jars, files, options, &complaints)
}

/// What the tool says of the files, unless that holds one of the complaints.
fn dump_files(
    jars: &Path,
    files: &[PathBuf],
    options: &[&str],
    complaints: &[&str],
) -> Outcome<String> {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let names = names.join(",");
    let output = server::java(jars, "org.apache.kafka.tools.DumpLogSegments")
        .args(["--files", &names])
        .args(options)
        .run()?;
    let text = format!("{}{}", output.stdout, output.stderr);
    let complaint = text
        .lines()
        .find(|line| complaints.iter().any(|word| line.contains(word)));
    match complaint {
        Some(line) => Err(Failure::new(format!("{names}: {line}"))),
        None => Ok(text),
    }
}

fn files(dir: &Path, ending: &str) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).context(|| format!("listing {}", dir.display()))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == ending)
        })
        .take(FILES_MAX)
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(Failure::new(format!(
            "no .{ending} file in {}",
            dir.display()
        )));
    }
    Ok(found)
}

/// Records that Apache Kafka adds to a topic of ours; its log does not begin at offset 0.
const ADDED: usize = 40;

/// Apache Kafka, with the same node id and ports, on a copy of what the server left; then Thalweg on
/// what Apache Kafka left of that, with what it added.
pub(super) fn serve_copy(scene: &mut Scene) -> Outcome<()> {
    let original = scene.server.setup();
    let name = format!("interop-copy-of-{:?}", original.kind);
    let setup = Setup::fresh(Kind::Kafka, &name, original.port, &scene.tools.jars)?;
    copy(&original.log_dir(), &setup.log_dir())?;
    let mut kafka = Server::new(setup);
    let ready = kafka.start()?;
    eprintln!(
        "Apache Kafka is ready on the copy after {} ms",
        ready.as_millis()
    );
    scene.verify("Apache Kafka on a copy", &kafka.address());
    let address = kafka.address();
    let added = java::add(&scene.tools.jars, &address, ADDED);
    kafka.stop()?;
    added?;
    scene.promises.push(java::added(ADDED));
    let left = kafka.setup().log_dir();
    match scene.server.setup().kind {
        Kind::Thalweg => serve_returned(scene, &left),
        Kind::Kafka => serve_imported(scene, &left),
    }
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    Program::new("cp").arg("-a").args([from, to]).run()?;
    Ok(())
}

/// Thalweg goes on where it stood, with its own journal, in a directory that Apache Kafka served meanwhile.
fn serve_returned(scene: &mut Scene, left: &Path) -> Outcome<()> {
    let logs = scene.server.setup().log_dir();
    fs::remove_dir_all(&logs).context(|| format!("emptying {}", logs.display()))?;
    copy(left, &logs)?;
    let ready = scene.server.start()?;
    eprintln!(
        "ready {} ms after Apache Kafka served the directory",
        ready.as_millis()
    );
    scene.verify("after Apache Kafka", &scene.server.address());
    stop(scene)
}

/// Thalweg on an import of what Apache Kafka left, twice: as imported, and after its own clean stop.
fn serve_imported(scene: &mut Scene, left: &Path) -> Outcome<()> {
    let program = server::thalweg(scene.build)?;
    let port = scene.server.setup().port;
    let mut setup = Setup::fresh(Kind::Thalweg, "interop-import", port, &program)?;
    setup.extra = vec!["--import".to_owned(), left.display().to_string()];
    let mut imported = Server::new(setup.clone());
    let ready = imported.start()?;
    eprintln!(
        "Thalweg is ready on the import after {} ms",
        ready.as_millis()
    );
    scene.verify("Thalweg on an import", &imported.address());
    imported.stop()?;
    setup.extra.clear();
    let mut again = Server::new(setup);
    again.start()?;
    scene.verify("Thalweg on an import, started again", &again.address());
    let status = again.stop()?;
    expect_equal("exit code", &status.code(), &Some(0))
}
