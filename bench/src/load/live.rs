//! A line a second while a load runs, on standard error.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::stage::{Live, Stage};
use crate::Settings;

/// How soon the end of a run is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The thread that tells; none when nobody is to be told.
#[derive(Debug)]
pub(super) struct Progress {
    teller: Option<(thread::JoinHandle<()>, Arc<AtomicBool>)>,
}

/// What was counted when the last line was written.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    records: u64,
    bytes: u64,
}

impl Progress {
    pub(super) fn start(settings: &Settings, stage: &Arc<Stage>, producing: bool) -> Self {
        let wanted = settings.output.progress;
        if !wanted.unwrap_or_else(|| stderr().is_terminal()) {
            return Self { teller: None };
        }
        let (stage, stop) = (Arc::clone(stage), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let teller = thread::spawn(move || tell(&stage, producing, &stopped));
        Self {
            teller: Some((teller, stop)),
        }
    }

    pub(super) fn stop(self) {
        if let Some((teller, stop)) = self.teller {
            stop.store(true, Ordering::Release);
            // A line that was not told is no reason to fail.
            drop(teller.join());
        }
    }
}

fn tell(stage: &Stage, producing: bool, stop: &AtomicBool) {
    let (mut before, mut last) = ([Before::default(); 2], Instant::now());
    let in_place = stderr().is_terminal();
    while !stop.load(Ordering::Acquire) {
        thread::sleep(LOOK_EVERY);
        let elapsed = last.elapsed();
        if elapsed < Duration::from_secs(1) {
            continue;
        }
        last = Instant::now();
        let now = stage.clock.now_ns();
        let mut line = format!("{:>5.0} s", now as f64 / 1e9);
        let [sent, read] = &mut before;
        let seconds = elapsed.as_secs_f64();
        if producing {
            line.push_str(&side("sent", &stage.produced, sent, seconds));
        }
        line.push_str(&side("read", &stage.consumed, read, seconds));
        if now < stage.from_ns {
            line.push_str("  warming up");
        }
        write_line(&line, in_place);
    }
    if in_place {
        write_line("", in_place);
    }
}

/// Nothing for a side that has no part in the run.
fn side(name: &str, live: &Live, before: &mut Before, seconds: f64) -> String {
    let now = Before {
        records: live.records.load(Ordering::Relaxed),
        bytes: live.bytes.load(Ordering::Relaxed),
    };
    let (records, bytes) = (now.records - before.records, now.bytes - before.bytes);
    *before = now;
    if now.records == 0 {
        return String::new();
    }
    let worst = live.worst_ns.swap(0, Ordering::Relaxed) as f64 / 1e6;
    let errors = match live.errors.load(Ordering::Relaxed) {
        0 => String::new(),
        errors => format!("  {errors} ERRORS"),
    };
    format!(
        "  {name} {:>9.0}/s {:>7.1} MB/s  worst {worst:>8.2} ms{errors}",
        records as f64 / seconds,
        bytes as f64 / seconds / 1e6,
    )
}

fn write_line(line: &str, in_place: bool) {
    // On a terminal a line takes the place of the one before.
    let (begin, end) = match in_place {
        true => ("\r\x1b[K", ""),
        false => ("", "\n"),
    };
    let mut out = stderr().lock();
    // A line that cannot be told is no reason to fail.
    let _ = write!(out, "{begin}{line}{end}");
    let _ = out.flush();
}
