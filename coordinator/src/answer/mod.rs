//! Answers read from an image: nothing here proposes anything.
//!
//! A client reaches every address it is told through the listener it came in on, so each answer takes the
//! viewpoint of one listener.

use thalweg_wire::ids::NodeId;

use crate::metadata::image::{Broker, Endpoint, Image, LEADER_NONE, Partition};

pub mod metadata;
pub mod topic_partitions;
pub mod cluster;
pub mod coordinator;
pub mod config_resources;
pub mod quorum;

/// Operations that everybody may do while there is no authorizer, as Kafka's bit fields.
pub(crate) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
pub(crate) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;

/// From where a client looks at the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Viewpoint<'a> {
    /// The cluster's id.
    pub cluster_id: &'a str,
    /// This node.
    pub node: NodeId,
    /// The listener that the client came in on.
    pub listener: &'a str,
    /// Where this client reaches this node, when that is not what the image says.
    pub own_address: Option<(&'a str, u16)>,
}

/// Where a client reaches a broker.
pub(crate) struct Reachable<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) host: &'a str,
    pub(crate) port: i32,
}

impl<'a> Viewpoint<'a> {
    /// The broker's address on the client's listener.
    pub(crate) fn reach(&self, broker: &'a Broker) -> Option<Reachable<'a>> {
        let Endpoint { host, port, .. } = broker.endpoint(self.listener)?;
        let own = self.own_address.filter(|_| broker.id == self.node);
        let (host, port) = own.unwrap_or((host, *port));
        Some(Reachable {
            broker,
            host,
            port: i32::from(port),
        })
    }

    /// Brokers that are up, as this client reaches them.
    pub(crate) fn alive(&self, image: &'a Image) -> impl Iterator<Item = Reachable<'a>> {
        let viewpoint = *self;
        let up = image.brokers.values().filter(|broker| !broker.fenced);
        up.filter_map(move |broker| viewpoint.reach(broker))
    }

    /// The broker that clients take for the controller: one that is up and passes requests on.
    pub(crate) fn controller(&self, image: &'a Image) -> i32 {
        let up = |id: &NodeId| image.brokers.get(id).is_some_and(|broker| !broker.fenced);
        let own = Some(self.node).filter(up);
        own.or_else(|| self.alive(image).next().map(|one| one.broker.id))
            .map_or(-1, |id| id.0)
    }

    /// The partition's leader if this client can reach it.
    pub(crate) fn leader(&self, image: &'a Image, partition: &Partition) -> Leader {
        if partition.leader == LEADER_NONE {
            return Leader::None;
        }
        match image.brokers.get(&partition.leader) {
            Some(broker) if broker.fenced => Leader::None,
            Some(broker) => match self.reach(broker) {
                Some(_) => Leader::At(partition.leader),
                None => Leader::OtherListener,
            },
            None => Leader::None,
        }
    }
}

/// Who leads a partition, as a client sees it.
pub(crate) enum Leader {
    At(NodeId),
    OtherListener,
    None,
}

/// Replicas on brokers that are not up.
pub(crate) fn offline(image: &Image, partition: &Partition) -> Vec<i32> {
    let up = |id: &NodeId| image.brokers.get(id).is_some_and(|broker| !broker.fenced);
    partition
        .replicas
        .iter()
        .filter(|id| !up(id))
        .map(|id| id.0)
        .collect()
}
