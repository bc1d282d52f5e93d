//! Rows that read what row 8p wrote: from the page cache, from the device, and beside producers.
//!
//! "Warm" is made alike on both sides: the driver itself reads the segment files once, since one of
//! them writes past the page cache. "Cold" is a server that was started anew and files that the
//! kernel was told to forget, which needs no privilege.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::metric::{Figures, Metric};
use super::results::Form;
use super::rows::{BIG_PARTITIONS, BIG_TOPIC, Plan, Row};
use super::scene::{Scene, figures_of};
use super::words::Words;
use crate::x::{Context, Failure, Outcome};

/// What is written when there is not enough to read yet.
const FILL: &str = "produce --topic max8 --partitions 8 --producers 2";
const DISTURBED: &str = "produce --topic beside --partitions 100 --producers 4 --rate 50000 --linger-ms 1 --batch-bytes 131072";
const FILL_ROUNDS_MAX: usize = 10_000;

impl Scene<'_> {
    /// Records that a reading row reads: equal on both sides, however fast they were written.
    fn read_records(&self, cold: bool) -> u64 {
        match self.options.form {
            Form::Quick => 1 << 20,
            Form::Full => 8 << 20,
            Form::Long if cold => 40 << 20,
            Form::Long => 8 << 20,
        }
    }

    fn consume_words(&self, consumers: u32, cold: bool) -> Words {
        let records = self.read_records(cold);
        self.words(&format!(
            "consume --topic {BIG_TOPIC} --partitions {BIG_PARTITIONS} --consumers {consumers} --records {records} --verify checksum"
        ))
    }

    /// Until there is enough to read.
    pub(super) fn fill(&self, cold: bool) -> Outcome<()> {
        let words = self.words(FILL);
        self.create(&words)?;
        for _ in 0..FILL_ROUNDS_MAX {
            if self.records(&words)? >= self.read_records(cold) {
                return Ok(());
            }
            self.generate(&words)?;
        }
        Err(Failure::new("the topic did not fill up"))
    }

    /// Passes over the same records until the row's time is up.
    pub(super) fn warm(&self) -> Outcome<Figures> {
        self.fill(false)?;
        for path in self.segments()? {
            let mut file = File::open(&path).context(|| format!("opening {}", path.display()))?;
            std::io::copy(&mut file, &mut std::io::sink()).context(|| "reading a segment")?;
        }
        self.consume(&self.consume_words(2, false), self.times.row)
    }

    pub(super) fn cold(&mut self, consumers: u32) -> Outcome<Figures> {
        self.fill(true)?;
        self.restart_once()?;
        self.forget()?;
        let mut figures = self.consume(&self.consume_words(consumers, true), Duration::ZERO)?;
        if let Some(seconds) = self.restart_seconds {
            figures.insert(Metric::RestartSeconds, seconds);
        }
        Ok(figures)
    }

    /// The same producers twice: alone, then beside a reader that finds nothing in memory.
    pub(super) fn disturbed(&mut self) -> Outcome<Figures> {
        self.fill(true)?;
        self.restart_once()?;
        let alone = self.load(DISTURBED)?;
        let words = self.consume_words(1, true);
        let done = AtomicBool::new(false);
        let (during, drained) = thread::scope(|scope| {
            let reader = scope.spawn(|| self.drain(&words, &done));
            let during = self.load(DISTURBED);
            done.store(true, Ordering::Release);
            (during, reader.join())
        });
        let mut figures = during?;
        let Ok(drained) = drained else {
            return Err(Failure::new("the reader beside the producers panicked"));
        };
        figures.insert(Metric::DrainMbPerSecond, drained?);
        if let Some(p99) = alone.get(&Metric::P99Us) {
            figures.insert(Metric::P99BeforeUs, *p99);
        }
        // Its CPU time is that of both loads.
        figures.remove(&Metric::CpuSecondsPerGb);
        figures.remove(&Metric::CpuNsPerRecord);
        Ok(figures)
    }

    /// Reads cold data over and over while others produce; MB/s.
    fn drain(&self, words: &Words, done: &AtomicBool) -> Outcome<f64> {
        let (mut bytes, mut seconds) = (0, 0.0);
        while !done.load(Ordering::Acquire) {
            self.forget()?;
            let report = self.generate(words)?;
            bytes += report.bytes;
            seconds += report.seconds;
        }
        Ok(bytes as f64 / 1e6 / f64::max(seconds, 1e-9))
    }

    /// At least one pass, and further ones until that time is over.
    fn consume(&self, words: &Words, time: Duration) -> Outcome<Figures> {
        let before = self.before()?;
        let started = Instant::now();
        let (mut records, mut bytes, mut seconds) = (0, 0, 0.0);
        let mut figures = Figures::new();
        while records == 0 || started.elapsed() < time {
            let report = self.generate(words)?;
            records += report.records;
            bytes += report.bytes;
            seconds += report.seconds;
            figures = figures_of(&report, words);
        }
        figures.extend(self.after(&before, records, bytes)?);
        let seconds = f64::max(seconds, 1e-9);
        figures.insert(Metric::RecordsPerSecond, records as f64 / seconds);
        figures.insert(Metric::MbPerSecond, bytes as f64 / 1e6 / seconds);
        Ok(figures)
    }

    /// What has to be there before a row can be played over and over.
    pub(super) fn prepare(&mut self, row: &Row) -> Outcome<()> {
        if row.is_cold() {
            self.fill(true)?;
            return self.restart_once();
        }
        match row.plan {
            Plan::Warm | Plan::Foreign(_) => self.fill(false),
            _ => Ok(()),
        }
    }

    /// Starts the server anew before the first cold row: memory of what was just written is gone.
    fn restart_once(&mut self) -> Outcome<()> {
        if self.restart_seconds.is_some() {
            return Ok(());
        }
        if let Err(failure) = self.server.stop() {
            // It was killed then: the rows can still be played, after a recovery.
            eprintln!("{failure}");
        }
        self.forget()?;
        let ready = self.server.start()?;
        self.restart_seconds = Some(ready.as_secs_f64());
        thread::sleep(self.times.settle);
        Ok(())
    }

    /// Has the kernel drop what it holds of the big topic's files.
    fn forget(&self) -> Outcome<()> {
        for path in self.segments()? {
            let file = File::open(&path).context(|| format!("opening {}", path.display()))?;
            // Pages that are not on the device yet cannot be dropped.
            file.sync_data().context(|| "flushing a segment")?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
                .context(|| "dropping a segment from the page cache")?;
        }
        Ok(())
    }

    /// Segment files of the big topic.
    fn segments(&self) -> Outcome<Vec<PathBuf>> {
        let mut found = Vec::new();
        for dir in entries(&self.server.setup().log_dir())? {
            let name = dir
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let ours = name.is_some_and(|name| name.starts_with(&format!("{BIG_TOPIC}-")));
            if ours && dir.is_dir() {
                found.extend(
                    entries(&dir)?.into_iter().filter(|path| {
                        path.extension().is_some_and(|extension| extension == "log")
                    }),
                );
            }
        }
        if found.is_empty() {
            return Err(Failure::new("there is no segment to read"));
        }
        Ok(found)
    }
}

fn entries(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).context(|| format!("listing {}", dir.display()))?;
    entries
        .map(|entry| Ok(entry.context(|| "listing")?.path()))
        .collect()
}
