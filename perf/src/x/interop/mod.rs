//! `cargo x interop [--kafka] [--dev] [--only PART] [--record]`: real clients against Thalweg, or against Apache Kafka itself.
//! `--differential` is the other kind: raw requests to both at once, see `differential`.
//!
//! The same script runs against both. Passing on Apache Kafka shows that the script is right;
//! passing on Thalweg shows that Thalweg is. Each writer leaves a `Promise`: what must be readable,
//! byte for byte, now, after kill -9, after a clean stop, by Apache Kafka on a copy of the data, and by
//! Thalweg on what Apache Kafka leaves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

mod admin;
mod clients;
mod compaction;
mod directory;
mod ecosystem;
mod groups;
mod java;
mod kcat;
mod tools;
mod transactions;

use clients::Client;

use super::packages;
use super::probe;
use super::server::{self, Build, Kind, Server, Setup};
use super::{Context, Failure, Outcome, Tally};

/// By the number in a stored batch's attributes.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const PORT: u16 = 19092;
/// Promises that are verified at the same time.
const VERIFIERS: usize = 3;

type Part = fn(&mut Scene) -> Outcome<()>;

/// What is played on one run of the server, before it is killed and stopped for all.
const PARTS: [(&str, Part); 9] = [
    // First: what the tools print shows what others have set.
    ("tools", tools::play),
    ("java", java::play),
    ("admin", admin::play),
    ("kcat", kcat::play),
    ("groups", groups::play),
    ("transactions", transactions::play),
    ("compaction", compaction::play),
    ("clients", clients::play),
    ("ecosystem", ecosystem::play),
];

/// The clients, installed.
#[derive(Debug)]
struct Tools {
    jars: PathBuf,
    kcat: PathBuf,
    clients: Vec<Arc<Client>>,
    /// Timestamps of written records start here: recent, or retention would take them.
    base_ms: u64,
}

/// Something that was acknowledged and has to stay readable.
struct Promise {
    name: String,
    verify: Verify,
}

type Verify = Box<dyn Fn(&Tools, &str) -> Outcome<()> + Send + Sync>;

/// The run so far.
struct Scene {
    tools: Tools,
    server: Server,
    promises: Vec<Promise>,
    tally: Tally,
    /// Which build of Thalweg is played.
    build: Build,
    /// Whether what Kafka's tools print is written down instead of compared.
    record: bool,
}

pub fn interop(arguments: &[&str]) -> Outcome<Tally> {
    if arguments.contains(&"--differential") {
        return super::differential::differential(arguments);
    }
    let (mut kind, mut build) = (Kind::Thalweg, Build::Release);
    let (mut only, mut record) = (None, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match *word {
            "--kafka" => kind = Kind::Kafka,
            "--dev" => build = Build::Dev,
            "--record" => record = true,
            "--only" => only = Some(part(words.next().copied())?),
            _ => {
                return Err(Failure::new(format!(
                    "`{word}`: only --kafka, --dev, --only, --record and --differential are known"
                )));
            }
        }
    }
    if record && kind != Kind::Kafka {
        return Err(Failure::new(
            "--record takes what Apache Kafka prints: add --kafka",
        ));
    }
    let tools = Tools::install(only.is_none_or(|(name, _)| name == "clients"))?;
    let program = match kind {
        Kind::Kafka => tools.jars.clone(),
        Kind::Thalweg => server::thalweg(build)?,
    };
    let server = Server::new(Setup::fresh(
        kind,
        &format!("interop-{kind:?}"),
        PORT,
        &program,
    )?);
    let mut scene = Scene {
        tools,
        server,
        promises: Vec::new(),
        tally: Tally::default(),
        build,
        record,
    };
    match only {
        Some((_, part)) => scene.rehearse(part)?,
        None => scene.play()?,
    }
    Ok(scene.tally)
}

fn part(name: Option<&str>) -> Outcome<(&'static str, Part)> {
    let found = PARTS.iter().find(|(known, _)| Some(*known) == name);
    let known: Vec<&str> = PARTS.iter().map(|(known, _)| *known).collect();
    found
        .copied()
        .context(|| format!("--only takes one of {}", known.join(", ")))
}

impl Tools {
    /// The clients in many languages take minutes to install, so only whoever plays them has them.
    fn install(with_clients: bool) -> Outcome<Self> {
        let clients = if with_clients {
            clients::install()?
        } else {
            Vec::new()
        };
        let hour_ago = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context(|| "the clock stands before 1970")?
            .as_secs()
            - 3600;
        Ok(Self {
            jars: packages::kafka_jars()?,
            kcat: packages::tool("kcat", "kcat")?,
            clients: clients.into_iter().map(Arc::new).collect(),
            base_ms: hour_ago * 1000,
        })
    }
}

