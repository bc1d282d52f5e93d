//! Everything that moves a storage engine, at the same time, for some seconds, into a [`Ledger`].
//!
//! Small journal and segment files (the caller's settings) make the rest happen: rolls, moves,
//! carrying, recycling, retention, compaction, group commits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thalweg_storage::testing::Prng;

use super::client::Client;
use super::ledger::{Ledger, Life, Place, Sent, Transaction};
use super::value::{Mark, Producer, batch};
use crate::x::{Failure, Outcome};

pub const PLAIN: &str = "plain";
pub const COMPACTED: &str = "compacted";
pub const TXN: &str = "txn";
pub const DOOMED: &str = "doomed";
pub const PLAIN_PARTITIONS: i32 = 6;
pub const TXN_PARTITIONS: i32 = 2;
/// What a plain partition keeps at least.
pub const RETENTION_BYTES: u64 = 2 << 20;
const WRITERS: u32 = 3;
const COMPACTED_STREAM: u32 = 5_000;
const TXN_STREAM: u32 = 6_000;
const DOOMED_STREAM: u32 = 10_000;
const TXN_NAME: &str = "audited";
/// Answers that ask to try again, a tenth of a second apart.
const TRIES_MAX: u32 = 300;

/// Where a load runs, and how its places are told.
pub struct Stage<'a> {
    pub address: &'a str,
    pub seed: u64,
    pub duration: Duration,
    /// The place in the fault disk's log now.
    pub place: &'a (dyn Fn() -> usize + Sync),
}

/// Name, partitions and configs.
type Topic<'a> = (&'a str, i32, &'a [(&'a str, &'a str)]);

struct Desk<'a> {
    stage: &'a Stage<'a>,
    ledger: Mutex<Ledger>,
    over: AtomicBool,
}

