//! `thalweg topic offsets` and `trim`: where partitions begin and end, and moving the beginning.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use thalweg_wire::api::ApiKey;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use thalweg_wire::messages::delete_records_response::DeleteRecordsResponseView;

use super::super::failure::Failure;
use super::super::offsets::{EARLIEST, Isolation, LATEST, place_of_all};
use super::super::outcome::Outcome;
use super::super::output::Format;
use super::super::routing::{Cluster, TopicPartition, is_retriable};
use super::super::time::{self, TimeMs};
use super::report::{self, Placed, Trimmed};

const DELETE_RECORDS: (i16, i16) = (0, 2);
/// "Up to the end", as the call says it.
const TO_THE_END: i64 = -1;

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct OffsetsArgs {
    /// Topics; all if none is named
    names: Vec<String>,
    /// Also show the first offset at or after this time (2026-11-23T12:00:00Z, 1h ago as -1h, or
    /// milliseconds since 1970)
    #[arg(long, value_name = "TIME", value_parser = time::parse, allow_hyphen_values = true)]
    at: Option<TimeMs>,
    /// What consumers of this kind see as the end
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(group = clap::ArgGroup::new("upto").required(true))]
pub(super) struct TrimArgs {
    /// The topic
    name: String,
    /// The first offset to keep
    #[arg(long, value_name = "N", group = "upto", value_parser = clap::value_parser!(i64).range(0..))]
    before: Option<i64>,
    /// Keep what is at least as young as this time
    #[arg(long, value_name = "TIME", group = "upto", value_parser = time::parse, allow_hyphen_values = true)]
    before_time: Option<TimeMs>,
    /// Delete all records that there are now
    #[arg(long, group = "upto")]
    all: bool,
    /// Only in these partitions; may be repeated
    #[arg(short, long, value_name = "N")]
    partition: Vec<i32>,
    /// Only say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl OffsetsArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let (partitions, failures) = self.partitions(cluster)?;
        let isolation = self.isolation;
        let all = || partitions.iter().cloned();
        let first = place_of_all(cluster, all(), EARLIEST, isolation)?;
        let end = place_of_all(cluster, all(), LATEST, isolation)?;
        let at = match self.at {
            Some(time) => place_of_all(cluster, all(), time.0, isolation)?,
            None => BTreeMap::new(),
        };
        let placed: Vec<Placed> = partitions
            .iter()
            .map(|partition| {
                let offset = |of: &BTreeMap<TopicPartition, _>| {
                    of.get(partition)
                        .and_then(|found: &super::super::offsets::Found| found.offset)
                };
                Placed {
                    topic: partition.topic.clone(),
                    partition: partition.partition,
                    first: offset(&first),
                    end: offset(&end),
                    at: self.at.map(|_| offset(&at)),
                }
            })
            .collect();
        let done = partitions
            .iter()
            .map(|partition| &partition.topic)
            .collect::<BTreeSet<_>>()
            .len();
        let text = report::show_as("partitions", &placed, format, report::placed);
        Ok(Outcome::of(text, done, failures))
    }

    fn partitions(
        &self,
        cluster: &mut Cluster,
    ) -> Result<(Vec<TopicPartition>, Vec<Failure>), Failure> {
        let asked = (!self.names.is_empty()).then_some(self.names.as_slice());
        cluster.refresh(asked)?;
        let (mut partitions, mut failures) = (Vec::new(), Vec::new());
        for (name, facts) in cluster.topics() {
            if facts.error != 0 {
                let doing = "asking for offsets of";
                failures.push(Failure::refused(doing, name, facts.error, None));
                continue;
            }
            let indexes = facts.leaders.keys();
            partitions.extend(indexes.map(|index| TopicPartition::new(name, *index)));
        }
        Ok((partitions, failures))
    }
}

