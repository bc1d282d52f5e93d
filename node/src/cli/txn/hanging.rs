//! `thalweg txn find-hanging` and `abort`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::describe_transactions_response::DescribeTransactionsResponseView;
use thalweg_wire::messages::write_txn_markers_request as markers;
use thalweg_wire::messages::write_txn_markers_response::WriteTxnMarkersResponseView;

use super::super::client::duration;
use super::super::failure::Failure;
use super::super::outcome::{Outcome, show};
use super::super::output::Format;
use super::super::routing::{Cluster, TopicPartition};
use super::super::time;
use super::report::{self, Aborted, Hanging, Open, Producer};
use super::{Partition, ask};

const WRITE_MARKERS: (i16, i16) = (1, 1);

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(required = true, multiple = false)]
struct Where {
    /// In the partitions of this topic
    #[arg(long)]
    topic: Option<String>,
    /// In the partitions that this broker leads
    #[arg(long)]
    broker: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct FindArgs {
    #[command(flatten)]
    place: Where,
    /// The cluster's transaction.max.timeout.ms: what wrote since then is left alone
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    max_transaction_timeout: std::time::Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct AbortArgs {
    #[command(flatten)]
    of: Partition,
    /// Where the transaction begins, as find-hanging and producers show it
    #[arg(long)]
    start_offset: i64,
    /// Only say which producer it is
    #[arg(long)]
    dry_run: bool,
}

impl FindArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let since = i64::try_from(self.max_transaction_timeout.as_millis()).unwrap_or(i64::MAX);
        let late = time::now().0.saturating_sub(since);
        let mut open = Vec::new();
        for of in self.partitions(cluster)? {
            let all = ask::producers(cluster, &of)?;
            let old = |one: &Producer| one.last_timestamp_ms.is_none_or(|last| last < late);
            let long = all
                .into_iter()
                .filter(|one| one.start_offset.is_some() && old(one));
            open.extend(long.map(|producer| Open {
                topic: of.topic.clone(),
                partition: of.partition,
                producer,
            }));
        }
        let hanging = unknown(cluster, open)?;
        let text = show(&Hanging { hanging }, format, |all, _| report::hanging(all));
        Ok(Outcome::done(text))
    }

    fn partitions(&self, cluster: &mut Cluster) -> Result<Vec<TopicPartition>, Failure> {
        if let Some(topic) = &self.place.topic {
            let numbers = cluster.partitions(topic)?;
            return Ok(numbers
                .into_iter()
                .map(|number| TopicPartition::new(topic, number))
                .collect());
        }
        cluster.refresh(None)?;
        let led = cluster.topics().iter().flat_map(|(topic, facts)| {
            let by = facts.leaders.iter();
            by.filter(|(_, leader)| **leader == self.place.broker)
                .map(|(number, _)| TopicPartition::new(topic, *number))
        });
        Ok(led.collect())
    }
}

/// Those of the open transactions that no coordinator has, or has without that partition.
fn unknown(cluster: &mut Cluster, open: Vec<Open>) -> Result<Vec<Open>, Failure> {
    if open.is_empty() {
        return Ok(open);
    }
    let ids: Vec<i64> = open.iter().map(|one| one.producer.producer_id).collect();
    let mut known: BTreeMap<i64, Vec<TopicPartition>> = BTreeMap::new();
    for listed in ask::transactions(cluster, &[], &ids)? {
        let reply = ask::description(cluster, listed.coordinator, &listed.id)?;
        let answer: DescribeTransactionsResponseView<'_> = reply.view()?;
        for state in answer.transaction_states.iter() {
            let parts = known.entry(listed.producer_id).or_default();
            for topic in state.topics.iter() {
                let numbers = topic.partitions.iter();
                parts.extend(numbers.map(|number| TopicPartition::new(topic.topic, number)));
            }
        }
    }
    let hangs = |one: &Open| {
        let of = TopicPartition::new(&one.topic, one.partition);
        let parts = known.get(&one.producer.producer_id);
        parts.is_none_or(|parts| !parts.contains(&of))
    };
    Ok(open.into_iter().filter(hangs).collect())
}

impl AbortArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let of = self.of.named();
        let all = ask::producers(cluster, &of)?;
        let found = all
            .into_iter()
            .find(|one| one.start_offset == Some(self.start_offset));
        let Some(producer) = found else {
            return Err(Failure::input(
                format!(
                    "no open transaction of {of} begins at offset {}",
                    self.start_offset
                ),
                "it has ended meanwhile, or begins elsewhere",
                "`thalweg txn producers` shows where open transactions begin",
            ));
        };
        if !self.dry_run {
            abort(cluster, &of, &producer)?;
        }
        let report = Aborted {
            open: Open {
                topic: of.topic,
                partition: of.partition,
                producer,
            },
            result: if self.dry_run { "checked" } else { "aborted" },
        };
        Ok(Outcome::done(show(&report, format, |one, _| {
            report::aborted(one)
        })))
    }
}

fn abort(cluster: &mut Cluster, of: &TopicPartition, producer: &Producer) -> Result<(), Failure> {
    let by_leader = cluster.by_leader(std::iter::once(of));
    let leader = by_leader.keys().next().copied().flatten();
    let subject = of.to_string();
    let refused = |code| Failure::refused("aborting a transaction in", &subject, code, None);
    let Some(leader) = leader else {
        return Err(refused(cluster.leaderless(of)));
    };
    let client = cluster.node(leader)?;
    let version = client.version(ApiKey::WriteTxnMarkers, WRITE_MARKERS)?;
    let request = markers::WriteTxnMarkersRequest {
        markers: vec![markers::WritableTxnMarker {
            producer_id: producer.producer_id,
            producer_epoch: i16::try_from(producer.producer_epoch).unwrap_or(-1),
            transaction_result: false,
            topics: vec![markers::WritableTxnMarkerTopic {
                name: Cow::Borrowed(&of.topic),
                partition_indexes: vec![of.partition],
            }],
            // A partition that no coordinator ever wrote to knows no epoch of one.
            coordinator_epoch: producer.coordinator_epoch.max(0),
            ..markers::WritableTxnMarker::default()
        }],
    };
    let reply = client.ask(&request, version)?;
    let answer: WriteTxnMarkersResponseView<'_> = reply.view()?;
    let topics = answer
        .markers
        .iter()
        .flat_map(|marker| marker.topics.iter());
    let codes = topics.flat_map(|topic| topic.partitions.iter());
    match codes.map(|part| part.error_code).find(|code| *code != 0) {
        Some(code) => Err(refused(code)),
        None => Ok(()),
    }
}
