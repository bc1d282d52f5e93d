//! Client quotas on this node: who counts for whom, and how a client is made to wait.
//!
//! A quota holds for the node, so each counter has one home: the shard that a hash of its names says; counters of
//! changed metadata are the coordinator's. A request under a quota asks the home of its counter, one message more;
//! without quotas nothing is looked up, counted or measured. The answer says how long the client is throttled, and
//! for that long its connection is not read. Times of requests are what the shard of their connection works on them.
//! Deliberately absent: the numbers (`thalweg_coordinator::quotas`).

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use thalweg_coordinator::error::Refusal;
use thalweg_coordinator::quotas::counters::{Charge, Counters, Whose};
use thalweg_coordinator::quotas::rate::Windows;
use thalweg_coordinator::quotas::table::QuotaTable;
use thalweg_coordinator::quotas::{ANONYMOUS, Kind};
use thalweg_storage::disk::Disk;
use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::header::ResponseHead;
use thalweg_wire::ids::ShardId;

use crate::net::connection::Link;
use crate::node::NodeFacts;
use crate::outgoing::Answer;
use crate::request::Request;
use crate::shard::core::ShardCore;
use crate::shard::host::Host;
use crate::shard::mailbox::{Message, Reply};
use crate::shard::wait::LocalFuture;

const MILLI_NANOS: u64 = 1_000_000;
/// Nanoseconds of one thread in a hundredth of a second's work: one percent of a second.
const PERCENT_NANOS: f64 = 10_000_000.0;

/// Something to be counted on its counter's shard.
#[derive(Debug)]
pub struct ChargeJob {
    /// Whose counter.
    pub whose: Whose,
    /// Bytes, percent.
    pub value: f64,
    /// False when the value is only to be tried.
    pub keep: bool,
}

/// How long the shard has worked on the request that it works on now.
#[derive(Debug, Default)]
pub struct Meter {
    before: Cell<u64>,
    since: Cell<u64>,
}

impl Meter {
    /// Nanoseconds until `now`.
    fn spent(&self, now: u64) -> u64 {
        self.before.get() + now.saturating_sub(self.since.get())
    }
}

/// Counts the time in which `work` is polled.
struct Metered<'a, T> {
    work: LocalFuture<T>,
    meter: &'a Meter,
    host: &'a dyn Host,
    spent: u64,
}

impl<T> Future for Metered<'_, T> {
    type Output = (T, u64);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.meter.before.set(self.spent);
        self.meter.since.set(self.host.now().mono);
        let polled = self.work.as_mut().poll(context);
        self.spent = self.meter.spent(self.host.now().mono);
        polled.map(|done| (done, self.spent))
    }
}

/// The windows of rates, or those of changes of metadata.
fn windows(node: &NodeFacts, kind: Kind) -> Windows {
    let kafka = &node.settings.kafka;
    let (count, seconds) = match kind {
        Kind::Mutation => (
            kafka.controller_quota_window_num,
            kafka.controller_quota_window_size_seconds,
        ),
        _ => (kafka.quota_window_num, kafka.quota_window_size_seconds),
    };
    Windows {
        count: u32::try_from(count).unwrap_or(1).max(1),
        millis: u64::try_from(seconds).unwrap_or(1).max(1) * 1_000,
    }
}

/// The windows of new connections.
#[must_use]
pub fn connection_windows(node: &NodeFacts) -> Windows {
    windows(node, Kind::Produce)
}

