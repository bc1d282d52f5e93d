//! The transactional ids of one partition of `__transaction_state`: the face that the node sees.
//!
//! The module's head says in which order the calls come. What each question does is in the files named after it.
//!
//! Invariants: `replay` alone changes what is logged of an id; a marker job is given once per load, and only when
//! its decision is below the high watermark it is asked with; an id's epoch never falls but with a new producer.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use thalweg_wire::ids::{Offset, ProducerEpoch, TimestampMs};

use super::config::{TOMBSTONES_PER_STEP, TxnConfig};
use super::record::{ReplayError, read, record};
use super::state::{RAISES_EPOCH, Txn, TxnState};
use super::step::{Answer, Ask, MarkerJob, Reply, Step};
use crate::error::ErrorCode;
use crate::groups::shard::coordinator_code;
use crate::groups::step::Token;
use crate::groups::time::{Moment, Steady};

/// The longest transactional id that a record can hold.
const ID_BYTES_MAX: usize = i16::MAX as usize;

/// One id: what its record says, and what no record holds.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) txn: Txn,
    /// The epoch before the last that was given out, so that a repeated InitProducerId is known.
    pub(super) last_epoch: ProducerEpoch,
}

/// The transactional ids of one partition.
pub struct TxnShard {
    pub(super) config: TxnConfig,
    pub(super) ids: BTreeMap<Arc<str>, Slot>,
    /// Decided transactions whose markers were not asked for yet, each with the log's end after its decision.
    decided: VecDeque<(Offset, Arc<str>)>,
    /// Ids that a timer has chosen: to be aborted, to be forgotten.
    overdue: VecDeque<Arc<str>>,
    expired: VecDeque<Arc<str>>,
    abort_due: Steady,
    expiry_due: Steady,
    log_end: Offset,
}

impl fmt::Debug for TxnShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxnShard")
            .field("log_end", &self.log_end)
            .field("ids", &self.ids.len())
            .finish_non_exhaustive()
    }
}

/// The life of a shard.
impl TxnShard {
    /// A shard that knows no ids yet.
    #[must_use]
    pub fn new(config: TxnConfig) -> Self {
        Self {
            config,
            ids: BTreeMap::new(),
            decided: VecDeque::new(),
            overdue: VecDeque::new(),
            expired: VecDeque::new(),
            abort_due: Steady(0),
            expiry_due: Steady(0),
            log_end: Offset(0),
        }
    }

    /// Applies a record, in the order of the log.
    ///
    /// # Errors
    /// A record that cannot be read; nothing has changed.
    pub fn replay(
        &mut self,
        at: Offset,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), ReplayError> {
        match read(key, value)? {
            Some((id, Some(txn))) => match self.ids.get_mut(id) {
                Some(slot) => slot.txn = txn,
                None => {
                    let slot = Slot {
                        txn,
                        last_epoch: ProducerEpoch::NONE,
                    };
                    self.ids.insert(id.into(), slot);
                }
            },
            Some((id, None)) => {
                self.ids.remove(id);
            }
            None => {}
        }
        self.log_end = at.plus(1);
        Ok(())
    }

    /// Everything below the high watermark has been replayed: what was decided is carried on.
    pub fn loaded(&mut self, end: Offset, now: Moment) {
        self.log_end = end;
        let prepared = self.ids.iter().filter(|(_, s)| s.txn.state.is_prepared());
        self.decided = prepared.map(|(id, _)| (end, id.clone())).collect();
        self.abort_due = now.steady.after(self.config.abort_interval_ms);
        self.expiry_due = now.steady.after(self.config.expiry_interval_ms);
    }

    /// The configuration has changed.
    pub fn configure(&mut self, config: TxnConfig) {
        self.config = config;
    }

    /// Works a question.
    pub fn ask(&mut self, token: Token, ask: &Ask, now: TimestampMs) -> Step {
        let answer = match ask {
            Ask::Init {
                id,
                timeout_ms,
                expected,
                fresh,
            } => self.init((id, *timeout_ms), *expected, *fresh, now),
            Ask::Add {
                who,
                partitions,
                version,
            } => self.add(who, partitions, *version, now),
            Ask::Verify { who, partitions } => {
                return answered(token, self.verify(who, partitions));
            }
            Ask::End {
                who,
                commit,
                version,
                fresh,
            } => self.end(who, (*commit, *version), *fresh, now),
            Ask::Marked {
                id,
                producer,
                epoch,
            } => return self.marked(token, id, (*producer, *epoch), now),
            Ask::Describe(ids) => return answered(token, self.describe(ids)),
            Ask::List(filter) => return answered(token, self.list(filter, now)),
        };
        match answer {
            Worked::Answer(answer) => answered(token, answer),
            Worked::Change(change) => self.propose(*change, Some(token)),
        }
    }

    /// The log has taken the step's records, the first of them at `base` (which does not matter without any).
    ///
    /// # Panics
    /// If a record of our own making cannot be read.
    #[must_use]
    pub fn accepted(&mut self, step: Step, base: Offset) -> Vec<Reply> {
        let mut at = base;
        for record in &step.records {
            self.replay(at, &record.key, record.value.as_deref())
                .expect("a record of our own making can be read");
            at = at.plus(1);
        }
        if let Some((id, epoch)) = step.last_epoch
            && let Some(slot) = self.ids.get_mut(&id)
        {
            slot.last_epoch = epoch;
            if slot.txn.state.is_prepared() {
                self.decided.push_back((self.log_end, id));
            }
        }
        self.reply(step.reply)
    }

