//! Two `kcat -G` share a topic; one is killed, the other takes over; after that one a third resumes.
//!
//! A member prints its records as JSON and tells of its assignment among its complaints. It commits
//! by itself, so it is killed once what it read is committed. Keys and values are text here.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::java::create;
use super::super::{Scene, expect_equal};
use super::kcat;
use crate::x::probe;
use crate::x::talk::{PATIENCE, Talk};
use crate::x::{Failure, Outcome};

const TOPIC: &str = "kcat-shared";
const PARTITIONS: usize = 4;
/// Records to each partition at a time.
pub(super) const ROUND: usize = 25;
const ALL: usize = PARTITIONS * ROUND;
const SHOWN: &str = r#"{"partition":%p,"offset":%o,"key":"%k","value":"%s"}\n"#;
const HEAR: Duration = Duration::from_millis(20);

pub(super) fn play(scene: &Scene) -> Outcome<()> {
    let address = scene.server.address();
    create(scene, TOPIC, 4, &[])?;
    let (mut first, mut second) = (Member::join(scene, 1)?, Member::join(scene, 2)?);
    until("two share", &mut [&mut first, &mut second], |members| {
        members.iter().all(|one| one.owned() == PARTITIONS / 2)
    })?;
    produce(scene, 0)?;
    until("all is read", &mut [&mut first, &mut second], |members| {
        members.iter().map(|one| one.read.len()).sum::<usize>() >= ALL
    })?;
    expect_equal(
        "one idles",
        &(first.read.is_empty() || second.read.is_empty()),
        &false,
    )?;
    await_committed(&address, ROUND)?;
    second.talk.kill()?;
    first.read.append(&mut second.read);
    produce(scene, 1)?;
    until("the first one has all", &mut [&mut first], |members| {
        members
            .iter()
            .all(|one| one.owned() == PARTITIONS && one.read.len() >= 2 * ALL)
    })?;
    await_committed(&address, 2 * ROUND)?;
    first.talk.kill()?;
    let mut third = Member::join(scene, 3)?;
    produce(scene, 2)?;
    until("a third one resumes", &mut [&mut third], |members| {
        members.iter().all(|one| one.read.len() >= ALL)
    })?;
    let again = third.read.iter().filter(|(_, offset)| *offset < 2 * ROUND);
    expect_equal("records that were committed before", &again.count(), &0)?;
    await_committed(&address, 3 * ROUND)
}

/// The group stands there in every partition.
pub(super) fn expect_committed(address: &str, offset: usize) -> Outcome<()> {
    let committed = probe::committed(address, TOPIC, (TOPIC, PARTITIONS))?;
    let wanted = vec![i64::try_from(offset).unwrap_or(i64::MAX); PARTITIONS];
    expect_equal("committed", &committed, &wanted)
}

fn await_committed(address: &str, offset: usize) -> Outcome<()> {
    let started = Instant::now();
    loop {
        match expect_committed(address, offset) {
            Err(_) if started.elapsed() < PATIENCE => std::thread::sleep(HEAR),
            done => return done,
        }
    }
}

fn key_and_value(partition: usize, offset: usize) -> (String, String) {
    let value = format!(
        "value-{partition}-{offset}-{}",
        "from bank to bank ".repeat(4)
    );
    (format!("key-{partition}-{offset}"), value)
}

/// Another round of records to every partition.
fn produce(scene: &Scene, round: usize) -> Outcome<()> {
    for partition in 0..PARTITIONS {
        let lines: String = (round * ROUND..(round + 1) * ROUND)
            .map(|offset| key_and_value(partition, offset))
            .map(|(key, value)| format!("{key}:{value}\n"))
            .collect();
        kcat(&scene.tools.kcat, &scene.server.address())
            .args(["-P", "-t", TOPIC, "-p", &partition.to_string(), "-K:"])
            .input(lines)
            .run()?;
    }
    Ok(())
}

/// One `kcat -G`, and what it has printed.
struct Member {
    talk: Talk,
    log: PathBuf,
    read: BTreeSet<(usize, usize)>,
}

impl Member {
    fn join(scene: &Scene, number: u32) -> Outcome<Self> {
        let log = scene.server.setup().dir.join(format!("kcat-{number}.log"));
        let program = kcat(&scene.tools.kcat, &scene.server.address())
            .args(["-G", TOPIC, "-u", "-f", SHOWN])
            .args(["-X", "auto.offset.reset=earliest"])
            .args(["-X", "auto.commit.interval.ms=200"])
            .args(["-X", "session.timeout.ms=6000"])
            .args(["-X", "heartbeat.interval.ms=500"])
            .arg(TOPIC);
        Ok(Self {
            talk: Talk::start(program, &log)?,
            log,
            read: BTreeSet::new(),
        })
    }

    /// Takes lines until there is none for a while.
    fn hear(&mut self) -> Outcome<()> {
        while let Some(line) = self.talk.hear(HEAR)? {
            let place = |name: &str| {
                let number = line.get(name).and_then(Value::as_u64);
                usize::try_from(number.unwrap_or(u64::MAX)).unwrap_or(usize::MAX)
            };
            let (partition, offset) = (place("partition"), place("offset"));
            let (key, value) = key_and_value(partition, offset);
            let wanted = json!({
                "partition": partition, "offset": offset, "key": key, "value": value,
            });
            expect_equal("a record", &line, &wanted)?;
            self.read.insert((partition, offset));
        }
        Ok(())
    }

    /// How many partitions it has by its own account.
    fn owned(&self) -> usize {
        let told = fs::read_to_string(&self.log).unwrap_or_default();
        let mut rebalances = told.lines().filter(|line| line.contains(" rebalanced "));
        let last = rebalances.next_back().unwrap_or_default();
        match last.split_once("): assigned: ") {
            Some((_, partitions)) => partitions.split(", ").count(),
            None => 0,
        }
    }
}

/// Listens to members until something holds for all of them.
fn until(
    what: &str,
    members: &mut [&mut Member],
    holds: impl Fn(&[&mut Member]) -> bool,
) -> Outcome<()> {
    let started = Instant::now();
    while !holds(members) {
        if started.elapsed() > PATIENCE {
            let read: Vec<_> = members
                .iter()
                .map(|one| format!("{} partitions, {} records", one.owned(), one.read.len()))
                .collect();
            return Err(Failure::new(format!(
                "{what}: not within {} s; they have {}",
                PATIENCE.as_secs(),
                read.join("; ")
            )));
        }
        for member in &mut *members {
            member.hear()?;
        }
    }
    Ok(())
}
