//! `thalweg cluster status`, `health` and `brokers`.

use thalweg_wire::api::ApiKey;
use thalweg_wire::messages::describe_cluster_request::DescribeClusterRequest;
use thalweg_wire::messages::describe_cluster_response::DescribeClusterResponseView;
use thalweg_wire::messages::metadata_response::MetadataResponseView;

use super::super::Exit;
use super::super::failure::Failure;
use super::super::outcome::{Outcome, show};
use super::super::output::Format;
use super::super::routing::{Cluster, ask_metadata};
use super::report::{self, Broker, Brokers, Status, Trouble};

const DESCRIBE_CLUSTER: (i16, i16) = (0, 2);
/// The first version that tells fenced brokers apart.
const WITH_FENCED: i16 = 2;

pub(super) fn status(cluster: &mut Cluster, format: Format) -> Result<Outcome, Failure> {
    let status = look(cluster)?;
    Ok(Outcome::done(show(&status, format, report::status)))
}

pub(super) fn health(cluster: &mut Cluster, format: Format) -> Result<Outcome, Failure> {
    let status = look(cluster)?;
    Ok(Outcome {
        text: show(&status, format, report::status),
        exit: if status.healthy {
            Exit::Done
        } else {
            Exit::Failed
        },
        failures: Vec::new(),
    })
}

pub(super) fn brokers(cluster: &mut Cluster, format: Format) -> Result<Outcome, Failure> {
    let (brokers, _) = ask(cluster)?;
    let text = show(&Brokers { brokers }, format, |all, wide| {
        report::brokers(&all.brokers, wide)
    });
    Ok(Outcome::done(text))
}

/// Brokers with what they lead, and the cluster's id.
fn ask(cluster: &mut Cluster) -> Result<(Vec<Broker>, String), Failure> {
    let (mut brokers, id) = describe(cluster)?;
    let reply = ask_metadata(cluster.any(), None, false)?;
    let metadata: MetadataResponseView<'_> = reply.view()?;
    for topic in metadata.topics.iter() {
        for partition in topic.partitions.iter() {
            for broker in &mut brokers {
                broker.leads += usize::from(partition.leader_id == broker.id);
                broker.copies += partition
                    .replica_nodes
                    .iter()
                    .filter(|id| *id == broker.id)
                    .count();
            }
        }
    }
    Ok((brokers, id))
}

fn describe(cluster: &mut Cluster) -> Result<(Vec<Broker>, String), Failure> {
    let client = cluster.any();
    let version = client.version(ApiKey::DescribeCluster, DESCRIBE_CLUSTER)?;
    let request = DescribeClusterRequest {
        include_fenced_brokers: version >= WITH_FENCED,
        ..DescribeClusterRequest::default()
    };
    let reply = client.ask(&request, version)?;
    let answer: DescribeClusterResponseView<'_> = reply.view()?;
    if answer.error_code != 0 {
        let message = answer.error_message;
        let address = client.address().to_owned();
        let doing = "describing the cluster at";
        return Err(Failure::refused(
            doing,
            &address,
            answer.error_code,
            message,
        ));
    }
    let mut brokers: Vec<Broker> = answer
        .brokers
        .iter()
        .map(|broker| Broker {
            id: broker.broker_id,
            host: broker.host.to_owned(),
            port: broker.port,
            rack: broker.rack.map(str::to_owned),
            controller: broker.broker_id == answer.controller_id,
            fenced: broker.is_fenced,
            leads: 0,
            copies: 0,
        })
        .collect();
    brokers.sort_by_key(|broker| broker.id);
    Ok((brokers, answer.cluster_id.to_owned()))
}

fn look(cluster: &mut Cluster) -> Result<Status, Failure> {
    let (brokers, cluster_id) = describe(cluster)?;
    let reply = ask_metadata(cluster.any(), None, false)?;
    let metadata: MetadataResponseView<'_> = reply.view()?;
    let (mut topics, mut partitions) = (0, 0);
    let mut trouble = Vec::new();
    for topic in metadata.topics.iter() {
        topics += 1;
        for partition in topic.partitions.iter() {
            partitions += 1;
            let problem = if partition.leader_id < 0 {
                "no leader"
            } else if partition.isr_nodes.len() < partition.replica_nodes.len() {
                "copies not in sync"
            } else {
                continue;
            };
            trouble.push(Trouble {
                topic: topic.name.unwrap_or_default().to_owned(),
                partition: partition.partition_index,
                problem,
            });
        }
    }
    trouble.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    let count = |problem| {
        trouble
            .iter()
            .filter(|part| part.problem == problem)
            .count()
    };
    let fenced = brokers.iter().filter(|broker| broker.fenced).count();
    Ok(Status {
        cluster_id,
        healthy: trouble.is_empty() && fenced == 0,
        controller: brokers.iter().find(|b| b.controller).map(|b| b.id),
        brokers: brokers.len(),
        fenced,
        topics,
        partitions,
        leaderless: count("no leader"),
        under_replicated: count("copies not in sync"),
        trouble,
    })
}
