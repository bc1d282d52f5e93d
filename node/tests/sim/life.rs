//! The lives of one simulated node: start, clients, a crash at some operation of the disk; and again
//! on what the disk kept, perhaps with other shards; at last one life without faults in which all
//! that was sent must be acknowledged, stop cleanly and be there after one more start.
//!
//! A seed decides everything: settings (small, so that files roll, fill and are used again fast),
//! what clients do, the order of tasks, the delays, the faults, where the crash is, whether power
//! goes with it, and what the disk keeps. Deliberately absent: what is right (the checker).

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use thalweg_storage::disk::MemoryDisk;
use thalweg_storage::store::{Mutation, StoreConfig};
use thalweg_storage::testing::{Executor, Handle, Prng};
use thalweg_wire::ids::{ShardId, TimestampMs};

use crate::checker::Checker;
use crate::client::Client;
use crate::producer::{Producer, send_once};
use crate::workload::{CHURNING, Desk, LASTING};
use crate::world::{Birth, Dice, EPOCH_MS, dawdle};

/// Polls of one life: a life takes some ten thousand, so this is a livelock.
const STEPS_MAX: u64 = 20_000_000;
/// How often the crash looks whether its time has come.
const GLANCE: Duration = Duration::from_micros(100);
/// Virtual time in which a life without faults must end.
const LIFE_MAX: Duration = Duration::from_secs(600);
/// Share of lives that end with the process only, while power stays on.
const KILLS: f64 = 0.3;
/// Producers of a world.
const PRODUCERS: usize = 3;
/// Rounds in which everything must be acknowledged once nothing fails any more.
const ROUNDS_MAX: usize = 200;

/// What one seed came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The first contradiction, where it was seen.
    pub(crate) violation: Option<String>,
    pub(crate) crashes: u64,
    pub(crate) records: u64,
    pub(crate) answers: u64,
    pub(crate) steps: u64,
    pub(crate) operations: u64,
    /// Edges that were reached.
    pub(crate) edges: Edges,
}

/// What lives ran into: a workload that reaches none of it proves little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edges {
    /// Lives that were cut off while the node started.
    pub(crate) cut_starts: u64,
    pub(crate) clean_stops: u64,
    pub(crate) poisoned: u64,
    pub(crate) moved_bytes: u64,
    pub(crate) carried_bytes: u64,
    pub(crate) files_recycled: u64,
    pub(crate) admissions_refused: u64,
    /// Offset commits that were acknowledged.
    pub(crate) commits: u64,
}

impl Edges {
    /// The sum of both.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            cut_starts: self.cut_starts + other.cut_starts,
            clean_stops: self.clean_stops + other.clean_stops,
            poisoned: self.poisoned + other.poisoned,
            moved_bytes: self.moved_bytes + other.moved_bytes,
            carried_bytes: self.carried_bytes + other.carried_bytes,
            files_recycled: self.files_recycled + other.files_recycled,
            admissions_refused: self.admissions_refused + other.admissions_refused,
            commits: self.commits + other.commits,
        }
    }
}

/// How a life goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Clients and faults, until it is cut off.
    Wild,
    /// All that waits is acknowledged, then a clean stop.
    Calm,
    /// Only the audit.
    Last,
}

/// What a life is given beside its node, and what is left of it when it is cut off.
struct Stage {
    kind: Kind,
    checker: Rc<RefCell<Checker>>,
    producers: Vec<Rc<RefCell<Producer>>>,
    desk: RefCell<Option<Rc<Desk>>>,
    stopped: Cell<bool>,
}

struct Run {
    seed: u64,
    prng: Prng,
    disk: MemoryDisk,
    store: StoreConfig,
    born: i64,
    checker: Rc<RefCell<Checker>>,
    producers: Vec<Rc<RefCell<Producer>>>,
    outcome: Outcome,
}

/// Runs a seed to its end or its first contradiction.
pub(crate) fn run(seed: u64, mutation: Mutation) -> Outcome {
    let mut prng = Prng::new(seed);
    let store = settings(&mut prng, mutation);
    let mut run = Run {
        seed,
        disk: MemoryDisk::new(prng.next_u64()),
        store,
        born: EPOCH_MS,
        checker: Rc::default(),
        producers: (0..PRODUCERS).map(|_| Rc::default()).collect(),
        outcome: Outcome::default(),
        prng,
    };
    let wild = 1 + run.prng.below(3);
    for _ in 0..wild {
        if run.live(Kind::Wild) {
            return run.end();
        }
    }
    if !run.live(Kind::Calm) {
        run.live(Kind::Last);
    }
    run.end()
}

/// Small files and small limits: edges are reached fast.
fn settings(prng: &mut Prng, mutation: Mutation) -> StoreConfig {
    let journal_file_bytes = [128 << 10, 256 << 10][prng.below(2)];
    StoreConfig {
        journal_file_bytes,
        journal_bytes_max: journal_file_bytes * [4, 8][prng.below(2)],
        round_bytes_max: [16 << 10, 32 << 10][prng.below(2)],
        move_bytes_min: [4 << 10, 16 << 10, 64 << 10][prng.below(3)],
        move_write_bytes: [4 << 10, 64 << 10][prng.below(2)],
        segment_preallocate_bytes: [16 << 10, 64 << 10][prng.below(2)],
        mutation,
        ..StoreConfig::new(ShardId(0))
    }
}

