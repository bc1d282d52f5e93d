//! Rows of an answer that shards fill: each asks one question about one partition.
//!
//! An answer is built topic by topic and row by row; rows that need a shard's word leave their
//! question and their place here, all questions go out together, one message per shard, and each
//! answer comes back with its place. Deliberately absent: what a row looks like (the handlers).

use std::collections::BTreeMap;
use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_storage::error::StoreError;
use thalweg_wire::ids::{PartitionId, ShardId};

use super::core::ShardCore;
use super::host::Gone;
use super::mailbox::{Fault, Message, Query, QueryAnswer, Reply};

/// A row: its topic's index in the answer, and its own in the topic.
pub type Place = (usize, usize);

/// The questions of one request.
#[derive(Debug, Default)]
pub struct Questions {
    list: Vec<(PartitionId, Query)>,
    places: Vec<Place>,
}

impl Questions {
    /// The row at `place` asks `query` about a partition.
    pub fn ask(&mut self, place: Place, partition: PartitionId, query: Query) {
        self.list.push((partition, query));
        self.places.push(place);
    }
}

impl<D: Disk> ShardCore<D> {
    /// Asks everything and hands each answer to `fill`, with the place of the row it is for.
    pub async fn fill(
        self: &Rc<Self>,
        questions: Questions,
        mut fill: impl FnMut(Place, Result<QueryAnswer, Fault>),
    ) {
        let answers = self.query(questions.list).await;
        for (place, answer) in questions.places.into_iter().zip(answers) {
            fill(place, answer);
        }
    }

    /// Asks about partitions wherever they are: one message per shard, answers in order.
    pub async fn query(
        self: &Rc<Self>,
        questions: Vec<(PartitionId, Query)>,
    ) -> Vec<Result<QueryAnswer, Fault>> {
        let mut by_shard: BTreeMap<ShardId, Vec<usize>> = BTreeMap::new();
        for (at, (partition, _)) in questions.iter().enumerate() {
            by_shard.entry(self.owner(*partition)).or_default().push(at);
        }
        let mut answers: Vec<_> = questions.iter().map(|_| Err(Fault::from(Gone))).collect();
        for (shard, places) in by_shard {
            let list = places
                .iter()
                .filter_map(|at| questions.get(*at).copied())
                .collect();
            if let Ok(Reply::Queried(list)) = self.ask(shard, Message::Query(list)).await {
                for (at, answer) in places.into_iter().zip(list) {
                    if let Some(slot) = answers.get_mut(at) {
                        *slot = answer;
                    }
                }
            }
        }
        answers
    }

    /// Answers questions about partitions of this shard.
    pub async fn query_here(
        &self,
        questions: Vec<(PartitionId, Query)>,
    ) -> Vec<Result<QueryAnswer, Fault>> {
        let mut answers = Vec::with_capacity(questions.len());
        for (partition, question) in questions {
            answers.push(self.answer(partition, question).await);
        }
        answers
    }

    async fn answer(&self, id: PartitionId, question: Query) -> Result<QueryAnswer, Fault> {
        let unknown = || Fault::from(StoreError::UnknownPartition(id));
        match question {
            Query::View => {
                let view = self.store.partition(id).ok_or_else(unknown)?;
                Ok(QueryAnswer::View(view))
            }
            Query::Offset(query, isolation) => {
                let found = self
                    .store
                    .offset_for_timestamp(id, query, isolation)
                    .await?;
                Ok(QueryAnswer::Offset(found))
            }
            Query::EpochEnd(epoch) => {
                let end = self
                    .store
                    .end_offset_for_epoch(id, epoch)
                    .ok_or_else(unknown)?;
                Ok(QueryAnswer::EpochEnd(end))
            }
            Query::Verify(batch) => {
                let now = self.host.now().wall;
                let guard = self.store.begin_verification(id, batch, now);
                Ok(QueryAnswer::Verify(guard.ok_or_else(unknown)?))
            }
            Query::Producers => {
                let producers = self.store.active_producers(id).ok_or_else(unknown)?;
                Ok(QueryAnswer::Producers(producers))
            }
            Query::DeleteRecords(offset) => {
                let start = self.store.delete_records(id, offset).await?;
                Ok(QueryAnswer::LogStart(start))
            }
        }
    }
}
