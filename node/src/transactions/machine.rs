//! The transactional ids of a partition as a part runs them.

use std::rc::Rc;

use thalweg_coordinator::groups::step::{Reply, Scene, Token};
use thalweg_coordinator::groups::time::{Moment, Steady};
use thalweg_coordinator::transactions::shard::TxnShard;
use thalweg_coordinator::transactions::step::{Answer, Ask, Step};
use thalweg_storage::disk::Disk;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Offset, ProducerId};

use super::markers::deliver;
use super::settings::txn_config;
use crate::groups::machine::{Machine, Unreadable, Worked, Write};
use crate::groups::part::Part;
use crate::groups::run::moment;
use crate::groups::table::Table;
use crate::shard::core::ShardCore;
use crate::shard::host::Queue;

/// The transactional ids of one shard.
pub type TxnTable = Table<TxnShard>;

/// A question and who waits for its answer.
pub struct TxnAsk {
    /// Names it until it is answered.
    pub token: Token,
    /// The question.
    pub ask: Ask,
}

impl Machine for TxnShard {
    type Ask = TxnAsk;
    type Answer = Answer;
    type Step = Step;
    const NAME: &'static str = "transactions";

    fn table<D: Disk>(core: &ShardCore<D>) -> &Rc<TxnTable> {
        &core.txns
    }

    fn empty<D: Disk>(core: &ShardCore<D>) -> Self {
        Self::new(txn_config(&core.node.broker_configs, &core.image()))
    }

    fn replay(
        &mut self,
        at: Offset,
        _producer: ProducerId,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Unreadable> {
        Self::replay(self, at, key, value).map_err(|cause| cause.to_string())
    }

    /// Nobody writes to this log within a transaction.
    fn end_transaction(&mut self, _producer: ProducerId, _commit: bool) {}

    fn loaded<D: Disk>(&mut self, core: &ShardCore<D>, end: Offset) {
        self.configure(txn_config(&core.node.broker_configs, &core.image()));
        Self::loaded(self, end, moment(core.host.now()));
    }

    fn next_due(&self) -> Option<Steady> {
        Self::next_due(self)
    }

    fn tick(&mut self, now: Moment) -> Option<Step> {
        Self::tick(self, now)
    }

    fn work(&mut self, ask: TxnAsk, scene: Scene<'_>) -> Worked<Step> {
        Worked::Step(self.ask(ask.token, &ask.ask, scene.now.wall))
    }

    fn writes(step: &Step) -> Write<'_> {
        match step.records() {
            [] => Write::Nothing,
            records => Write::Records(records, None),
        }
    }

    fn accepted(&mut self, step: Step, base: Offset, _now: Moment) -> Vec<Reply<Answer>> {
        Self::accepted(self, step, base)
    }

    fn refused(&mut self, step: Step, code: ErrorCode, _now: Moment) -> Vec<Reply<Answer>> {
        Self::refused(self, step, code)
    }

    /// Who waits is told by the part.
    fn unload(self) -> Vec<Reply<Answer>> {
        Vec::new()
    }

    fn refuse(answer: Answer, code: ErrorCode) -> Answer {
        answer.refused(code)
    }

    fn seen<D: Disk>(core: &Rc<ShardCore<D>>, part: &Rc<Part<Self>>, visible: Offset) {
        let jobs = part.change(|shard| shard.markers(visible));
        for job in jobs.into_iter().flatten() {
            let task = deliver(Rc::clone(core), Rc::clone(part), job);
            core.host.spawn(Queue::Network, Box::pin(task));
        }
    }
}