impl Run {
    /// One life; true if a contradiction was found.
    fn live(&mut self, kind: Kind) -> bool {
        let seeds = (self.prng.next_u64(), self.prng.next_u64());
        let shards = u16::try_from(1 + self.prng.below(4)).unwrap();
        let mut cut = u64::MAX;
        if kind == Kind::Wild {
            // Small numbers too: a crash within the start.
            let longest = [300, 3_000, 12_000, 40_000][self.prng.below(4)];
            cut = self.disk.operations() + 1 + self.prng.below(longest) as u64;
            self.disk.freeze_at(cut);
        }
        let mut executor = Executor::new(seeds.0);
        let handle = executor.handle();
        let dice: Dice = Rc::new(RefCell::new(Prng::new(seeds.1)));
        let birth = Birth {
            handle: handle.clone(),
            disk: self.disk.clone(),
            shards,
            store: self.store,
            born: TimestampMs(self.born),
            dice,
        };
        let stage = Rc::new(Stage {
            kind,
            checker: Rc::clone(&self.checker),
            producers: self.producers.clone(),
            desk: RefCell::default(),
            stopped: Cell::new(false),
        });
        let life = life(birth, Rc::clone(&stage));
        let (disk, checker) = (self.disk.clone(), Rc::clone(&self.checker));
        let is_over = move || disk.operations() >= cut || checker.borrow().violation().is_some();
        let watch = watch(handle.clone(), is_over, life);
        let ran = catch_unwind(AssertUnwindSafe(|| executor.run(watch, STEPS_MAX)));
        let trouble = match ran {
            Ok(Some(Ok(()))) => None,
            Ok(Some(Err(text))) => Some(text),
            Ok(None) => Some("nothing goes on any more".to_owned()),
            Err(panic) => Some(words(panic.as_ref())),
        };
        self.outcome.steps += executor.steps();
        self.outcome.operations = self.disk.operations();
        self.born += i64::try_from(handle.now().as_millis()).unwrap() + 1_000;
        let step = executor.steps();
        self.count(&stage);
        // What the node held when it was cut off goes with its executor.
        drop(executor);
        if let Some(text) = trouble {
            self.checker.borrow_mut().fail(text);
        }
        let text = self.checker.borrow().violation().map(str::to_owned);
        self.outcome.violation = text.map(|text| {
            format!(
                "seed {} life {} ({shards} shards) step {step}: {text}",
                self.seed, self.outcome.crashes
            )
        });
        self.checker.borrow_mut().forget_commits_under_way();
        self.disk.set_capacity(None);
        // What a start believes, but only the page cache holds, the next power cut takes away.
        let seed = self.prng.next_u64();
        self.disk = match self.prng.chance(KILLS) {
            true => self.disk.kill(seed),
            false => self.disk.crash(seed),
        };
        self.outcome.crashes += 1;
        self.outcome.violation.is_some()
    }

    fn count(&mut self, stage: &Stage) {
        let edges = &mut self.outcome.edges;
        let Some(desk) = stage.desk.take() else {
            edges.cut_starts += 1;
            return;
        };
        edges.clean_stops += u64::from(stage.stopped.get());
        edges.poisoned += u64::from(desk.poisoned.get());
        for counters in desk.node.counters() {
            edges.moved_bytes += counters.moved_bytes;
            edges.carried_bytes += counters.carried_bytes;
            edges.files_recycled += counters.files_recycled;
            edges.admissions_refused += counters.admissions_refused;
        }
    }

