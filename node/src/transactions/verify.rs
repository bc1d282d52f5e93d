//! Before a batch begins a transaction in a partition, the transaction's coordinator is asked (KIP-890).
//!
//! First the partition: if the producer's transaction is open there, nobody else needs to be asked. Otherwise it
//! gives a guard, the coordinator adds the partition (transaction version 2) or says whether the client has
//! (before), and the batch is appended with the guard. While the transaction before is being completed, the
//! coordinator is asked again for a while, as in Kafka, since the client would only do the same from further away.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thalweg_coordinator::transactions::state::TxnPartition;
use thalweg_coordinator::transactions::step::{Answer, Ask, Identity};
use thalweg_storage::disk::Disk;
use thalweg_storage::log::Verification;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{PartitionId, Sequence};

use super::route;
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{AppendPart, Fault, Query, QueryAnswer};

/// The first version of Produce for transaction version 2.
const ADDS: i16 = 12;
/// The first version of Produce that knows TRANSACTION_ABORTABLE.
const ABORTABLE: i16 = 11;

/// `add.partitions.to.txn.retry.backoff.max.ms`: for how long the coordinator is asked again.
const RETRY_MS: u64 = 100;
/// Kafka's default is 20; an end of a transaction takes two rounds of the journal here.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// What the client's version of Produce or TxnOffsetCommit allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The partition is added (transaction version 2).
    Add,
    /// The client has added it; it knows TRANSACTION_ABORTABLE.
    Verify,
    /// The client has added it.
    VerifyPlain,
}

/// One batch that may begin a transaction in its partition.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The partition.
    pub partition: PartitionId,
    /// By its topic's name.
    pub named: TxnPartition,
    /// The batch's first sequence.
    pub sequence: Sequence,
}

/// What each transactional batch of a produce request of that version, in order, is to be appended with. All are
/// of one producer, or none is appended.
pub async fn verify_batches<'a, D: Disk>(
    core: &Rc<ShardCore<D>>,
    (id, version): (&str, i16),
    parts: impl Iterator<Item = &'a AppendPart>,
) -> Vec<Result<Verification, Fault>> {
    let image = core.image();
    let mut who: Option<Identity> = None;
    let mut mixed = false;
    let mut candidates = Vec::new();
    for part in parts.filter(|part| part.summary.is_transactional()) {
        let identity = Identity {
            id: id.to_owned(),
            producer: part.summary.producer_id,
            epoch: part.summary.producer_epoch,
        };
        mixed |= who.as_ref().is_some_and(|who| *who != identity);
        who = Some(identity);
        let topic = image.topics.get(part.partition.topic);
        let name = topic.map_or_else(|| "".into(), |topic| (&*topic.name).into());
        candidates.push(Candidate {
            partition: part.partition,
            named: (name, part.partition.index.0),
            sequence: part.summary.base_sequence,
        });
    }
    let Some(who) = who else {
        return Vec::new();
    };
    if mixed {
        let words = "Transactional records contained more than one producer ID";
        let fault = Fault::new(ErrorCode::InvalidProducerIdMapping, words);
        return candidates.iter().map(|_| Err(fault.clone())).collect();
    }
    let way = match version {
        ADDS.. => Way::Add,
        ABORTABLE => Way::Verify,
        _ => Way::VerifyPlain,
    };
    verify(core, &who, way, &candidates).await
}

/// What each batch, in order, is to be appended with.
pub async fn verify<D: Disk>(
    core: &Rc<ShardCore<D>>,
    who: &Identity,
    way: Way,
    candidates: &[Candidate],
) -> Vec<Result<Verification, Fault>> {
    let questions = candidates.iter().map(|one| {
        let batch = (who.producer, who.epoch, one.sequence);
        (one.partition, Query::Verify(batch))
    });
    let found = core.query(questions.collect()).await;
    let mut results = Vec::with_capacity(candidates.len());
    let mut asked: Vec<TxnPartition> = Vec::new();
    for (one, found) in candidates.iter().zip(found) {
        results.push(match found {
            Ok(QueryAnswer::Verify(None)) => Ok(Verification::Missing),
            Ok(QueryAnswer::Verify(Some(guard))) => {
                asked.push((Arc::clone(&one.named.0), one.named.1));
                Ok(Verification::Guard(guard))
            }
            Ok(_) => Err(Fault::new(ErrorCode::UnknownServerError, "a wrong answer")),
            Err(fault) => Err(fault),
        });
    }
    if asked.is_empty() {
        return results;
    }
    let mut codes = ask(core, who, way, asked).await.into_iter();
    for result in &mut results {
        if matches!(result, Ok(Verification::Guard(_))) {
            let code = codes.next().unwrap_or(ErrorCode::NotCoordinator);
            if code != ErrorCode::None {
                *result = Err(refusal(code, way));
            }
        }
    }
    results
}

async fn ask<D: Disk>(
    core: &Rc<ShardCore<D>>,
    who: &Identity,
    way: Way,
    partitions: Vec<TxnPartition>,
) -> Vec<ErrorCode> {
    let count = partitions.len();
    let question = match way {
        Way::Add => Ask::Add {
            who: who.clone(),
            partitions,
            version: 2,
        },
        Way::Verify | Way::VerifyPlain => Ask::Verify {
            who: who.clone(),
            partitions,
        },
    };
    let until = core.host.now().mono + RETRY_MS * 1_000_000;
    loop {
        let code = match route::ask(core, &who.id, question.clone()).await {
            Ok(Answer::Added(code)) => code,
            Ok(Answer::Verified(codes)) => return codes,
            Ok(_) => ErrorCode::UnknownServerError,
            Err(code) => code,
        };
        let again = way == Way::Add && code == ErrorCode::ConcurrentTransactions;
        if !again || core.host.now().mono >= until {
            return vec![code; count];
        }
        core.host.sleep(RETRY_PAUSE).await;
    }
}

/// What the producer is told. Clients of old don't try again after every error that says so.
fn refusal(code: ErrorCode, way: Way) -> Fault {
    match code {
        ErrorCode::ProducerFenced => Fault::new(
            ErrorCode::InvalidProducerEpoch,
            "a newer producer has this transactional id",
        ),
        ErrorCode::TransactionAbortable if way == Way::VerifyPlain => not_added(),
        ErrorCode::InvalidTxnState => not_added(),
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => {
            let words = format!(
                "Unable to verify the partition has been added to the transaction. \
                 Underlying error: {code:?}"
            );
            Fault::new(ErrorCode::NotEnoughReplicas, words)
        }
        other => Fault::new(other, "the transaction's coordinator refused the partition"),
    }
}

fn not_added() -> Fault {
    Fault::new(
        ErrorCode::InvalidTxnState,
        "Partition was not added to the transaction",
    )
}