impl TrimArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        let partitions = self.partitions(cluster)?;
        let isolation = Isolation::ReadUncommitted;
        let upto = match (self.before, self.before_time) {
            (Some(offset), _) => partitions.iter().map(|p| (p.clone(), offset)).collect(),
            (None, Some(time)) => {
                let found = place_of_all(cluster, partitions.iter().cloned(), time.0, isolation)?;
                let offset = |found: &super::super::offsets::Found| found.offset;
                found
                    .iter()
                    .map(|(partition, found)| {
                        (partition.clone(), offset(found).unwrap_or(TO_THE_END))
                    })
                    .collect()
            }
            (None, None) => partitions.iter().map(|p| (p.clone(), TO_THE_END)).collect(),
        };
        let trimmed = match self.dry_run {
            true => preview(cluster, &upto)?,
            false => trim(cluster, &upto)?,
        };
        let failures: Vec<Failure> = trimmed
            .iter()
            .filter_map(|part| {
                let code = part.code?;
                let subject = format!("{}-{}", part.topic, part.partition);
                Some(Failure::refused("trimming", &subject, code, None))
            })
            .collect();
        let done = trimmed.len() - failures.len();
        let text = report::show_as("partitions", &trimmed, format, report::trimmed);
        Ok(Outcome::of(text, done, failures))
    }

    fn partitions(&self, cluster: &mut Cluster) -> Result<Vec<TopicPartition>, Failure> {
        let all = cluster.partitions(&self.name)?;
        if let Some(missing) = self.partition.iter().find(|index| !all.contains(index)) {
            let code = ErrorCode::UnknownTopicOrPartition.code();
            let subject = format!("{}-{missing}", self.name);
            return Err(Failure::refused("trimming", &subject, code, None));
        }
        let wanted = |index: &i32| self.partition.is_empty() || self.partition.contains(index);
        let indexes = all.into_iter().filter(wanted);
        Ok(indexes
            .map(|index| TopicPartition::new(&self.name, index))
            .collect())
    }
}

fn preview(
    cluster: &mut Cluster,
    upto: &BTreeMap<TopicPartition, i64>,
) -> Result<Vec<Trimmed>, Failure> {
    let isolation = Isolation::ReadUncommitted;
    let end = place_of_all(cluster, upto.keys().cloned(), LATEST, isolation)?;
    let trimmed = upto.iter().map(|(partition, offset)| {
        let end = end.get(partition).and_then(|found| found.offset);
        let first = if *offset == TO_THE_END {
            end
        } else {
            Some(*offset)
        };
        let beyond = first > end;
        let code = beyond.then(|| ErrorCode::OffsetOutOfRange.code());
        Trimmed::new(partition, "checked", first, code)
    });
    Ok(trimmed.collect())
}

fn trim(
    cluster: &mut Cluster,
    upto: &BTreeMap<TopicPartition, i64>,
) -> Result<Vec<Trimmed>, Failure> {
    let mut left = upto.clone();
    let mut trimmed = BTreeMap::new();
    let patience = cluster.patience();
    loop {
        for (partition, result) in ask_trim(cluster, &left)? {
            match result {
                Err(code) if is_retriable(code) => {
                    cluster.forget_leader(&partition);
                    let failed = Trimmed::new(&partition, "failed", None, Some(code));
                    trimmed.insert(partition, failed);
                }
                result => {
                    left.remove(&partition);
                    let word = if result.is_ok() { "trimmed" } else { "failed" };
                    let part = Trimmed::new(&partition, word, result.ok(), result.err());
                    trimmed.insert(partition, part);
                }
            }
        }
        if left.is_empty() || !patience.again() {
            return Ok(trimmed.into_values().collect());
        }
    }
}

type Marks = BTreeMap<TopicPartition, Result<i64, i16>>;

fn ask_trim(cluster: &mut Cluster, upto: &BTreeMap<TopicPartition, i64>) -> Result<Marks, Failure> {
    cluster.learn_leaders(upto.keys())?;
    let timeout_ms = cluster.timeout_ms();
    let mut marks = Marks::new();
    for (leader, partitions) in cluster.by_leader(upto.keys()) {
        let Some(leader) = leader else {
            let codes = partitions
                .iter()
                .map(|partition| ((*partition).clone(), Err(cluster.leaderless(partition))));
            marks.extend(codes);
            continue;
        };
        let topic = partitions.first().map_or("", |first| first.topic.as_str());
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: Cow::Borrowed(topic),
                partitions: partitions
                    .iter()
                    .map(|partition| DeleteRecordsPartition {
                        partition_index: partition.partition,
                        offset: upto.get(*partition).copied().unwrap_or(0),
                    })
                    .collect(),
            }],
            timeout_ms,
        };
        let client = cluster.node(leader)?;
        let version = client.version(ApiKey::DeleteRecords, DELETE_RECORDS)?;
        let reply = client.ask(&request, version)?;
        let answer: DeleteRecordsResponseView<'_> = reply.view()?;
        for topic in answer.topics.iter() {
            for part in topic.partitions.iter() {
                let result = match part.error_code {
                    0 => Ok(part.low_watermark),
                    code => Err(code),
                };
                marks.insert(
                    TopicPartition::new(topic.name, part.partition_index),
                    result,
                );
            }
        }
    }
    Ok(marks)
}
