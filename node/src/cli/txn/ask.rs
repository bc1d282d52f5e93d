//! The questions of `thalweg txn`, each to the broker that can answer it.

use std::borrow::Cow;

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::describe_producers_request as producers;
use thalweg_wire::messages::describe_producers_response::DescribeProducersResponseView;
use thalweg_wire::messages::describe_transactions_request::DescribeTransactionsRequest;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use thalweg_wire::messages::find_coordinator_response::FindCoordinatorResponseView;
use thalweg_wire::messages::list_transactions_request::ListTransactionsRequest;
use thalweg_wire::messages::list_transactions_response::ListTransactionsResponseView;

use super::super::client::Reply;
use super::super::failure::Failure;
use super::super::routing::{Cluster, TopicPartition, is_retriable};
use super::report::{Listed, Producer};

/// The versions that ask for one id.
const FIND_COORDINATOR: (i16, i16) = (1, 3);
/// FindCoordinator's number of transactional ids.
const TRANSACTION: i8 = 1;
const LIST: (i16, i16) = (0, 1);
const DESCRIBE: (i16, i16) = (0, 0);
const PRODUCERS: (i16, i16) = (0, 0);

/// Transactional ids that all coordinators know, with these filters.
pub(super) fn transactions(
    cluster: &mut Cluster,
    states: &[String],
    producer_ids: &[i64],
) -> Result<Vec<Listed>, Failure> {
    let mut all = Vec::new();
    for broker in cluster.node_ids()? {
        let patience = cluster.patience();
        let client = cluster.node(broker)?;
        let version = client.version(ApiKey::ListTransactions, LIST)?;
        let request = ListTransactionsRequest {
            state_filters: states
                .iter()
                .map(|state| Cow::Borrowed(state.as_str()))
                .collect(),
            producer_id_filters: producer_ids.to_vec(),
            ..ListTransactionsRequest::default()
        };
        loop {
            let reply = client.ask(&request, version)?;
            let answer: ListTransactionsResponseView<'_> = reply.view()?;
            if is_retriable(answer.error_code) && patience.again() {
                continue;
            }
            if answer.error_code != 0 {
                let (doing, subject) = ("listing transactions of", client.address());
                return Err(Failure::refused(doing, subject, answer.error_code, None));
            }
            if let Some(unknown) = answer.unknown_state_filters.iter().next() {
                return Err(Failure::input(
                    format!("there is no transaction state `{unknown}`"),
                    "states are named as Kafka names them",
                    "name one such as Ongoing, PrepareCommit, CompleteAbort or Empty",
                ));
            }
            all.extend(answer.transaction_states.iter().map(|state| Listed {
                id: state.transactional_id.to_owned(),
                coordinator: broker,
                producer_id: state.producer_id,
                state: state.transaction_state.to_owned(),
            }));
            break;
        }
    }
    Ok(all)
}

/// The node that coordinates a transactional id.
pub(super) fn coordinator(cluster: &mut Cluster, id: &str) -> Result<i32, Failure> {
    let patience = cluster.patience();
    let request = FindCoordinatorRequest {
        key: Cow::Borrowed(id),
        key_type: TRANSACTION,
        ..FindCoordinatorRequest::default()
    };
    loop {
        let client = cluster.any();
        let version = client.version(ApiKey::FindCoordinator, FIND_COORDINATOR)?;
        let reply = client.ask(&request, version)?;
        let answer: FindCoordinatorResponseView<'_> = reply.view()?;
        match answer.error_code {
            0 => return Ok(answer.node_id),
            code if is_retriable(code) && patience.again() => {}
            code => {
                let doing = "looking for the coordinator of transaction";
                return Err(Failure::refused(doing, id, code, answer.error_message));
            }
        }
    }
}

/// What a coordinator says of a transactional id; again while it is loading.
pub(super) fn description(
    cluster: &mut Cluster,
    coordinator: i32,
    id: &str,
) -> Result<Reply, Failure> {
    use thalweg_wire::messages::describe_transactions_response::DescribeTransactionsResponseView as View;
    let patience = cluster.patience();
    let client = cluster.node(coordinator)?;
    let version = client.version(ApiKey::DescribeTransactions, DESCRIBE)?;
    let request = DescribeTransactionsRequest {
        transactional_ids: vec![Cow::Borrowed(id)],
    };
    loop {
        let reply = client.ask(&request, version)?;
        let answer: View<'_> = reply.view()?;
        let first = answer.transaction_states.iter().next();
        let again = first.is_some_and(|state| is_retriable(state.error_code));
        if !again || !patience.again() {
            return Ok(reply);
        }
    }
}

/// Producers with state in a partition, as its leader knows them.
pub(super) fn producers(
    cluster: &mut Cluster,
    of: &TopicPartition,
) -> Result<Vec<Producer>, Failure> {
    let patience = cluster.patience();
    loop {
        cluster.refresh(Some(std::slice::from_ref(&of.topic)))?;
        let by_leader = cluster.by_leader(std::iter::once(of));
        let leader = by_leader.keys().next().copied().flatten();
        let code = match leader {
            None => cluster.leaderless(of),
            Some(leader) => {
                let client = cluster.node(leader)?;
                let version = client.version(ApiKey::DescribeProducers, PRODUCERS)?;
                let reply = client.ask(&question(of), version)?;
                let answer: DescribeProducersResponseView<'_> = reply.view()?;
                let topic = answer.topics.iter().next();
                let part = topic.and_then(|topic| topic.partitions.iter().next());
                let Some(part) = part else {
                    return Err(Failure::protocol(
                        client.address(),
                        "no partition in the answer",
                    ));
                };
                if part.error_code == 0 {
                    return Ok(part.active_producers.iter().map(Producer::of).collect());
                }
                part.error_code
            }
        };
        if !is_retriable(code) || !patience.again() {
            let subject = of.to_string();
            return Err(Failure::refused(
                "describing producers of",
                &subject,
                code,
                None,
            ));
        }
    }
}

fn question(of: &TopicPartition) -> producers::DescribeProducersRequest<'_> {
    producers::DescribeProducersRequest {
        topics: vec![producers::TopicRequest {
            name: Cow::Borrowed(&of.topic),
            partition_indexes: vec![of.partition],
        }],
    }
}
