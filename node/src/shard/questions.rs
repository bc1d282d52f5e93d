//! Rows of an answer that shards fill: each asks one question about one partition.
//!
//! An answer is built topic by topic and row by row; rows that need a shard's word leave their
//! question and their place here, all questions go out together, one message per shard, and each
//! answer comes back with its place. Deliberately absent: what a row looks like (the handlers).

use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_wire::ids::PartitionId;

use super::core::ShardCore;
use super::mailbox::{Fault, Query, QueryAnswer};

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
}