/// Makes the topics, runs the load and gives back what is known.
pub fn run(stage: &Stage<'_>) -> Outcome<Ledger> {
    let desk = Desk {
        stage,
        ledger: Mutex::default(),
        over: AtomicBool::new(false),
    };
    desk.make_topics()?;
    std::thread::scope(|scope| {
        let desk = &desk;
        let mut parts = Vec::new();
        for writer in 0..WRITERS {
            parts.push(scope.spawn(move || desk.write_plain(writer)));
        }
        parts.push(scope.spawn(move || desk.write_compacted()));
        parts.push(scope.spawn(move || desk.write_transactions()));
        parts.push(scope.spawn(move || desk.kill_topics()));
        parts.push(scope.spawn(move || desk.read()));
        std::thread::sleep(stage.duration);
        desk.over.store(true, Ordering::Relaxed);
        for part in parts {
            match part.join() {
                Ok(done) => done?,
                Err(_) => return Err(Failure::new("a part of the load panicked")),
            }
        }
        Ok(())
    })?;
    Ok(desk
        .ledger
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

impl Desk<'_> {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self) -> usize {
        (self.stage.place)()
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn client(&self) -> Outcome<Client> {
        Client::connect(self.stage.address)
    }

    fn make_topics(&self) -> Outcome<()> {
        let mut client = self.client()?;
        let segment = ("segment.bytes", "1048576");
        let topics: [Topic; 3] = [
            (
                PLAIN,
                PLAIN_PARTITIONS,
                &[segment, ("retention.bytes", "2097152")],
            ),
            (
                COMPACTED,
                1,
                &[
                    segment,
                    ("cleanup.policy", "compact"),
                    ("min.cleanable.dirty.ratio", "0.01"),
                ],
            ),
            (TXN, TXN_PARTITIONS, &[segment]),
        ];
        for (topic, partitions, configs) in topics {
            let code = client.create((topic, partitions), configs)?;
            expect("CreateTopics", code)?;
            let place = self.place();
            self.ledger().created.insert(topic.to_owned(), place);
        }
        client.find_coordinator(TXN_NAME)
    }

    /// Sends batches until each is acknowledged; all of them count from the same places.
    fn send(
        &self,
        client: &mut Client,
        txn: Option<(&str, usize)>,
        batches: &[Batch],
    ) -> Outcome<()> {
        let sent_at = self.place();
        let first = {
            let mut ledger = self.ledger();
            let first = ledger.sent.len();
            ledger.sent.extend(batches.iter().map(|one| Sent {
                place: one.place.clone(),
                first: one.first,
                count: one.count,
                sent_at,
                acked: None,
                transaction: txn.map(|(_, number)| number),
            }));
            first
        };
        let mut open: Vec<usize> = (0..batches.len()).collect();
        for _ in 0..TRIES_MAX {
            let request: Vec<(&str, i32, &[u8])> = open
                .iter()
                .map(|at| &batches[*at])
                .map(|one| (one.place.0.as_str(), one.place.1, one.bytes.as_slice()))
                .collect();
            let answers = client.produce(txn.map(|(name, _)| name), &request)?;
            let place = self.place();
            let mut left = Vec::new();
            let mut ledger = self.ledger();
            for (at, (code, base)) in open.iter().zip(answers) {
                match code {
                    0 => ledger.sent[first + at].acked = Some((base, place)),
                    // Not there yet, no room now, or the transaction's partition is being added.
                    3 | 5 | 6 | 7 | 51 | 56 | 89 => left.push(*at),
                    code => return Err(Failure::new(format!("Produce: code {code}"))),
                }
            }
            drop(ledger);
            open = left;
            if open.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(Failure::new("a batch is refused for ever"))
    }

    fn write_plain(&self, writer: u32) -> Outcome<()> {
        let mut prng = Prng::new(self.stage.seed ^ (u64::from(writer) << 32));
        let mut client = self.client()?;
        let producer = Producer {
            id: client.init_producer(None)?.0,
            epoch: 0,
            transactional: false,
            keyed: false,
        };
        let mut next = vec![0_u64; PLAIN_PARTITIONS as usize];
        while self.goes_on() {
            let mut batches = Vec::new();
            for partition in 0..PLAIN_PARTITIONS {
                if !prng.chance(0.4) {
                    continue;
                }
                let count = 1 + prng.below(8) as u64;
                let sequence = &mut next[partition as usize];
                let first = Mark {
                    stream: writer * 1_000 + partition.unsigned_abs(),
                    sequence: *sequence,
                };
                *sequence += count;
                batches.push(Batch::new((PLAIN, partition), producer, first, count));
            }
            if !batches.is_empty() {
                self.send(&mut client, None, &batches)?;
            }
        }
        Ok(())
    }

    fn write_compacted(&self) -> Outcome<()> {
        let mut prng = Prng::new(self.stage.seed ^ 0xc0);
        let mut client = self.client()?;
        let producer = Producer {
            id: client.init_producer(None)?.0,
            epoch: 0,
            transactional: false,
            keyed: true,
        };
        let mut sequence = 0;
        while self.goes_on() {
            let count = 1 + prng.below(12) as u64;
            let first = Mark {
                stream: COMPACTED_STREAM,
                sequence,
            };
            sequence += count;
            let one = Batch::new((COMPACTED, 0), producer, first, count);
            self.send(&mut client, None, &[one])?;
        }
        Ok(())
    }

    fn write_transactions(&self) -> Outcome<()> {
        let mut prng = Prng::new(self.stage.seed ^ 0x77);
        let mut client = self.client()?;
        let (id, epoch) = client.init_producer(Some(TXN_NAME))?;
        let name = (TXN_NAME, id, epoch);
        let producer = Producer {
            id,
            epoch,
            transactional: true,
            keyed: false,
        };
        let mut next = [0_u64; TXN_PARTITIONS as usize];
        let partitions: Vec<i32> = (0..TXN_PARTITIONS).collect();
        while self.goes_on() {
            let commit = prng.chance(0.6);
            let number = self.ledger().transactions.len();
            self.ledger().transactions.push(Transaction {
                commit,
                end_sent_at: usize::MAX,
                end_acked_at: None,
            });
            again(|| client.add_partitions(name, (TXN, &partitions)))?;
            for _ in 0..=prng.below(3) {
                let mut batches = Vec::new();
                for (partition, sequence) in (0_u32..).zip(&mut next) {
                    let count = 1 + prng.below(3) as u64;
                    let first = Mark {
                        stream: TXN_STREAM + partition,
                        sequence: *sequence,
                    };
                    *sequence += count;
                    let place = (TXN, partition.cast_signed());
                    batches.push(Batch::new(place, producer, first, count));
                }
                self.send(&mut client, Some((TXN_NAME, number)), &batches)?;
            }
            let place = self.place();
            self.ledger().transactions[number].end_sent_at = place;
            again(|| client.end_transaction(name, commit))?;
            let place = self.place();
            self.ledger().transactions[number].end_acked_at = Some(place);
        }
        Ok(())
    }

    /// A topic that lives for some batches, again and again; and records deleted meanwhile.
    fn kill_topics(&self) -> Outcome<()> {
        let mut prng = Prng::new(self.stage.seed ^ 0xde);
        let mut client = self.client()?;
        let mut number = 0;
        while self.goes_on() {
            let stream = DOOMED_STREAM + u32::try_from(number).unwrap_or(0);
            self.ledger().lives.push(Life {
                streams: stream..stream + 1,
                ..Life::default()
            });
            again(|| client.create((DOOMED, 1), &[]))?;
            let place = self.place();
            self.ledger().lives[number].created_at = Some(place);
            let producer = Producer {
                id: client.init_producer(None)?.0,
                epoch: 0,
                transactional: false,
                keyed: false,
            };
            let mut sequence = 0;
            for _ in 0..=prng.below(12) {
                let count = 1 + prng.below(4) as u64;
                let one = Batch::new((DOOMED, 0), producer, Mark { stream, sequence }, count);
                sequence += count;
                self.send(&mut client, None, &[one])?;
            }
            self.delete_some_records(&mut client, &mut prng)?;
            let place = self.place();
            self.ledger().lives[number].delete_sent_at = Some(place);
            again(|| client.delete(DOOMED))?;
            let place = self.place();
            self.ledger().lives[number].delete_acked_at = Some(place);
            number += 1;
        }
        Ok(())
    }

    fn delete_some_records(&self, client: &mut Client, prng: &mut Prng) -> Outcome<()> {
        let partition = prng.below(PLAIN_PARTITIONS as usize) as i32;
        let (_, start) = client.list_offset((PLAIN, partition), -2)?;
        let (code, end) = client.list_offset((PLAIN, partition), -1)?;
        if code != 0 || end <= start || !prng.chance(0.3) {
            return Ok(());
        }
        let before = start + (end - start) / 4;
        let place = (PLAIN.to_owned(), partition);
        let asked = self.place();
        self.ledger()
            .starts_asked
            .push((place.clone(), before, asked));
        let (code, start) = client.delete_records((PLAIN, partition), before)?;
        // Retention may have gone further meanwhile.
        if code == 0 {
            let answered = self.place();
            self.ledger().starts.push((place, start, answered));
        }
        Ok(())
    }

    /// What a reader was shown has to stay.
    fn read(&self) -> Outcome<()> {
        let mut client = self.client()?;
        while self.goes_on() {
            for partition in 0..PLAIN_PARTITIONS {
                let (code, end) = client.list_offset((PLAIN, partition), -1)?;
                if code == 0 {
                    let place = self.place();
                    let shown = ((PLAIN.to_owned(), partition), end, place);
                    self.ledger().shown.push(shown);
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

struct Batch {
    place: Place,
    first: Mark,
    count: u64,
    bytes: Vec<u8>,
}

impl Batch {
    fn new((topic, partition): (&str, i32), producer: Producer, first: Mark, count: u64) -> Self {
        Self {
            place: (topic.to_owned(), partition),
            first,
            count,
            bytes: batch(producer, first, count),
        }
    }
}

fn expect(what: &str, code: i16) -> Outcome<()> {
    match code {
        0 => Ok(()),
        code => Err(Failure::new(format!("{what}: code {code}"))),
    }
}

/// Asks until the answer is no longer that it goes on elsewhere: being made, deleted, ended.
fn again(mut ask: impl FnMut() -> Outcome<i16>) -> Outcome<()> {
    let started = Instant::now();
    loop {
        match ask()? {
            0 => return Ok(()),
            3 | 5 | 6 | 7 | 14..=16 | 36 | 51 if started.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            code => return Err(Failure::new(format!("refused for ever: code {code}"))),
        }
    }
}
