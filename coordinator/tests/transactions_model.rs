//! The transaction coordinator with its clients, its log and the partitions written to, under random events: two
//! clients to each transactional id, answers lost, markers late, lost and repeated, timeouts, records refused,
//! crashes that take everything not yet committed. `THALWEG_TXN_SEEDS` says how many runs, 2,000 without it.
//!
//! What must hold: records of one transaction end the same way everywhere, and as its client was told; no
//! record gets into a transaction it does not belong to; each transaction has one marker in each of its partitions;
//! no transaction stays open; the state is what the log says; epochs never fall.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thalweg_coordinator::error::ErrorCode;
use thalweg_coordinator::groups::step::{Record, Token};
use thalweg_coordinator::groups::time::{Moment, Steady};
use thalweg_coordinator::transactions::config::TxnConfig;
use thalweg_coordinator::transactions::shard::TxnShard;
use thalweg_coordinator::transactions::state::{Txn, TxnState};
use thalweg_coordinator::transactions::step::{Answer, Ask, Identity, MarkerJob, Step};
use thalweg_wire::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs};

const SEEDS: u64 = 2_000;
const STEPS: usize = 300;
const IDS: usize = 2;
const PARTITIONS: usize = 3;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// One client program.
#[derive(Clone, Debug, Default)]
struct Client {
    identity: Option<(ProducerId, ProducerEpoch)>,
    /// Its transaction, and whether it wrote in it.
    txn: u64,
    wrote: bool,
    version: i16,
    /// Partitions of this transaction, as a client before version 2 remembers them.
    added: BTreeSet<usize>,
    /// The end it asked for and has not heard of.
    ending: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    epoch: i16,
    open: Option<u64>,
}

/// A partition as storage keeps it: the rules of `append::check`.
#[derive(Clone, Debug, Default)]
struct Partition {
    entries: BTreeMap<i64, Entry>,
}

#[derive(Default)]
struct Outcome {
    by_partition: BTreeMap<usize, bool>,
    told: Option<bool>,
}

struct World {
    random: Random,
    shard: TxnShard,
    log: Vec<Record>,
    committed: usize,
    now: i64,
    clients: Vec<Client>,
    partitions: Vec<Partition>,
    jobs: Vec<(MarkerJob, BTreeSet<usize>)>,
    waiting: VecDeque<(Offset, Token, Answer)>,
    outcomes: BTreeMap<u64, Outcome>,
    fresh: i64,
    txns: u64,
}