    /// The log has refused the step's records, and none of them will ever be in it.
    #[must_use]
    pub fn refused(&mut self, step: Step, code: ErrorCode) -> Vec<Reply> {
        let code = coordinator_code(code);
        self.reply(step.reply.map(|(to, answer)| (to, answer.refused(code))))
    }

    /// Every answer waits for what is logged: nothing is shown that a crash could take back.
    fn reply(&self, reply: Option<(Token, Answer)>) -> Vec<Reply> {
        let reply = reply.map(|(to, answer)| Reply {
            to,
            answer,
            after: self.log_end,
        });
        reply.into_iter().collect()
    }

    /// Markers to be written now that everything below `visible` is committed.
    pub fn markers(&mut self, visible: Offset) -> Vec<MarkerJob> {
        let mut jobs = Vec::new();
        while let Some((_, id)) = self.decided.pop_front_if(|(after, _)| *after <= visible) {
            let Some(slot) = self.ids.get(&id) else {
                continue;
            };
            let txn = &slot.txn;
            if !txn.state.is_prepared() {
                continue;
            }
            jobs.push(MarkerJob {
                id,
                producer: txn.producer,
                epoch: txn.epoch,
                commit: txn.commits(),
                raises_epoch: txn.version >= RAISES_EPOCH,
                partitions: txn.partitions.iter().cloned().collect(),
            });
        }
        jobs
    }

    /// When [`Self::tick`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<Steady> {
        let at_once = !self.overdue.is_empty() || !self.expired.is_empty();
        let due = self.abort_due.0.min(self.expiry_due.0);
        Some(if at_once {
            Steady(i64::MIN)
        } else {
            Steady(due)
        })
    }

    /// Does the next thing that is due; to be called until it gives nothing.
    pub fn tick(&mut self, now: Moment) -> Option<Step> {
        if self.abort_due <= now.steady {
            self.abort_due = now.steady.after(self.config.abort_interval_ms.max(1));
            self.overdue = self.chosen(|txn| {
                let ends = txn.started.0.saturating_add(i64::from(txn.timeout_ms));
                txn.state == TxnState::Ongoing && ends < now.wall.0
            });
        }
        if self.expiry_due <= now.steady {
            self.expiry_due = now.steady.after(self.config.expiry_interval_ms.max(1));
            self.expired = self.chosen(|txn| self.is_expired(txn, now.wall));
        }
        if let Some(id) = self.overdue.pop_front() {
            return Some(self.abort_overdue(&id, now.wall));
        }
        let mut step = Step::default();
        while step.records.len() < TOMBSTONES_PER_STEP
            && let Some(id) = self.expired.pop_front()
        {
            let txn = self.ids.get(&id).map(|slot| &slot.txn);
            if txn.is_some_and(|txn| self.is_expired(txn, now.wall)) {
                let tombstone = record(&id, None, self.config.level);
                step.records.push(tombstone.expect("an id that was read"));
            }
        }
        (!step.records.is_empty()).then_some(step)
    }

    fn chosen(&self, wanted: impl Fn(&Txn) -> bool) -> VecDeque<Arc<str>> {
        let wanted = self.ids.iter().filter(|(_, slot)| wanted(&slot.txn));
        wanted.map(|(id, _)| id.clone()).collect()
    }

    fn is_expired(&self, txn: &Txn, now: TimestampMs) -> bool {
        let horizon = now.0.saturating_sub(self.config.id_expiration_ms);
        txn.state.may_expire() && txn.updated.0 <= horizon
    }

    /// What the records say of an id.
    #[must_use]
    pub fn txn(&self, id: &str) -> Option<&Txn> {
        self.ids.get(id).map(|slot| &slot.txn)
    }

    /// All ids, in order.
    pub fn txns(&self) -> impl Iterator<Item = (&str, &Txn)> {
        self.ids.iter().map(|(id, slot)| (&**id, &slot.txn))
    }
}

/// Inside.
impl TxnShard {
    /// The step that writes an id's next state.
    pub(super) fn propose(&self, change: Change, token: Option<Token>) -> Step {
        let reply = |answer| token.map(|token| (token, answer));
        let Ok(record) = record(&change.id, Some(&change.txn), self.config.level) else {
            let refused = change.answer.refused(ErrorCode::InvalidRequest);
            return Step {
                reply: reply(refused),
                ..Step::default()
            };
        };
        let known = self.ids.get_key_value(&*change.id);
        let id = known.map_or_else(|| Arc::from(&*change.id), |(id, _)| id.clone());
        Step {
            records: vec![record],
            reply: reply(change.answer),
            last_epoch: Some((id, change.last_epoch)),
        }
    }
}

/// What a question comes to.
pub(super) enum Worked {
    /// An answer, and nothing changes.
    Answer(Answer),
    /// An id's next state.
    Change(Box<Change>),
}

/// An id's next state, and the answer once it is logged.
pub(super) struct Change {
    pub(super) id: String,
    pub(super) txn: Txn,
    pub(super) last_epoch: ProducerEpoch,
    pub(super) answer: Answer,
}

pub(super) fn answered(token: Token, answer: Answer) -> Step {
    Step {
        reply: Some((token, answer)),
        ..Step::default()
    }
}

/// Whether an id can be one at all.
pub(super) fn check_id(id: &str) -> Result<(), ErrorCode> {
    match id.is_empty() || id.len() > ID_BYTES_MAX {
        true => Err(ErrorCode::InvalidRequest),
        false => Ok(()),
    }
}
