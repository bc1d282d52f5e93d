//! `cargo x footprint [--dev]`: what a node costs at rest, how fast it starts, and what it does to
//! files. Each line is a promise with its number; a number out of bounds is a failure.
//!
//! Times depend on the machine, so this is for a quiet one and no part of CI.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use thalweg_bench::Settings;
use thalweg_bench::settings::Workload;

use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally, metrics};

const PORT: u16 = 19492;
const IDLE_SECONDS: u64 = 60;
const IDLE_MIB_MAX: u64 = 64;
const IDLE_CORE_SHARE_MAX: f64 = 0.01;
const CLEAN_RESTART_MAX: Duration = Duration::from_millis(300);
/// After kill -9: this, and a second for each GiB of journal.
const KILLED_RESTART_MAX: Duration = Duration::from_millis(500);
const PARTITIONS: i32 = 150;
/// The catch-up read: so much has to be in segments and in the page cache.
const CATCH_UP_RECORDS: u64 = 2 << 20;
const SENDFILE_SHARE_MIN: f64 = 0.95;
/// Octal, as /proc prints the flags of a descriptor.
const O_ACCMODE: u32 = 0o3;
const O_DIRECT: u32 = 0o40000;

pub fn footprint(arguments: &[&str]) -> Outcome<Tally> {
    let build = match arguments {
        [] => Build::Release,
        ["--dev"] => Build::Dev,
        _ => return Err(Failure::new("only --dev is known")),
    };
    let program = server::thalweg(build)?;
    let mut server = Server::new(Setup::fresh(Kind::Thalweg, "footprint", PORT, &program)?);
    let mut tally = Tally::default();
    let mut tell = |name: &str, good: bool, shown: String| {
        eprintln!(
            "{} {name}: {shown}",
            if good { "ok     " } else { "FAILED " }
        );
        if good {
            tally.passed += 1
        } else {
            tally.failed += 1
        }
    };
    let first = server.start()?;
    tell(
        "first start, formatting included",
        true,
        format!("{} ms", first.as_millis()),
    );
    let (mib, share) = idle(&server)?;
    tell("memory at rest", mib < IDLE_MIB_MAX, format!("{mib} MiB"));
    tell(
        "CPU at rest",
        share < IDLE_CORE_SHARE_MAX,
        format!("{:.2}% of a core", share * 100.0),
    );

    load(&server, "many", PARTITIONS, |settings| {
        settings.rate = Some(1000.0)
    })?;
    server.stop()?;
    let clean = server.start()?;
    let name = format!("start after a clean stop, {PARTITIONS} partitions");
    tell(
        &name,
        clean < CLEAN_RESTART_MAX,
        format!("{} ms", clean.as_millis()),
    );

    load(&server, "heavy", 8, |settings| {
        settings.duration = Duration::from_secs(10)
    })?;
    server.kill()?;
    let gib = size(&server.setup().dir.join("data/journal"))? as f64 / f64::from(1 << 30);
    let killed = server.start()?;
    let bound = KILLED_RESTART_MAX + Duration::from_secs_f64(gib);
    let shown = format!("{} ms with {gib:.2} GiB of journal", killed.as_millis());
    tell("start after kill -9", killed < bound, shown);

    let (share, shown) = catch_up(&mut server)?;
    tell(
        "catch-up read by sendfile",
        share >= SENDFILE_SHARE_MIN,
        shown,
    );
    let (direct, buffered) = writers(&server)?;
    let shown = format!("{direct} direct, {} buffered {buffered:?}", buffered.len());
    tell(
        "writers of journal and segments",
        direct > 0 && buffered.is_empty(),
        shown,
    );
    server.stop()?;
    Ok(tally)
}

fn idle(server: &Server) -> Outcome<(u64, f64)> {
    let process = server.process().context(|| "the node does not run")?;
    let (before, started) = (metrics::cpu_seconds(process)?, Instant::now());
    std::thread::sleep(Duration::from_secs(IDLE_SECONDS));
    let used = metrics::cpu_seconds(process)? - before;
    Ok((
        metrics::memory_mib(process)?.0,
        used / started.elapsed().as_secs_f64(),
    ))
}

