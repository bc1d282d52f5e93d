//! From where a client looks at the cluster: its listener, and the address it reached us by.
//!
//! With `advertise = "auto"` a client is told to dial this node at the address it dialled already:
//! whatever name or port led it here leads it here again. Deliberately absent: what it then sees
//! (`thalweg_coordinator::answer`).

use thalweg_config::units::Auto;
use thalweg_coordinator::answer::Viewpoint;

use crate::node::NodeFacts;
use crate::request::{Listener, Origin};

/// Owns what a [`Viewpoint`] borrows.
pub struct Seat<'a> {
    node: &'a NodeFacts,
    listener: Listener,
    own_address: Option<(String, u16)>,
}

impl<'a> Seat<'a> {
    /// The viewpoint of a connection.
    #[must_use]
    pub fn of(node: &'a NodeFacts, origin: &Origin) -> Self {
        let auto = matches!(node.settings.listen.advertise, Auto::Auto);
        let own_address = (auto && origin.listener == Listener::Kafka)
            .then(|| (origin.local.ip().to_string(), origin.local.port()));
        Self {
            node,
            listener: origin.listener,
            own_address,
        }
    }

    /// As the coordinator's answers want it.
    #[must_use]
    pub fn viewpoint(&self) -> Viewpoint<'_> {
        Viewpoint {
            cluster_id: &self.node.cluster_id,
            node: self.node.id,
            listener: self.listener.name(),
            own_address: self
                .own_address
                .as_ref()
                .map(|(host, port)| (host.as_str(), *port)),
        }
    }
}
