//! `cargo x powercut`: power cuts under the real binary on a real file system.
//!
//! A node writes to ext4 (or xfs) on a fault disk that logs every write and flush, under a load
//! that remembers what it was told. Then the disk is rebuilt as a cut at many places of the log
//! may have left it: what was flushed is there, of the rest any part, torn at sectors. Each image
//! is mounted, the node starts on it, and the audit reads everything back.
//!
//! The same search must find a planted defect: a node that runs with `storage.durability=write`
//! acknowledges before the flush, which is what the audit is there to see.
//!
//! Deliberately absent: read errors and rot, the end of the process alone
//! (`cargo x kill9`).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use thalweg_storage::testing::Prng;

use super::audited::client::Client;
use super::audited::value::{Mark, Producer, batch};
use super::audited::{Ledger, audit, load};
use super::faultdisk::image::Keep;
use super::faultdisk::{Cut, Event, FaultDisk, FileSystem, Image};
use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally, packages};

const PORT: u16 = 19592;
/// Images are judged by this many nodes at the same time.
const JUDGES: u16 = 2;
/// Images of one load; more images come from more loads.
const IMAGES_A_LOAD: u64 = 500;
/// One image in this many also takes new records.
const APPEND_EVERY: u64 = 4;
/// Settings that make everything happen within seconds.
pub const SMALL: &[&str] = &[
    "shards.count=1",
    "storage.journal=16MiB",
    "storage.journal_file=4MiB",
    "storage.preallocate_step=1MiB",
    "log.retention.check.interval.ms=500",
    "log.segment.delete.delay.ms=200",
    "log.cleaner.backoff.ms=300",
    "offsets.topic.num.partitions=2",
    "transaction.state.log.num.partitions=2",
    "transaction.state.log.replication.factor=1",
    "transaction.state.log.min.isr=1",
];

#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    images: u64,
    seconds: u64,
    file_systems: Vec<FileSystem>,
    build: Build,
    planted: bool,
}

impl Plan {
    fn parse(arguments: &[&str]) -> Outcome<Self> {
        let mut plan = Self {
            seed: 1,
            images: 500,
            seconds: 6,
            file_systems: vec![FileSystem::Ext4, FileSystem::Xfs],
            build: Build::Release,
            planted: true,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|word| word.parse().ok());
            match *word {
                "--seed" => plan.seed = number().context(|| "--seed needs a number")?,
                "--images" => plan.images = number().context(|| "--images needs a number")?,
                "--seconds" => plan.seconds = number().context(|| "--seconds needs a number")?,
                "--ext4" => plan.file_systems = vec![FileSystem::Ext4],
                "--xfs" => plan.file_systems = vec![FileSystem::Xfs],
                "--dev" => plan.build = Build::Dev,
                "--no-planted" => plan.planted = false,
                _ => return Err(Failure::new(format!("`{word}` is no option"))),
            }
        }
        Ok(plan)
    }
}

/// What a load left: the disk before it, everything written since, and what was told.
struct Recording {
    base: Image,
    log: Vec<Event>,
    ledger: Ledger,
}

/// One image to judge.
struct Case {
    number: u64,
    place: usize,
    keep: Keep,
    image: Image,
}

pub fn powercut(arguments: &[&str]) -> Outcome<Tally> {
    let plan = Plan::parse(arguments)?;
    let program = server::thalweg(plan.build)?;
    let mut tally = Tally::default();
    for file_system in &plan.file_systems {
        let wanted = plan.images / plan.file_systems.len() as u64;
        let mut judged = 0;
        let mut seed = plan.seed;
        while judged < wanted {
            let images = (wanted - judged).min(IMAGES_A_LOAD);
            let recording = record(&plan, &program, *file_system, (seed, "flush"))?;
            let verdict = judge(&recording, &program, *file_system, (seed, images))?;
            told(*file_system, seed, &recording, &verdict);
            tally.passed += verdict.passed;
            tally.failed += verdict.failed;
            judged += images;
            seed += 1;
        }
    }
    if plan.planted {
        let file_system = plan.file_systems[0];
        let recording = record(&plan, &program, file_system, (plan.seed, "write"))?;
        let verdict = judge(&recording, &program, file_system, (plan.seed, 60))?;
        if verdict.failed == 0 {
            return Err(Failure::new(
                "a node that acknowledges before the flush was not found out",
            ));
        }
        eprintln!(
            "the planted defect (acknowledged before the flush) was found after {} good images",
            verdict.passed
        );
        tally.passed += 1;
    }
    Ok(tally)
}

