//! `cargo x footprint [--dev] [--catch-up]`: what a node costs at rest, how fast it starts, and what it does to
//! files. Each line is a promise with its number; a number out of bounds is a failure. `--catch-up`
//! asks for the rows about reading old data only.
//!
//! Times depend on the machine, so this is for a quiet one and no part of CI.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thalweg_bench::Settings;
use thalweg_bench::settings::Workload;

use super::server::{self, Build, Kind, Server, Setup};
use super::trace::Trace;
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
/// The counter and strace may differ by this share: metrics are read before and after.
const TRACE_ERROR_MAX: f64 = 0.01;
/// Between two looks at the files of a catch-up read.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Octal, as /proc prints the flags of a descriptor.
const O_ACCMODE: u32 = 0o3;
const O_DIRECT: u32 = 0o40000;

pub fn footprint(arguments: &[&str]) -> Outcome<Tally> {
    let (mut build, mut only_catch_up) = (Build::Release, false);
    for argument in arguments {
        match *argument {
            "--dev" => build = Build::Dev,
            "--catch-up" => only_catch_up = true,
            _ => return Err(Failure::new("only --dev and --catch-up are known")),
        }
    }
    let program = server::thalweg(build)?;
    let mut server = Server::new(Setup::fresh(Kind::Thalweg, "footprint", PORT, &program)?);
    let mut rows = Rows::default();
    let first = server.start()?;
    rows.tell(
        "first start, formatting included",
        true,
        format!("{} ms", first.as_millis()),
    );
    if !only_catch_up {
        at_rest(&server, &mut rows)?;
        starts(&mut server, &mut rows)?;
    }
    catch_up(&mut server, &mut rows)?;
    let (direct, buffered) = writers(&server)?;
    let shown = format!("{direct} direct, {} buffered {buffered:?}", buffered.len());
    rows.tell(
        "writers of journal and segments",
        direct > 0 && buffered.is_empty(),
        shown,
    );
    server.stop()?;
    Ok(rows.0)
}

#[derive(Default)]
struct Rows(Tally);

impl Rows {
    fn tell(&mut self, name: &str, good: bool, shown: String) {
        let verdict = if good { "ok     " } else { "FAILED " };
        eprintln!("{verdict} {name}: {shown}");
        match good {
            true => self.0.passed += 1,
            false => self.0.failed += 1,
        }
    }
}

fn at_rest(server: &Server, rows: &mut Rows) -> Outcome<()> {
    let (mib, share) = idle(server)?;
    rows.tell("memory at rest", mib < IDLE_MIB_MAX, format!("{mib} MiB"));
    let shown = format!("{:.2}% of a core", share * 100.0);
    rows.tell("CPU at rest", share < IDLE_CORE_SHARE_MAX, shown);
    Ok(())
}

fn starts(server: &mut Server, rows: &mut Rows) -> Outcome<()> {
    load(server, "many", PARTITIONS, |settings| {
        settings.rate = Some(1000.0)
    })?;
    server.stop()?;
    let clean = server.start()?;
    let name = format!("start after a clean stop, {PARTITIONS} partitions");
    let shown = format!("{} ms", clean.as_millis());
    rows.tell(&name, clean < CLEAN_RESTART_MAX, shown);

    load(server, "heavy", 8, |settings| {
        settings.duration = Duration::from_secs(10)
    })?;
    server.kill()?;
    let gib = size(&server.setup().dir.join("data/journal"))? as f64 / f64::from(1 << 30);
    let killed = server.start()?;
    let bound = KILLED_RESTART_MAX + Duration::from_secs_f64(gib);
    let shown = format!("{} ms with {gib:.2} GiB of journal", killed.as_millis());
    rows.tell("start after kill -9", killed < bound, shown);
    Ok(())
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
/// sendfile, by the node's own count and, a second time, by strace's. The node writes past the page
/// cache, so the cache is filled from here; some machines take unused pages back within seconds.
fn catch_up(server: &mut Server, rows: &mut Rows) -> Outcome<()> {
    while read_metric(server, "thalweg_append_bytes_total")? < (CATCH_UP_RECORDS << 10) as f64 {
        load(server, "catch-up", 1, |settings| {
            settings.batch_bytes = 1 << 18
        })?;
    }
    // What is still in the journal's window would be served from memory.
    server.stop()?;
    server.start()?;
    let read = read_all(server)?;
    let share = read.file / (read.file + read.memory).max(1.0);
    let shown = format!(
        "{:.1}% of {} bytes, {:.0} MB/s, all verified; {:.0} ranges mended, {:.0} bytes read directly",
        share * 100.0,
        read.bytes,
        read.speed,
        read.mended,
        read.direct
    );
    rows.tell(
        "catch-up read by sendfile",
        share >= SENDFILE_SHARE_MIN,
        shown,
    );

    let process = server.process().context(|| "the node does not run")?;
    let trace = Trace::attach(process, &server.setup().dir.join("strace.out"))?;
    let read = read_all(server)?;
    let calls = trace.end()?;
    let traced = calls.sendfile_bytes as f64;
    let agrees = (traced - read.file).abs() <= read.file * TRACE_ERROR_MAX;
    let shown = format!("{traced} bytes by strace, {} counted", read.file);
    rows.tell("sendfile's counter", agrees && traced > 0.0, shown);
    let shown = format!("{} {:?}", calls.writes.len(), calls.writes.first());
    rows.tell(
        "plain writes to journal and segments",
        calls.writes.is_empty(),
        shown,
    );
    Ok(())
}

/// One catch-up read.
struct Read {
    bytes: u64,
    speed: f64,
    file: f64,
    memory: f64,
    mended: f64,
    direct: f64,
}

fn read_all(server: &Server) -> Outcome<Read> {
    let names = [
        "thalweg_sent_file_bytes_total",
        "thalweg_sent_memory_bytes_total",
        "thalweg_mended_ranges_total",
        "thalweg_cold_direct_bytes_total",
    ];
    let count = || -> Outcome<Vec<f64>> {
        let counts = names.iter().map(|name| read_metric(server, name));
        counts.collect()
    };
    let dir = server.setup().dir.join("data/log/catch-up-0");
    fill_page_cache(&dir)?;
    let before = count()?;
    let mut settings = Settings::new(Workload::Consume);
    settings.brokers = server.address();
    "catch-up".clone_into(&mut settings.topic);
    settings.fetch_bytes = 8 << 20;
    let report = kept_in_page_cache(&dir, || thalweg_bench::load::run(&settings))?;
    let report = report.context(|| "the catch-up read")?;
    let after = count()?;
    let grown = |at: usize| after.get(at).unwrap_or(&0.0) - before.get(at).unwrap_or(&0.0);
    Ok(Read {
        bytes: report.bytes,
        speed: report.mb_per_second,
        file: grown(0),
        memory: grown(1),
        mended: grown(2),
        direct: grown(3),
    })
}

/// Runs `work` while somebody looks at all of the files again and again: what nobody looks at is
/// taken back on some machines while a slow read goes on.
fn kept_in_page_cache<T>(dir: &Path, work: impl FnOnce() -> T) -> Outcome<T> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let keeper = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                fill_page_cache(dir)?;
                std::thread::sleep(LOOK_AGAIN);
            }
            Ok(())
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        match keeper.join() {
            Ok(kept) => kept.map(|()| result),
            Err(_) => Err(Failure::new(
                "the thread that fills the page cache panicked",
            )),
        }
    })
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
