//! What a part runs: the state machine of one partition of an internal topic.
//!
//! Groups and transactions differ in what they are asked and what they write; how their questions are queued,
//! their records appended, their answers held back until those are durable, and how they are loaded, is the
//! same, and is in `part.rs`, `run.rs` and `load.rs`.

use std::rc::Rc;

use thalweg_coordinator::groups::shard::GroupShard;
use thalweg_coordinator::groups::step::{
    Answer, InTransaction, Marker, Record, Reply, Scene, Step, Token,
};
use thalweg_coordinator::groups::time::{Moment, Steady};
use thalweg_storage::disk::Disk;
use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Offset, ProducerId};

use super::ask::{Ask, step};
use super::part::Part;
use super::run::moment;
use super::settings::group_config;
use super::table::Table;
use crate::runtime::start::new_id;
use crate::shard::core::ShardCore;

/// What an event comes to.
pub enum Worked<S> {
    /// A step.
    Step(S),
    /// Nothing.
    Nothing,
    /// It could not be worked; who asked is told so.
    Failed(Token),
}

/// What a step writes.
pub enum Write<'a> {
    /// Nothing.
    Nothing,
    /// These records, as one batch.
    Records(&'a [Record], Option<InTransaction>),
    /// A marker.
    Marker(Marker),
}

/// A record that the machine can't read, in words.
pub type Unreadable = String;

/// See the module's head. The order of calls is that of `thalweg_coordinator::groups`.
pub trait Machine: Sized + 'static {
    /// An event.
    type Ask: 'static;
    /// An answer.
    type Answer: 'static;
    /// What an event comes to.
    type Step: 'static;
    /// What the log calls it.
    const NAME: &'static str;

    /// The shard's parts of this kind.
    fn table<D: Disk>(core: &ShardCore<D>) -> &Rc<Table<Self>>;

    /// A machine before its first record.
    fn empty<D: Disk>(core: &ShardCore<D>) -> Self;

    /// Applies a record.
    ///
    /// # Errors
    /// Why it can't be read.
    fn replay(
        &mut self,
        at: Offset,
        producer: ProducerId,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Unreadable>;

    /// Applies a marker.
    fn end_transaction(&mut self, producer: ProducerId, commit: bool);

    /// All records below `end` were applied.
    fn loaded<D: Disk>(&mut self, core: &ShardCore<D>, end: Offset);

    /// The next deadline.
    fn next_due(&self) -> Option<Steady>;

    /// Does what is due.
    fn tick(&mut self, now: Moment) -> Option<Self::Step>;

    /// Works an event.
    fn work(&mut self, ask: Self::Ask, scene: Scene<'_>) -> Worked<Self::Step>;

    /// What a step writes.
    fn writes(step: &Self::Step) -> Write<'_>;

    /// The log took what the step writes.
    fn accepted(&mut self, step: Self::Step, base: Offset, now: Moment)
    -> Vec<Reply<Self::Answer>>;

    /// The log refused it.
    fn refused(
        &mut self,
        step: Self::Step,
        code: ErrorCode,
        now: Moment,
    ) -> Vec<Reply<Self::Answer>>;

    /// The machine stops.
    fn unload(self) -> Vec<Reply<Self::Answer>>;

    /// The same answer when it can't be given.
    fn refuse(answer: Self::Answer, code: ErrorCode) -> Self::Answer;

    /// Whether an event changes nothing that others depend on, and must not wait.
    fn is_beat(_ask: &Self::Ask) -> bool {
        false
    }

    /// Works such an event.
    fn beat(&mut self, _ask: Self::Ask, _scene: Scene<'_>) -> Vec<Reply<Self::Answer>> {
        Vec::new()
    }

    /// Everything below `visible` is committed.
    fn seen<D: Disk>(_core: &Rc<ShardCore<D>>, _part: &Rc<Part<Self>>, _visible: Offset) {}
}

impl Machine for GroupShard {
    type Ask = Ask;
    type Answer = Answer;
    type Step = Step;
    const NAME: &'static str = "groups";

    fn table<D: Disk>(core: &ShardCore<D>) -> &Rc<Table<Self>> {
        &core.groups
    }

    fn empty<D: Disk>(core: &ShardCore<D>) -> Self {
        let config = group_config(&core.node.broker_configs, &core.image());
        let host = Rc::clone(&core.host);
        let ids = Box::new(move || new_id(&mut |bytes| host.random(bytes)));
        Self::new(config, ids)
    }

    fn replay(
        &mut self,
        at: Offset,
        producer: ProducerId,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Unreadable> {
        Self::replay(self, at, producer, key, value).map_err(|cause| cause.to_string())
    }

    fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        Self::end_transaction(self, producer, commit);
    }

    fn loaded<D: Disk>(&mut self, core: &ShardCore<D>, end: Offset) {
        let image = core.image();
        // It may have changed while records were read.
        self.configure(group_config(&core.node.broker_configs, &image));
        let now = moment(core.host.now());
        let image = &image;
        Self::loaded(self, end, Scene { now, image });
    }

    fn next_due(&self) -> Option<Steady> {
        Self::next_due(self)
    }

    fn tick(&mut self, now: Moment) -> Option<Step> {
        Self::tick(self, now)
    }

    fn work(&mut self, ask: Ask, scene: Scene<'_>) -> Worked<Step> {
        match ask {
            Ask::TopicsDeleted(topics) => {
                let topics = topics.iter().map(|(id, name)| (*id, name.as_str()));
                self.topics_deleted(&topics.collect::<Vec<_>>(), scene.now);
                Self::tick(self, scene.now).map_or(Worked::Nothing, Worked::Step)
            }
            Ask::Marker { token, marker } => Worked::Step(self.mark(token, marker)),
            Ask::Request {
                token,
                request,
                groups,
                guard,
            } => {
                let asked = (token, &*request, &*groups, guard);
                step(self, asked, scene).map_or(Worked::Failed(token), Worked::Step)
            }
        }
    }

    fn writes(step: &Step) -> Write<'_> {
        match (step.marker(), step.records()) {
            (Some(marker), _) => Write::Marker(marker),
            (None, []) => Write::Nothing,
            (None, records) => Write::Records(records, step.transaction()),
        }
    }

    fn accepted(&mut self, step: Step, base: Offset, now: Moment) -> Vec<Reply> {
        Self::accepted(self, step, base, now)
    }

    fn refused(&mut self, step: Step, code: ErrorCode, now: Moment) -> Vec<Reply> {
        Self::refused(self, step, code, now)
    }

    fn unload(self) -> Vec<Reply> {
        Self::unload(self)
    }

    fn refuse(answer: Answer, code: ErrorCode) -> Answer {
        answer.refused(code)
    }

    fn is_beat(ask: &Ask) -> bool {
        matches!(ask, Ask::Request { request, .. } if request.api == ApiKey::Heartbeat)
    }

    fn beat(&mut self, ask: Ask, scene: Scene<'_>) -> Vec<Reply> {
        let Worked::Step(step) = self.work(ask, scene) else {
            return Vec::new();
        };
        self.beaten(step)
    }
}