fn told(file_system: FileSystem, seed: u64, recording: &Recording, verdict: &Verdict) {
    let flushes = recording
        .log
        .iter()
        .filter(|event| matches!(event, Event::Flush));
    eprintln!(
        "{} seed {seed}: {} writes and flushes ({} flushes), {} records acknowledged, \
         {} images good, {} bad, {} records read back in {:.0} s",
        file_system.name(),
        recording.log.len(),
        flushes.count(),
        recording.ledger.acked_by(usize::MAX),
        verdict.passed,
        verdict.failed,
        verdict.records,
        verdict.took.as_secs_f64(),
    );
}

/// A folder of a server below the driver's cache, whose data lies on the fault disk.
pub fn seat(name: &str, disk: &FaultDisk, program: &Path, port: u16) -> Outcome<Setup> {
    let mut setup = Setup::fresh(Kind::Thalweg, name, port, program)?;
    let data = setup.dir.join("data");
    symlink(disk.root.join("node"), &data).context(|| "linking the data folder")?;
    setup.extra = SMALL
        .iter()
        .flat_map(|set| ["--set".to_owned(), (*set).to_owned()])
        .collect();
    Ok(setup)
}

fn place_of_mounts(name: &str) -> PathBuf {
    packages::cache().join("run").join(format!("{name}-disk"))
}

/// A node under load on a fresh disk, from its first start to its end.
fn record(
    plan: &Plan,
    program: &Path,
    file_system: FileSystem,
    (seed, durability): (u64, &str),
) -> Outcome<Recording> {
    let mut disk = FaultDisk::new(&place_of_mounts("powercut-load"), file_system)?;
    disk.mount()?;
    fs::create_dir(disk.root.join("node")).context(|| "making the data folder")?;
    let mut setup = seat("powercut-load", &disk, program, PORT)?;
    setup.extra.push("--set".to_owned());
    setup.extra.push(format!("storage.durability={durability}"));
    // The folder itself is there before the first cut.
    fs::File::open(disk.root.join("node"))
        .and_then(|dir| dir.sync_all())
        .context(|| "flushing the data folder")?;
    let base = {
        let mut state = disk.disk.lock();
        state.records = true;
        state.image.clone()
    };
    let mut server = Server::new(setup);
    server.start()?;
    let handle = disk.disk.clone();
    let ledger = load::run(&load::Stage {
        address: &server.address(),
        seed,
        duration: Duration::from_secs(plan.seconds),
        place: &|| handle.place(),
    });
    let ledger = ledger.context(|| format!("seed {seed}\n{}", server.words()))?;
    // Every other load ends by a clean stop, of which every write may be the last.
    if seed.is_multiple_of(2) {
        server.stop()?;
    } else {
        server.kill()?;
    }
    let log = {
        let mut state = disk.disk.lock();
        state.records = false;
        std::mem::take(&mut state.log)
    };
    disk.unmount()?;
    Ok(Recording { base, log, ledger })
}

/// What came of a recording's images.
#[derive(Debug, Default)]
struct Verdict {
    passed: u64,
    failed: u64,
    records: u64,
    took: Duration,
}

/// Cut places in order: half of them anywhere, half right before or behind a flush.
fn places(log: &[Event], (seed, images): (u64, u64)) -> Vec<usize> {
    let mut prng = Prng::new(seed ^ 0x9c);
    let flushes: Vec<usize> = (0..log.len())
        .filter(|at| matches!(log.get(*at), Some(Event::Flush)))
        .collect();
    let mut places: Vec<usize> = (0..images)
        .map(|_| match flushes.len() {
            count @ 1.. if prng.chance(0.5) => flushes[prng.below(count)] + prng.below(2),
            _ => prng.below(log.len() + 1),
        })
        .collect();
    places.sort_unstable();
    places
}