impl Scene {
    fn play(&mut self) -> Outcome<()> {
        let ready = self.server.start()?;
        eprintln!("ready after {} ms", ready.as_millis());
        for (_, part) in PARTS {
            part(self)?;
        }
        self.server.kill()?;
        let ready = self.server.start()?;
        eprintln!("ready {} ms after kill -9", ready.as_millis());
        self.verify("after kill -9", &self.server.address());
        self.step("it still lives", |scene| {
            scene
                .server
                .lives()
                .then_some(())
                .context(|| "the server has ended")
        });
        self.step("it stops cleanly", directory::stop);
        self.step(
            "Apache Kafka's dump tool reads the directory",
            directory::dump,
        );
        let ready = self.server.start()?;
        eprintln!("ready {} ms after a clean stop", ready.as_millis());
        self.verify("after a clean stop", &self.server.address());
        self.step("it stops cleanly again", directory::stop);
        self.step(
            "Apache Kafka serves a copy of the directory, then Thalweg what it left",
            directory::serve_copy,
        );
        Ok(())
    }

    /// One part of the play: for whoever writes it.
    fn rehearse(&mut self, part: Part) -> Outcome<()> {
        self.server.start()?;
        part(self)?;
        self.server.kill()?;
        self.server.start()?;
        self.verify("after kill -9", &self.server.address());
        self.step("it stops cleanly", directory::stop);
        Ok(())
    }

    /// One named check: told at once, counted, and no reason to end the others.
    fn step(&mut self, name: &str, check: impl FnOnce(&mut Self) -> Outcome<()>) {
        let verdict = check(self);
        self.tell(name, verdict);
    }

    /// A writer: what it wrote is verified at once and becomes a promise.
    fn promise(&mut self, name: &str, write: impl FnOnce(&Self) -> Outcome<()>, verify: Verify) {
        let address = self.server.address();
        let verdict = write(self).and_then(|()| verify(&self.tools, &address));
        let kept = verdict.is_ok();
        self.tell(name, verdict);
        if kept {
            self.promises.push(Promise {
                name: name.to_owned(),
                verify,
            });
        }
    }

    /// Most of a tool's time goes into starting, so a few are verified at once.
    fn verify(&mut self, when: &str, address: &str) {
        let next = AtomicUsize::new(0);
        let (tools, promises) = (&self.tools, &self.promises);
        let work = || {
            let mut verdicts = Vec::new();
            while let Some((index, promise)) = take(promises, &next) {
                verdicts.push((index, (promise.verify)(tools, address)));
            }
            verdicts
        };
        let mut verdicts: Vec<(usize, Outcome<()>)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..VERIFIERS).map(|_| scope.spawn(work)).collect();
            let done = workers.into_iter().map(|worker| worker.join());
            done.flat_map(Result::unwrap_or_default).collect()
        });
        verdicts.sort_by_key(|(index, _)| *index);
        let names: Vec<String> = promises.iter().map(|one| one.name.clone()).collect();
        let all = names.len();
        let count = verdicts.len();
        for (index, verdict) in verdicts {
            let name = names.get(index).map_or("", String::as_str);
            self.tell(&format!("{when}: {name}"), verdict);
        }
        self.tell(
            &format!("{when}: every promise was looked at"),
            expect_equal("promises", &count, &all),
        );
    }

    fn tell(&mut self, name: &str, verdict: Outcome<()>) {
        match verdict {
            Ok(()) => {
                self.tally.passed += 1;
                eprintln!("ok      {name}");
            }
            Err(failure) => {
                self.tally.failed += 1;
                eprintln!("FAILED  {name}: {failure}");
            }
        }
    }
}

/// The next promise that nobody has taken yet.
fn take<'a>(promises: &'a [Promise], next: &AtomicUsize) -> Option<(usize, &'a Promise)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    promises.get(index).map(|promise| (index, promise))
}

/// Every stored batch has this codec, and together they hold this many records.
fn expect_stored(
    address: &str,
    (topic, partition): (&str, i32),
    codec: &str,
    records: i64,
) -> Outcome<()> {
    let batches = probe::batches(address, topic, partition)?;
    let number = CODECS.iter().position(|name| *name == codec);
    for batch in &batches {
        if usize::try_from(batch.codec()).ok() != number {
            return Err(Failure::new(format!(
                "{topic}: stored with another codec: {batch:?}"
            )));
        }
    }
    let stored: i64 = batches.iter().map(|batch| i64::from(batch.records)).sum();
    expect_equal(&format!("records stored in {topic}"), &stored, &records)
}

fn expect_equal<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Outcome<()> {
    if got == wanted {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{what}: got {got:?}, wanted {wanted:?}"
    )))
}

/// The first line that differs says more than two long texts.
fn expect_lines(what: &str, got: &str, wanted: &[String]) -> Outcome<()> {
    let got: Vec<&str> = got.lines().collect();
    for (index, (line, expected)) in got.iter().zip(wanted).enumerate() {
        expect_equal(
            &format!("{what}, line {}", index + 1),
            line,
            &expected.as_str(),
        )?;
    }
    expect_equal(
        &format!("{what}, number of lines"),
        &got.len(),
        &wanted.len(),
    )
}