/// As an answer says it.
fn told(millis: u64) -> i32 {
    i32::try_from(millis).unwrap_or(i32::MAX)
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The client of a request, for as long as its frame may be gone.
pub struct Client(Option<(Rc<QuotaTable>, String)>);

impl Client {
    /// Nobody if there are no quotas.
    #[must_use]
    pub fn of<D: Disk>(core: &ShardCore<D>, request: &Request) -> Self {
        let table = core.quotas();
        Self(table.map(|table| (table, request.client_id().to_owned())))
    }

    /// Bytes that a fetch may ask for without being throttled for that alone.
    #[must_use]
    pub fn fetch_bytes_max<D: Disk>(&self, core: &ShardCore<D>) -> Option<usize> {
        let (table, id) = self.0.as_ref()?;
        let limit = table.applies(Kind::Fetch, ANONYMOUS, id)?.limit;
        let millis = windows(&core.node, Kind::Fetch).allows(limit);
        // More than a request can ask for is no bound.
        let bounded = millis.clamp(0.0, f64::from(i32::MAX));
        let bytes = std::time::Duration::try_from_secs_f64(bounded)
            .ok()?
            .as_secs();
        usize::try_from(bytes).ok()
    }

    async fn charge<D: Disk>(&self, core: &Rc<ShardCore<D>>, job: (Kind, f64), keep: bool) -> u64 {
        let Some((table, id)) = &self.0 else { return 0 };
        let (kind, value) = job;
        let Some(applies) = table.applies(kind, ANONYMOUS, id) else {
            return 0;
        };
        let whose = Whose {
            kind,
            user: applies.user.to_owned(),
            client: applies.client.to_owned(),
        };
        let home = home(&whose, core.host.shards());
        let job = ChargeJob { whose, value, keep };
        match core.ask(home, Message::Charge(Box::new(job))).await {
            Ok(Reply::Charged(millis)) => millis,
            _ => 0,
        }
    }

    /// Counts the time of the request that is worked on now.
    async fn charge_time<D: Disk>(&self, core: &Rc<ShardCore<D>>) -> u64 {
        if !self.has(Kind::Request) {
            return 0;
        }
        let spent = core.meter.spent(core.host.now().mono);
        self.charge_nanos(core, spent).await
    }

    async fn charge_nanos<D: Disk>(&self, core: &Rc<ShardCore<D>>, nanos: u64) -> u64 {
        let percent = std::time::Duration::from_nanos(nanos).as_secs_f64() * 1e9 / PERCENT_NANOS;
        self.charge(core, (Kind::Request, percent), true).await
    }

    fn has(&self, kind: Kind) -> bool {
        self.0.as_ref().is_some_and(|(table, _)| table.has(kind))
    }

    /// A produce request was worked: how long its client is throttled. One without an answer is not for its time.
    pub async fn produced<D: Disk>(
        &self,
        core: &Rc<ShardCore<D>>,
        (bytes, acks): (usize, i16),
        link: &Link,
    ) -> i32 {
        if self.0.is_none() {
            return 0;
        }
        let time = match acks {
            0 => 0,
            _ => self.charge_time(core).await,
        };
        let rate = self.charge(core, (Kind::Produce, float(bytes)), true).await;
        mute(core, link, time.max(rate))
    }

    /// A fetch found so many bytes: how long its client is throttled; then it gets none of them, and they do not
    /// count.
    pub async fn fetched<D: Disk>(
        &self,
        core: &Rc<ShardCore<D>>,
        bytes: usize,
        link: &Link,
    ) -> i32 {
        if self.0.is_none() {
            return 0;
        }
        let time = self.charge_time(core).await;
        let job = (Kind::Fetch, float(bytes));
        let rate = self.charge(core, job, time == 0).await;
        mute(core, link, time.max(rate))
    }
}

/// The connection is not read for so long.
fn mute<D: Disk>(core: &ShardCore<D>, link: &Link, millis: u64) -> i32 {
    if millis > 0 {
        let until = core
            .host
            .now()
            .mono
            .saturating_add(millis.saturating_mul(MILLI_NANOS));
        link.mute_until(until);
    }
    told(millis)
}

/// The shard that counts.
fn home(whose: &Whose, shards: u16) -> ShardId {
    let mut hasher = DefaultHasher::new();
    (&whose.user, &whose.client).hash(&mut hasher);
    let shard = hasher.finish() % u64::from(shards.max(1));
    ShardId(u16::try_from(shard).unwrap_or(0))
}

impl<D: Disk> ShardCore<D> {
    /// Counts on a counter whose home this is; milliseconds to wait.
    pub(crate) fn charge_here(&self, job: ChargeJob) -> u64 {
        let Some(table) = self.quotas() else { return 0 };
        let ChargeJob { whose, value, keep } = job;
        let Some(limit) = table.limit(whose.kind, &whose.user, &whose.client) else {
            return 0;
        };
        let charge = Charge {
            limit,
            value,
            windows: windows(&self.node, whose.kind),
            now: self.host.now().mono / MILLI_NANOS,
        };
        self.counters.borrow_mut().charge(whose, charge, keep)
    }
}

/// Changes of metadata by one request: refused while the client owes tokens, or only slowed down.
pub struct Mutations {
    whose: Option<(Whose, f64)>,
    windows: Windows,
    strict: bool,
    wait: u64,
}

impl Mutations {
    /// For a request; strict from that version on.
    #[must_use]
    pub fn of<D: Disk>(core: &ShardCore<D>, request: &Request, strict_since: i16) -> Self {
        let table = core.quotas();
        let applies = table.as_ref().and_then(|table| {
            let applies = table.applies(Kind::Mutation, ANONYMOUS, request.client_id())?;
            let whose = Whose {
                kind: Kind::Mutation,
                user: applies.user.to_owned(),
                client: applies.client.to_owned(),
            };
            Some((whose, applies.limit))
        });
        Self {
            whose: applies,
            windows: windows(&core.node, Kind::Mutation),
            strict: request.version >= strict_since,
            wait: 0,
        }
    }

    /// Counts so many partitions.
    ///
    /// # Errors
    /// The client has used up what it may.
    pub fn charge(
        &mut self,
        counters: &mut Counters,
        partitions: usize,
        now: u64,
    ) -> Result<(), Refusal> {
        let Some((whose, limit)) = &self.whose else {
            return Ok(());
        };
        let charge = Charge {
            limit: *limit,
            value: float(partitions),
            windows: self.windows,
            now: now / MILLI_NANOS,
        };
        self.wait = counters.mutate(whose.clone(), charge, self.strict);
        if self.wait > 0 && self.strict {
            let message = "The throttling quota has been exceeded.";
            return Err(Refusal::new(ErrorCode::ThrottlingQuotaExceeded, message));
        }
        Ok(())
    }

    /// How long the client is throttled.
    #[must_use]
    pub fn throttle(&self) -> i32 {
        told(self.wait)
    }
}

/// Runs a request under the quotas that there are; `work` has it done. Produce and Fetch count for themselves and
/// are only measured.
pub fn under<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
    link: &Rc<Link>,
    work: LocalFuture<Answer>,
) -> LocalFuture<Answer> {
    let client = Client::of(core, request);
    let mutates = matches!(
        request.api,
        ApiKey::CreateTopics | ApiKey::DeleteTopics | ApiKey::CreatePartitions
    );
    let limited = client.has(Kind::Request) || mutates && client.has(Kind::Mutation);
    if !limited {
        return work;
    }
    let (core, link, head, api) = (
        Rc::clone(core),
        Rc::clone(link),
        request.head(),
        request.api,
    );
    Box::pin(async move {
        let metered = Metered {
            work,
            meter: &core.meter,
            host: &*core.host,
            spent: 0,
        };
        let (answer, spent) = metered.await;
        if matches!(api, ApiKey::Produce | ApiKey::Fetch) {
            return answer;
        }
        let time = match client.has(Kind::Request) {
            true => client.charge_nanos(&core, spent).await,
            false => 0,
        };
        throttled(&core, (answer, head), &link, time)
    })
}

fn throttled<D: Disk>(
    core: &ShardCore<D>,
    (mut answer, head): (Answer, ResponseHead),
    link: &Link,
    time: u64,
) -> Answer {
    if let Answer::Respond(outgoing) = &mut answer {
        let said = thalweg_wire::throttle::read(head, outgoing.bytes()).unwrap_or(0);
        let millis = mute(core, link, time.max(u64::try_from(said).unwrap_or(0)));
        if millis > said {
            outgoing.set_throttle(head, millis);
        }
    }
    answer
}
