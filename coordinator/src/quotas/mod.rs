//! Client quotas: what is set, for whom it counts, and how long who exceeds it has to wait.
//!
//! ```text
//! AlterClientQuotas -> alter -> ClientQuotaRecord -> replay -> Image::quotas -> table (who has which limit)
//!                                                                                |
//!                                  a request's bytes, time, partitions -> counters -> milliseconds to wait
//! ```
//!
//! The numbers are Kafka's: a rate over `quota.window.num` windows of `quota.window.size.seconds`, a bucket of
//! tokens for changes of metadata. Times are arguments. Deliberately absent: muting a connection, and which shard
//! counts for whom (node).

pub mod alter;
pub mod counters;
pub mod describe;
pub mod rate;
pub mod table;

use std::collections::BTreeMap;

/// The user of connections that nobody authenticated, as Kafka names it.
pub const ANONYMOUS: &str = "ANONYMOUS";
/// Entity type of users.
pub const USER: &str = "user";
/// Entity type of client ids.
pub const CLIENT_ID: &str = "client-id";
/// Entity type of addresses.
pub const IP: &str = "ip";
/// New connections a second of one address.
pub const CONNECTION_RATE: &str = "connection_creation_rate";

/// What a quota is set for: names by entity type; a name that is none stands for all that have no quota of their own.
pub type Entity = BTreeMap<String, Option<String>>;
/// Quotas by key.
pub type Values = BTreeMap<String, f64>;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Bytes of produce requests a second.
    Produce,
    /// Bytes of fetch answers a second.
    Fetch,
    /// Percent of one thread's time.
    Request,
    /// Partitions made or deleted a second.
    Mutation,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::Request, Self::Mutation];

    /// The quota's key.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Request => "request_percentage",
            Self::Mutation => "controller_mutation_rate",
        }
    }
}
