//! What goes into a [`super::shard::TxnShard`] and what comes out.
//!
//! A step belongs to the shard that made it and must come back to it, by `accepted` or `refused`, before anything
//! else is asked of that shard.

use std::sync::Arc;

use thalweg_wire::ids::{ProducerEpoch, ProducerId};
use thalweg_wire::messages::describe_transactions_response::TransactionState as Described;
use thalweg_wire::messages::list_transactions_response::TransactionState as Listed;

use super::state::TxnPartition;
use crate::error::ErrorCode;
use crate::groups::step::{Record, Token};

/// A producer, as it says who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its transactional id.
    pub id: String,
    /// Its producer id.
    pub producer: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// What a shard is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// A producer of this id begins; whoever was it before is fenced.
    Init {
        /// The transactional id.
        id: String,
        /// How long its transactions may take.
        timeout_ms: i32,
        /// Who it was, if it goes on rather than begins.
        expected: Option<(ProducerId, ProducerEpoch)>,
        /// A producer id nobody has, if the last answer was [`Answer::NeedsId`].
        fresh: Option<ProducerId>,
    },
    /// Partitions become part of the transaction.
    Add {
        /// Who asks.
        who: Identity,
        /// The partitions.
        partitions: Vec<TxnPartition>,
        /// The client's transaction version.
        version: i16,
    },
    /// Are these partitions part of the transaction?
    Verify {
        /// Who asks.
        who: Identity,
        /// The partitions.
        partitions: Vec<TxnPartition>,
    },
    /// The transaction ends.
    End {
        /// Who asks.
        who: Identity,
        /// Commit, or abort.
        commit: bool,
        /// The client's transaction version.
        version: i16,
        /// As in [`Ask::Init`].
        fresh: Option<ProducerId>,
    },
    /// All markers of a job are written.
    Marked {
        /// The transactional id.
        id: Arc<str>,
        /// The producer, as the job named it.
        producer: ProducerId,
        /// Its epoch.
        epoch: ProducerEpoch,
    },
    /// What is known of these ids?
    Describe(Vec<String>),
    /// Which ids are there?
    List(Filter),
}

/// Which ids are listed; an empty list takes all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Names of states.
    pub states: Vec<String>,
    /// Producer ids.
    pub producers: Vec<i64>,
    /// Only transactions that run for longer; below 0 for all.
    pub duration_ms: i64,
}

/// What a shard answers.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// A new producer id is needed: ask again with one.
    NeedsId,
    /// To [`Ask::Init`] and [`Ask::End`]: who the producer is from now on.
    Producer(Result<(ProducerId, ProducerEpoch), ErrorCode>),
    /// To [`Ask::Add`].
    Added(ErrorCode),
    /// To [`Ask::Verify`], in the order asked.
    Verified(Vec<ErrorCode>),
    /// To [`Ask::Describe`].
    Described(Vec<Described<'static>>),
    /// To [`Ask::List`].
    Listed(Vec<Listed<'static>>),
}

impl Answer {
    /// The same answer when the log has refused what it depends on.
    #[must_use]
    pub fn refused(self, code: ErrorCode) -> Self {
        match self {
            Self::Producer(_) => Self::Producer(Err(code)),
            Self::Added(_) => Self::Added(code),
            Self::Verified(codes) => Self::Verified(codes.iter().map(|_| code).collect()),
            Self::Described(rows) => Self::Described(refused_rows(rows, code)),
            same @ (Self::NeedsId | Self::Listed(_)) => same,
        }
    }
}

fn refused_rows(rows: Vec<Described<'static>>, code: ErrorCode) -> Vec<Described<'static>> {
    let refused = rows.into_iter().map(|row| Described {
        transactional_id: row.transactional_id,
        error_code: code as i16,
        ..Described::default()
    });
    refused.collect()
}

/// What a question or a deadline comes to: records to be appended as one batch, and what follows from that.
#[must_use = "a step belongs to `accepted` or `refused`"]
#[derive(Debug, Default)]
pub struct Step {
    pub(super) records: Vec<Record>,
    pub(super) reply: Option<(Token, Answer)>,
    /// The id that the record is of, and the epoch that its producer had before.
    pub(super) last_epoch: Option<(Arc<str>, ProducerEpoch)>,
}

impl Step {
    /// What is to be appended, in order, as one batch. May be empty.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// An answer to be given as soon as the high watermark has reached what it waits for.
pub type Reply = crate::groups::step::Reply<Answer>;

/// Markers to be written; [`Ask::Marked`] tells when all are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkerJob {
    /// The transactional id.
    pub id: Arc<str>,
    /// The producer.
    pub producer: ProducerId,
    /// The epoch that the markers carry.
    pub epoch: ProducerEpoch,
    /// Commit, or abort.
    pub commit: bool,
    /// Whether the epoch was raised for the markers.
    pub raises_epoch: bool,
    /// Where they go.
    pub partitions: Vec<TxnPartition>,
}