fn judge(
    recording: &Recording,
    program: &Path,
    file_system: FileSystem,
    (seed, images): (u64, u64),
) -> Outcome<Verdict> {
    let started = Instant::now();
    let (sender, receiver) = sync_channel::<Case>(1);
    let receiver = Mutex::new(receiver);
    let (bad, records, passed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let mut judges = Vec::new();
        for judge in 0..JUDGES {
            let (receiver, bad, records, passed) = (&receiver, &bad, &records, &passed);
            judges.push(scope.spawn(move || {
                let mut judge = Judge::new(judge, program, file_system)?;
                while let Some(case) = next(receiver) {
                    if bad.load(Ordering::Relaxed) {
                        continue;
                    }
                    match judge.look(&case, recording) {
                        Ok(count) => {
                            records.fetch_add(count, Ordering::Relaxed);
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(failure) => {
                            bad.store(true, Ordering::Relaxed);
                            eprintln!(
                                "{} seed {seed} image {} (cut after {} of {} events, {:?}): {failure}",
                                file_system.name(),
                                case.number,
                                case.place,
                                recording.log.len(),
                                case.keep,
                            );
                            judge.server.kill().ok();
                        }
                    }
                }
                Ok(())
            }));
        }
        deal(recording, (seed, images), &sender, &bad);
        drop(sender);
        for judge in judges {
            match judge.join() {
                Ok(done) => done?,
                Err(_) => return Err(Failure::new("a judge panicked")),
            }
        }
        Ok(())
    })?;
    Ok(Verdict {
        passed: passed.into_inner(),
        failed: u64::from(bad.into_inner()),
        records: records.into_inner(),
        took: started.elapsed(),
    })
}

fn next(receiver: &Mutex<Receiver<Case>>) -> Option<Case> {
    let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
    receiver.recv().ok()
}

fn deal(
    recording: &Recording,
    (seed, images): (u64, u64),
    sender: &SyncSender<Case>,
    bad: &AtomicBool,
) {
    let mut prng = Prng::new(seed);
    let mut cut = Cut::new(recording.base.clone(), &recording.log);
    for (number, place) in (0..).zip(places(&recording.log, (seed, images))) {
        let (image, keep) = cut.at(place, &mut prng);
        let case = Case {
            number,
            place,
            keep,
            image,
        };
        if bad.load(Ordering::Relaxed) || sender.send(case).is_err() {
            return;
        }
    }
}

struct Judge {
    disk: FaultDisk,
    server: Server,
}

impl Judge {
    fn new(number: u16, program: &Path, file_system: FileSystem) -> Outcome<Self> {
        let name = format!("powercut-{number}");
        let disk = FaultDisk::new(&place_of_mounts(&name), file_system)?;
        let setup = seat(&name, &disk, program, PORT + 10 * (number + 1))?;
        Ok(Self {
            disk,
            server: Server::new(setup),
        })
    }

    /// Records read back.
    fn look(&mut self, case: &Case, recording: &Recording) -> Outcome<u64> {
        self.disk.insert(case.image.clone())?;
        self.disk.mount()?;
        let found = self.serve(case, recording);
        if self.server.process().is_some() {
            self.server.kill()?;
        }
        self.disk.unmount()?;
        found
    }

    fn serve(&mut self, case: &Case, recording: &Recording) -> Outcome<u64> {
        self.server.start()?;
        let address = self.server.address();
        let found = audit(&address, &recording.ledger, case.place);
        let found = found.context(|| self.server.words())?;
        if case.number.is_multiple_of(APPEND_EVERY) {
            append(&address).context(|| self.server.words())?;
        }
        if !self.server.lives() {
            return Err(Failure::new(format!("it ended\n{}", self.server.words())));
        }
        Ok(found)
    }
}

/// New records go behind everything that is there: no offset is used again.
fn append(address: &str) -> Outcome<()> {
    let mut client = Client::connect(address)?;
    let producer = Producer {
        id: client.init_producer(None)?.0,
        epoch: 0,
        transactional: false,
        keyed: false,
    };
    for partition in 0..load::PLAIN_PARTITIONS {
        let at = (load::PLAIN, partition);
        let (code, end) = client.list_offset(at, -1)?;
        if code != 0 {
            continue;
        }
        let mark = Mark {
            stream: u32::MAX,
            sequence: 0,
        };
        let bytes = batch(producer, mark, 1);
        let answers = client.produce(None, &[(load::PLAIN, partition, &bytes)])?;
        if answers != [(0, end)] {
            return Err(Failure::new(format!("appended behind {end}: {answers:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let plan = Plan::parse(&["--images", "40", "--xfs", "--seed", "9"]).unwrap();
        assert_eq!((plan.images, plan.seed), (40, 9));
        assert_eq!(plan.file_systems, [FileSystem::Xfs]);
        assert!(Plan::parse(&["--images"]).is_err() && Plan::parse(&["x"]).is_err());
    }

    #[test]
    fn cuts_are_in_order_and_within_the_log() {
        let log = vec![Event::Flush; 100];
        let places = places(&log, (3, 50));
        assert!(places.is_sorted() && places.iter().all(|place| *place <= 100));
    }
}