fn name(partition: usize) -> (std::sync::Arc<str>, i32) {
    ("t".into(), partition as i32)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let version = if random.below(4) == 0 { 0 } else { 2 };
        let client = Client {
            version,
            ..Client::default()
        };
        let mut world = Self {
            random,
            shard: TxnShard::new(config()),
            log: Vec::new(),
            committed: 0,
            now: 1_000_000,
            clients: vec![client; IDS * 2],
            partitions: vec![Partition::default(); PARTITIONS],
            jobs: Vec::new(),
            waiting: VecDeque::new(),
            outcomes: BTreeMap::new(),
            fresh: 0,
            txns: 0,
        };
        world.shard.loaded(Offset(0), world.moment());
        world
    }

    fn moment(&self) -> Moment {
        Moment {
            steady: Steady(self.now),
            wall: TimestampMs(self.now),
        }
    }

    /// Appends what the step asks for, or refuses it.
    fn take(&mut self, step: Step) -> Option<Answer> {
        let base = Offset(self.log.len() as i64);
        let refuse = !step.records().is_empty() && self.random.below(25) == 0;
        let replies = if refuse {
            self.shard.refused(step, ErrorCode::NotEnoughReplicas)
        } else {
            self.log.extend(step.records().iter().cloned());
            self.shard.accepted(step, base)
        };
        let reply = replies.into_iter().next()?;
        assert!(reply.after.0 <= self.log.len() as i64);
        if reply.after.0 <= self.committed as i64 || self.random.below(2) == 0 {
            // Waits for the log, or a crash takes it.
            if reply.after.0 > self.committed as i64 {
                self.commit(reply.after.0 as usize);
            }
            return Some(reply.answer).filter(|_| self.random.below(10) > 0);
        }
        self.waiting
            .push_back((reply.after, reply.to, reply.answer));
        None
    }

    fn commit(&mut self, end: usize) {
        self.committed = self.committed.max(end);
        for job in self.shard.markers(Offset(self.committed as i64)) {
            let left = job.partitions.iter().map(|(_, index)| *index as usize);
            let left = left.collect();
            self.jobs.push((job, left));
        }
    }

    fn ask(&mut self, ask: Ask) -> Option<Answer> {
        let step = self.shard.ask(Token(0), &ask, TimestampMs(self.now));
        let answer = self.take(step)?;
        if answer != Answer::NeedsId {
            return Some(answer);
        }
        self.fresh += 1;
        let id = Some(ProducerId(self.fresh));
        let again = match ask {
            Ask::Init {
                id: name,
                timeout_ms,
                expected,
                ..
            } => Ask::Init {
                id: name,
                timeout_ms,
                expected,
                fresh: id,
            },
            Ask::End {
                who,
                commit,
                version,
                ..
            } => Ask::End {
                who,
                commit,
                version,
                fresh: id,
            },
            other => panic!("{other:?} needs no id"),
        };
        let step = self.shard.ask(Token(0), &again, TimestampMs(self.now));
        self.take(step)
    }

    fn begin(&mut self, at: usize) {
        let client = self.clients[at].clone();
        let expected = client.identity.filter(|_| self.random.below(3) == 0);
        let ask = Ask::Init {
            id: id_of(at),
            timeout_ms: 1_000,
            expected,
            fresh: None,
        };
        if let Some(Answer::Producer(Ok(identity))) = self.ask(ask) {
            // Java's way after a fatal error: a new transaction, whatever became of the old one.
            self.txns += 1;
            self.clients[at] = Client {
                identity: Some(identity),
                txn: self.txns,
                version: client.version,
                ..Client::default()
            };
        }
    }

    fn who(&self, at: usize) -> Option<Identity> {
        let (producer, epoch) = self.clients[at].identity?;
        Some(Identity {
            id: id_of(at),
            producer,
            epoch,
        })
    }

    fn write(&mut self, at: usize) {
        let Some(who) = self.who(at).filter(|_| self.clients[at].ending.is_none()) else {
            return;
        };
        let p = self.random.below(PARTITIONS);
        let (txn, version) = (self.clients[at].txn, self.clients[at].version);
        let held = self.partitions[p].entries.get(&who.producer.0).copied();
        let is_open = held.is_some_and(|held| held.open.is_some() && held.epoch == who.epoch.0);
        let is_known = match version {
            0 => self.clients[at].added.contains(&p),
            _ => is_open,
        };
        if !is_known {
            let partitions = vec![name(p)];
            let add = Ask::Add {
                who: who.clone(),
                partitions: partitions.clone(),
                version,
            };
            match self.ask(add) {
                Some(Answer::Added(ErrorCode::None)) => {
                    self.clients[at].added.insert(p);
                }
                Some(Answer::Added(code)) => {
                    assert_ne!(code, ErrorCode::InvalidRequest);
                    return;
                }
                _ => return,
            }
            if self.random.below(3) == 0 {
                let verified = self.ask(Ask::Verify {
                    who: who.clone(),
                    partitions,
                });
                let same = matches!(verified, None | Some(Answer::Verified(_)));
                assert!(same, "{verified:?}");
            }
        }
        let entry = self.partitions[p]
            .entries
            .entry(who.producer.0)
            .or_default();
        if who.epoch.0 < entry.epoch {
            return;
        }
        entry.epoch = who.epoch.0;
        let open = *entry.open.get_or_insert(txn);
        assert_eq!(open, txn, "a record got into another transaction");
        self.clients[at].wrote = true;
        self.outcomes.entry(txn).or_default();
    }

    fn finish(&mut self, at: usize) {
        let Some(who) = self.who(at) else { return };
        let client = self.clients[at].clone();
        if !client.wrote {
            return;
        }
        let commit = client.ending.unwrap_or_else(|| self.random.below(2) == 0);
        self.clients[at].ending = Some(commit);
        let ask = Ask::End {
            who,
            commit,
            version: client.version,
            fresh: None,
        };
        let Some(Answer::Producer(Ok(identity))) = self.ask(ask) else {
            return;
        };
        let told = self.outcomes.entry(client.txn).or_default().told;
        assert_eq!(told, None, "told twice");
        self.outcomes.entry(client.txn).or_default().told = Some(commit);
        self.txns += 1;
        let fresh = Client {
            identity: Some(identity),
            txn: self.txns,
            version: client.version,
            ..Client::default()
        };
        self.clients[at] = fresh;
    }

    /// Writes one marker of a job, or tells that all are written.
    fn mark(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let at = self.random.below(self.jobs.len());
        let (job, left) = &mut self.jobs[at];
        let Some(p) = left.iter().next().copied() else {
            let (job, _) = self.jobs.swap_remove(at);
            let done = Ask::Marked {
                id: job.id.clone(),
                producer: job.producer,
                epoch: job.epoch,
            };
            let step = self.shard.ask(Token(1), &done, TimestampMs(self.now));
            let wrote = !step.records().is_empty();
            let length = self.log.len();
            self.take(step);
            if wrote && self.log.len() == length {
                // The log refused: the node tells again.
                self.jobs.push((job, BTreeSet::new()));
            }
            return;
        };
        let job = job.clone();
        if self.random.below(4) > 0 {
            // Else it is written, and the answer is lost.
            left.remove(&p);
        }
        let entry = self.partitions[p]
            .entries
            .entry(job.producer.0)
            .or_default();
        let is_held = job.raises_epoch && job.epoch.0 == entry.epoch;
        if is_held && entry.open.is_none() {
            return;
        }
        assert!(job.epoch.0 >= entry.epoch, "a marker of the past: {job:?}");
        assert!(!is_held || job.epoch.0 == i16::MAX, "an epoch with records");
        entry.epoch = job.epoch.0;
        if let Some(txn) = entry.open.take() {
            let outcome = self.outcomes.entry(txn).or_default();
            let before = outcome.by_partition.insert(p, job.commit);
            assert_eq!(before, None, "one marker to a transaction and partition");
        }
    }

    fn crash(&mut self) {
        self.log.truncate(self.committed);
        self.jobs.clear();
        self.waiting.clear();
        self.shard = replayed(&self.log);
        self.shard
            .loaded(Offset(self.log.len() as i64), self.moment());
        self.commit(self.committed);
    }

    fn step(&mut self) {
        let at = self.random.below(self.clients.len());
        match self.random.below(100) {
            0..12 => self.begin(at),
            12..50 => self.write(at),
            50..65 => self.finish(at),
            65..85 => self.mark(),
            85..92 => {
                let end = self.committed + self.random.below(self.log.len() - self.committed + 1);
                self.commit(end);
                while self
                    .waiting
                    .pop_front_if(|(after, ..)| after.0 as usize <= end)
                    .is_some()
                {}
            }
            92..96 => self.pass(700),
            _ => self.crash(),
        }
        self.check();
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        while let Some(step) = self.shard.tick(self.moment()) {
            self.take(step);
        }
    }

    fn check(&self) {
        let again = replayed(&self.log);
        let here: Vec<(&str, &Txn)> = self.shard.txns().collect();
        assert_eq!(here, again.txns().collect::<Vec<_>>());
    }

    /// Everything runs to its end.
    fn settle(mut self) {
        for _ in 0..400 {
            let end = self.log.len();
            self.commit(end);
            self.pass(700);
            for _ in 0..8 {
                self.mark();
            }
        }
        self.commit(self.log.len());
        assert_eq!(self.jobs.len(), 0);
        for (id, txn) in self.shard.txns() {
            assert!(
                !txn.state.is_prepared() && txn.state != TxnState::Ongoing,
                "{id}: {txn:?}"
            );
        }
        for partition in &self.partitions {
            for (producer, entry) in &partition.entries {
                assert_eq!(entry.open, None, "producer {producer} hangs");
            }
        }
        for (txn, outcome) in &self.outcomes {
            let ends: BTreeSet<bool> = outcome.by_partition.values().copied().collect();
            assert!(ends.len() <= 1, "transaction {txn} ended both ways");
            if let Some(told) = outcome.told {
                assert!(!ends.contains(&!told), "transaction {txn} was told {told}");
            }
        }
    }
}

fn id_of(client: usize) -> String {
    format!("id-{}", client / 2)
}

fn config() -> TxnConfig {
    TxnConfig {
        abort_interval_ms: 500,
        ..TxnConfig::default()
    }
}

fn replayed(log: &[Record]) -> TxnShard {
    let mut shard = TxnShard::new(config());
    for (at, record) in log.iter().enumerate() {
        let value = record.value.as_deref();
        shard.replay(Offset(at as i64), &record.key, value).unwrap();
    }
    shard
}

#[test]
fn transactions_end_one_way() {
    let seeds = std::env::var("THALWEG_TXN_SEEDS");
    let seeds = seeds.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let _story = Story(seed);
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}

/// Says where a run failed.
struct Story(u64);

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
