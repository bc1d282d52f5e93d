//! One server from its first start to its end: warm-up, its rows, its samples.
//!
//! A row that fails is told and the next one is played; if the server died of it, it is started
//! again on the same data. A server that does not start ends the session.

use std::thread;
use std::time::Instant;

use super::budget;
use super::metric::Metric;
use super::options::{Options, Run, Times};
use super::programs::Programs;
use super::results::{Failed, Results, Sample, ServerRun};
use super::rows::{Plan, Row};
use super::scene::Scene;
use super::subject::{Durability, Subject};
use super::table;
use crate::x::server::{Kind, Server, Setup};
use crate::x::{Context, Failure, Outcome, Tally, metrics};

const PORT: u16 = 21300;
const WARM_UP: &str = "produce --topic warm-up --partitions 8 --producers 2";

/// All sessions, and what they have in common.
pub(super) struct Play<'a> {
    pub(super) options: &'a Options,
    pub(super) programs: &'a Programs,
    pub(super) results: Results,
    pub(super) tally: Tally,
    half_rate: Option<f64>,
    deadline: Option<Instant>,
}

impl<'a> Play<'a> {
    pub(super) fn new(options: &'a Options, programs: &'a Programs, results: Results) -> Self {
        Self {
            options,
            programs,
            results,
            tally: Tally::default(),
            half_rate: None,
            deadline: options.times.whole.map(|whole| Instant::now() + whole),
        }
    }

    /// Every start of a server in its order; `save` gets what there is after each.
    pub(super) fn run(&mut self, save: impl Fn(&Results)) {
        let runs = self.options.runs();
        for (index, (repeat, durability, subject)) in runs.iter().enumerate() {
            let to_come = runs.get(index..).unwrap_or_default();
            let times = self.times(to_come);
            eprintln!(
                "== {}, {}; {:.1} s a row",
                subject.name(),
                durability.name(),
                times.row.as_secs_f64()
            );
            if let Err(failure) = self.session(*repeat, (*subject, *durability), times) {
                self.failed("start", (*subject, *durability), &failure);
            }
            save(&self.results);
        }
    }

    fn times(&self, to_come: &[Run]) -> Times {
        let Some(deadline) = self.deadline else {
            return self.options.times;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        budget::fit(self.options, to_come, left)
    }

    fn session(
        &mut self,
        repeat: u32,
        (subject, durability): (Subject, Durability),
        times: Times,
    ) -> Outcome<()> {
        let program = match subject.kind() {
            Kind::Kafka => &self.programs.jars,
            Kind::Thalweg => &self.programs.thalweg,
        };
        let mut setup = Setup::fresh(subject.kind(), "versus", PORT, program)?;
        setup.extra = subject.extra(durability);
        setup.java = subject.java();
        let mut server = Server::new(setup);
        let ready = server.start()?;
        thread::sleep(times.settle);
        let process = server.process().context(|| "the server does not run")?;
        let (resident_mib, _) = metrics::memory_mib(process)?;
        let mut scene = Scene {
            server,
            subject,
            durability,
            options: self.options,
            times,
            programs: self.programs,
            half_rate: self.half_rate,
            restart_seconds: None,
        };
        if let Err(failure) = warm_up(&mut scene) {
            eprintln!("{failure}");
        }
        let mut peak_mib = 0.0_f64;
        for row in self.options.rows(durability) {
            if let Some(sample) = self.row(&mut scene, row, repeat) {
                peak_mib =
                    peak_mib.max(sample.figures.get(&Metric::PeakMib).copied().unwrap_or(0.0));
                self.results.samples.push(sample);
                self.tally.passed += 1;
                self.learn_half();
                scene.half_rate = self.half_rate;
            }
        }
        self.results.servers.push(ServerRun {
            subject,
            durability,
            repeat,
            ready_ms: ready.as_secs_f64() * 1e3,
            resident_mib,
            peak_mib: peak_mib as u64,
        });
        // What was written is of no use any more, and the next server wants the room: no need for
        // an orderly stop, which takes its time with thousands of partitions.
        let killed = scene.server.kill();
        drop(std::fs::remove_dir_all(&scene.server.setup().dir));
        killed
    }

    fn row(&mut self, scene: &mut Scene<'_>, row: &Row, repeat: u32) -> Option<Sample> {
        if matches!(row.plan, Plan::Absent(_)) {
            return None;
        }
        let who = (scene.subject, scene.durability);
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() > deadline)
        {
            self.tally.skipped += 1;
            self.note(row.id, who, "the time was up".to_owned());
            return None;
        }
        let started = Instant::now();
        match scene.play(row) {
            Ok(figures) => {
                let sample = Sample {
                    row: row.id.to_owned(),
                    durability: scene.durability,
                    subject: scene.subject,
                    repeat,
                    seconds: started.elapsed().as_secs_f64(),
                    figures,
                };
                eprintln!("   {}", table::line(&sample));
                Some(sample)
            }
            Err(failure) => {
                self.failed(row.id, who, &failure);
                if !scene.server.lives() {
                    self.revive(scene, row);
                }
                None
            }
        }
    }

    fn revive(&mut self, scene: &mut Scene<'_>, row: &Row) {
        eprintln!("the server is gone:\n{}", scene.server.words());
        drop(scene.server.kill());
        if let Err(failure) = scene.server.start() {
            let who = (scene.subject, scene.durability);
            self.failed(row.id, who, &failure);
        }
    }

    fn failed(&mut self, row: &str, who: (Subject, Durability), failure: &Failure) {
        eprintln!("FAILED  {row} on {}: {failure}", who.0.name());
        self.tally.failed += 1;
        self.note(row, who, failure.to_string());
    }

    fn note(&mut self, row: &str, (subject, durability): (Subject, Durability), words: String) {
        self.results.failures.push(Failed {
            row: row.to_owned(),
            durability,
            subject,
            words,
        });
    }

    /// The first run of row 8p on Kafka sets the rate of row 8h for everybody.
    fn learn_half(&mut self) {
        let Some(last) = self.results.samples.last() else {
            return;
        };
        let counts = last.row == "8p" && last.subject.kind() == Kind::Kafka;
        let rate = last.figures.get(&Metric::RecordsPerSecond).copied();
        self.half_rate = self
            .half_rate
            .or(rate.filter(|_| counts).map(|rate| rate / 2.0));
    }
}

/// Just-in-time compilers and caches before the first row, alike on both sides.
fn warm_up(scene: &mut Scene<'_>) -> Outcome<()> {
    let usual = scene.times;
    scene.times.row = scene.times.server_warm_up;
    let result = scene.generate(&scene.words(WARM_UP));
    scene.times = usual;
    result.map(drop).context(|| "warming the server up")
}