fn load(
    server: &Server,
    topic: &str,
    partitions: i32,
    change: impl FnOnce(&mut Settings),
) -> Outcome<()> {
    let mut settings = Settings::new(Workload::Produce);
    settings.brokers = server.address();
    topic.clone_into(&mut settings.topic);
    settings.partitions = partitions;
    settings.warm_up = Duration::ZERO;
    settings.duration = Duration::from_secs(3);
    change(&mut settings);
    let report = thalweg_bench::load::run(&settings).context(|| format!("loading {topic}"))?;
    match report.errors {
        0 => Ok(()),
        errors => Err(Failure::new(format!("{topic}: {errors} errors"))),
    }
}

/// Writes 2 GiB, has it all in segments and in the page cache, reads it: the share that left by
/// sendfile. The node writes past the page cache, so the cache is filled from here.
fn catch_up(server: &mut Server) -> Outcome<(f64, String)> {
    while read_metric(server, "thalweg_append_bytes_total")? < (CATCH_UP_RECORDS << 10) as f64 {
        load(server, "catch-up", 1, |settings| {
            settings.batch_bytes = 1 << 18
        })?;
    }
    // What is still in the journal's window would be served from memory.
    server.stop()?;
    server.start()?;
    fill_page_cache(&server.setup().dir.join("data/log/catch-up-0"))?;
    let server = &*server;
    let names = [
        "thalweg_sent_file_bytes_total",
        "thalweg_sent_memory_bytes_total",
    ];
    let before = [
        read_metric(server, names[0])?,
        read_metric(server, names[1])?,
    ];
    let mut settings = Settings::new(Workload::Consume);
    settings.brokers = server.address();
    "catch-up".clone_into(&mut settings.topic);
    settings.fetch_bytes = 8 << 20;
    let report = thalweg_bench::load::run(&settings).context(|| "the catch-up read")?;
    let file = read_metric(server, names[0])? - before[0];
    let memory = read_metric(server, names[1])? - before[1];
    let share = file / (file + memory).max(1.0);
    let (bytes, speed) = (report.bytes, report.mb_per_second);
    Ok((
        share,
        format!(
            "{:.1}% of {bytes} bytes, {speed:.0} MB/s, all verified",
            share * 100.0
        ),
    ))
}

fn fill_page_cache(dir: &Path) -> Outcome<()> {
    for entry in fs::read_dir(dir).context(|| format!("listing {}", dir.display()))? {
        let path = entry.context(|| "listing")?.path();
        let mut file = fs::File::open(&path).context(|| "opening a segment")?;
        std::io::copy(&mut file, &mut std::io::sink()).context(|| "reading a segment")?;
    }
    Ok(())
}

fn read_metric(server: &Server, name: &str) -> Outcome<f64> {
    metrics::sum(&metrics::get(&server.setup().admin(), "/metrics")?, name)
}

/// Descriptors open for writing on journal and segments: how many are direct, which are not.
fn writers(server: &Server) -> Outcome<(usize, Vec<String>)> {
    let process = server.process().context(|| "the node does not run")?;
    let (mut direct, mut buffered) = (0, Vec::new());
    let entries = fs::read_dir(format!("/proc/{process}/fd")).context(|| "listing descriptors")?;
    for entry in entries.filter_map(Result::ok) {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let target = target.display().to_string();
        let number = entry.file_name().to_string_lossy().into_owned();
        let Some(flags) = flags(process, &number) else {
            continue;
        };
        let data = target.contains("/data/journal/") || target.ends_with(".log");
        if !data || flags & O_ACCMODE == 0 {
            continue;
        }
        match flags & O_DIRECT {
            0 => buffered.push(target),
            _ => direct += 1,
        }
    }
    Ok((direct, buffered))
}

fn flags(process: u32, number: &str) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

fn size(dir: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).context(|| format!("listing {}", dir.display()))? {
        let path = entry.context(|| "listing")?.path();
        bytes += match path.is_dir() {
            true => size(&path)?,
            false => fs::metadata(&path).context(|| "looking at a file")?.len(),
        };
    }
    Ok(bytes)
}