    fn end(self) -> Outcome {
        let checker = self.checker.borrow();
        let edges = Edges {
            commits: checker.offsets.acknowledged,
            ..self.outcome.edges
        };
        Outcome {
            edges,
            records: checker.records,
            answers: checker.answers,
            ..self.outcome
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("without words"))
}

/// Runs a life until it ends, its disk freezes or something is wrong.
async fn watch(
    handle: Handle,
    is_over: impl Fn() -> bool,
    life: impl Future<Output = Result<(), String>> + 'static,
) -> Result<(), String> {
    let task = handle.spawn(life);
    loop {
        handle.sleep(GLANCE).await;
        if let Some(ended) = task.try_take() {
            return ended;
        }
        if is_over() {
            return Ok(());
        }
        if handle.now() > LIFE_MAX {
            return Err("the life does not end".to_owned());
        }
    }
}

async fn life(birth: Birth, stage: Rc<Stage>) -> Result<(), String> {
    let node = birth
        .start()
        .await
        .map_err(|error| format!("the node does not start: {error}"))?;
    let desk = Rc::new(Desk {
        node,
        checker: Rc::clone(&stage.checker),
        faults: Rc::default(),
        poisoned: Cell::new(false),
    });
    *stage.desk.borrow_mut() = Some(Rc::clone(&desk));
    let client = Client::connect(&desk.node);
    let lost = |lost| format!("no answer: {lost:?}");
    desk.find_topics(&client).await.map_err(lost)?;
    desk.audit(&client).await.map_err(lost)?;
    desk.audit_offsets(&client).await.map_err(lost)?;
    let stops = match stage.kind {
        Kind::Wild => {
            wild(&desk, &stage.producers).await;
            desk.chance(0.4) && !desk.faults.get()
        }
        Kind::Calm => {
            settle(&desk, &stage.producers).await?;
            desk.settle_groups(&client).await.map_err(lost)?;
            desk.audit(&client).await.map_err(lost)?;
            desk.audit_offsets(&client).await.map_err(lost)?;
            true
        }
        Kind::Last => false,
    };
    if stops {
        desk.node.stop().await?;
        stage.stopped.set(true);
    }
    Ok(())
}

/// Everything at once, for a while.
async fn wild(desk: &Rc<Desk>, producers: &[Rc<RefCell<Producer>>]) {
    let client = Client::connect(&desk.node);
    for name in LASTING.iter().chain(&CHURNING) {
        // A name that is taken, or whose fate is open, is left alone.
        let _answered = desk.create(&client, name).await;
    }
    if desk.chance(0.8) {
        // Refused on a full disk; then there are no groups in this life.
        let _answered = desk.find_groups(&client).await;
    }
    let turns = [20, 80, 250][desk.roll(3)];
    let mut tasks = Vec::new();
    for producer in producers {
        let (desk, producer) = (Rc::clone(desk), Rc::clone(producer));
        tasks.push(
            desk.node
                .handle
                .clone()
                .spawn(produce(desk, producer, turns)),
        );
    }
    for _ in 0..3 {
        let desk = Rc::clone(desk);
        tasks.push(desk.node.handle.clone().spawn(run_errands(desk, turns)));
    }
    for _ in 0..2 {
        let desk = Rc::clone(desk);
        tasks.push(desk.node.handle.clone().spawn(keep_offsets(desk, turns)));
    }
    if desk.chance(0.5) {
        let desk = Rc::clone(desk);
        tasks.push(desk.node.handle.clone().spawn(make_trouble(desk)));
    }
    for task in tasks {
        task.await;
    }
}

/// Some tasks run on at once, some later: both at the same instant and at different ones.
async fn pause(desk: &Desk) {
    if desk.chance(0.3) {
        let pause = Duration::from_millis(1 + desk.roll(3) as u64);
        desk.node.handle.sleep(pause).await;
    }
    dawdle(&desk.node.handle, &desk.node.dice, 10).await;
}

#[expect(
    clippy::await_holding_refcell_ref,
    reason = "a producer is used by one task at a time, and its life may be cut off anywhere"
)]
async fn produce(desk: Rc<Desk>, producer: Rc<RefCell<Producer>>, turns: usize) {
    let mut client = Client::connect(&desk.node);
    let mut producer = producer.borrow_mut();
    for _ in 0..turns {
        if desk.chance(0.05) {
            client = Client::connect(&desk.node);
        }
        let new = desk.chance(0.8);
        producer.turn(&desk, &client, new).await;
        pause(&desk).await;
    }
}

async fn run_errands(desk: Rc<Desk>, turns: usize) {
    let mut client = Client::connect(&desk.node);
    for _ in 0..turns {
        let done = if desk.chance(0.2) {
            send_once(&desk, &client).await
        } else {
            desk.errand(&client).await
        };
        if let Err(lost) = done {
            if !desk.faults.get() {
                desk.fail(format!("no answer: {lost:?}"));
            }
            client = Client::connect(&desk.node);
        }
        pause(&desk).await;
    }
}

async fn keep_offsets(desk: Rc<Desk>, turns: usize) {
    let client = Client::connect(&desk.node);
    for _ in 0..turns {
        let group = desk.any_group();
        let done = if desk.chance(0.6) {
            desk.commit(&client, group).await.map(drop)
        } else {
            desk.look_at_offset(&client, group).await
        };
        if let Err(lost) = done {
            desk.fail(format!("no answer: {lost:?}"));
        }
        pause(&desk).await;
    }
}

async fn make_trouble(desk: Rc<Desk>) {
    while !desk.poisoned.get() {
        let pause = Duration::from_millis(1 + desk.roll(30) as u64);
        desk.node.handle.sleep(pause).await;
        desk.trouble().await;
        if desk.chance(0.3) {
            return;
        }
    }
}

/// Without faults, everything that waits is acknowledged.
#[expect(
    clippy::await_holding_refcell_ref,
    reason = "a producer is used by one task at a time"
)]
async fn settle(desk: &Desk, producers: &[Rc<RefCell<Producer>>]) -> Result<(), String> {
    for producer in producers {
        let client = Client::connect(&desk.node);
        let mut producer = producer.borrow_mut();
        let mut rounds = 0;
        while !producer.is_done() {
            rounds += 1;
            if rounds > ROUNDS_MAX {
                return Err(format!("never acknowledged: {producer:?}"));
            }
            producer.turn(desk, &client, false).await;
        }
    }
    Ok(())
}
