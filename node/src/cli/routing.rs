//! A cluster behind the one client: who leads which partition, who coordinates which group, and
//! asking again while an answer says that it may be worth it.
//!
//! Invariants: every retry ends at the command's time limit; asking about a topic never creates it.
//! Deliberately absent: a cache that outlives the command, load balancing, several requests at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::api::ApiKey;
use thalweg_wire::bytes::Message;
use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::messages::find_coordinator_request::FindCoordinatorRequest;
use thalweg_wire::messages::find_coordinator_response::FindCoordinatorResponseView;
use thalweg_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use thalweg_wire::messages::metadata_response::{MetadataResponseTopicView, MetadataResponseView};

use super::Exit;
use super::client::{Broker, Client, Reply};
use super::failure::Failure;

/// From the first version that can be told not to create topics.
const METADATA: (i16, i16) = (9, 12);
/// The versions that ask for one group.
const FIND_COORDINATOR: (i16, i16) = (1, 3);
/// Between two tries.
const BACKOFF: Duration = Duration::from_millis(100);
/// A topic that was just made may not be known everywhere yet; one that is missing longer is not
/// there.
const UNKNOWN_TOPIC_WAIT: Duration = Duration::from_secs(3);

/// A partition by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TopicPartition {
    pub(crate) topic: String,
    pub(crate) partition: i32,
}

impl TopicPartition {
    pub(crate) fn new(topic: &str, partition: i32) -> Self {
        Self {
            topic: topic.to_owned(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What routing knows of a topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicFacts {
    pub(crate) error: i16,
    /// The node that leads each partition, or none.
    pub(crate) leaders: BTreeMap<i32, Option<i32>>,
}

/// A time limit for tries.
#[derive(Debug)]
pub(crate) struct Patience(Instant);

impl Patience {
    pub(crate) fn of(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// Waits a little; false when the time is up.
    pub(crate) fn again(&self) -> bool {
        if Instant::now() + BACKOFF > self.0 {
            return false;
        }
        thread::sleep(BACKOFF);
        true
    }
}

/// Whether the code says "ask again, perhaps elsewhere".
pub(crate) fn is_retriable(code: i16) -> bool {
    ErrorCode::from_code(code).is_some_and(ErrorCode::retriable)
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Cluster {
    broker: Broker,
    first: Client,
    addresses: BTreeMap<i32, String>,
    open: BTreeMap<i32, Client>,
    coordinators: BTreeMap<String, i32>,
    topics: BTreeMap<String, TopicFacts>,
}

impl Cluster {
    /// Connects to the first broker that answers.
    pub(crate) fn connect(broker: &Broker) -> Result<Self, Failure> {
        Ok(Self {
            first: Client::connect(broker)?,
            broker: broker.clone(),
            addresses: BTreeMap::new(),
            open: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            topics: BTreeMap::new(),
        })
    }

    /// Any broker: for calls that each can answer or passes on.
    pub(crate) fn any(&mut self) -> &mut Client {
        &mut self.first
    }

    /// The command's time limit.
    pub(crate) fn timeout(&self) -> Duration {
        self.broker.timeout
    }

    /// The time limit as requests carry it.
    pub(crate) fn timeout_ms(&self) -> i32 {
        i32::try_from(self.broker.timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Tries until the command's time limit.
    pub(crate) fn patience(&self) -> Patience {
        Patience::of(self.broker.timeout)
    }

    /// Learns brokers, and leaders of these topics or of all.
    pub(crate) fn refresh(&mut self, names: Option<&[String]>) -> Result<(), Failure> {
        self.learn(names, false)
    }

    /// The same; topics that are missing are made, if the cluster does so.
    pub(crate) fn refresh_or_create(&mut self, name: &str) -> Result<(), Failure> {
        self.learn(Some(&[name.to_owned()]), true)
    }

    fn learn(&mut self, names: Option<&[String]>, create: bool) -> Result<(), Failure> {
        let reply = self.ask_any(|client| ask_metadata(client, names, create))?;
        let answer: MetadataResponseView<'_> = reply.view()?;
        for broker in answer.brokers.iter() {
            let address = address_of(broker.host, broker.port);
            if self.addresses.insert(broker.node_id, address.clone()) != Some(address) {
                self.open.remove(&broker.node_id);
            }
        }
        if names.is_none() {
            self.topics.clear();
        }
        for topic in answer.topics.iter() {
            if let Some(name) = topic.name {
                self.topics.insert(name.to_owned(), facts_of(&topic));
            }
        }
        Ok(())
    }

    /// Asks any broker; over a new connection if the old one broke.
    fn ask_any(
        &mut self,
        ask: impl Fn(&mut Client) -> Result<Reply, Failure>,
    ) -> Result<Reply, Failure> {
        match ask(&mut self.first) {
            Err(failure) if failure.exit == Exit::Unreachable => {
                self.first = Client::connect(&self.broker)?;
                ask(&mut self.first)
            }
            answer => answer,
        }
    }

    /// The topics known.
    pub(crate) fn topics(&self) -> &BTreeMap<String, TopicFacts> {
        &self.topics
    }

    /// The ids of all brokers.
    pub(crate) fn node_ids(&mut self) -> Result<Vec<i32>, Failure> {
        self.refresh(Some(&[]))?;
        Ok(self.addresses.keys().copied().collect())
    }

    /// All partitions of a topic, which has to be there.
    pub(crate) fn partitions(&mut self, topic: &str) -> Result<Vec<i32>, Failure> {
        let patience = Patience::of(UNKNOWN_TOPIC_WAIT.min(self.broker.timeout));
        loop {
            self.refresh(Some(&[topic.to_owned()]))?;
            let code = match self.topics.get(topic) {
                Some(facts) if facts.error == 0 => {
                    return Ok(facts.leaders.keys().copied().collect());
                }
                Some(facts) => facts.error,
                None => ErrorCode::UnknownTopicOrPartition.code(),
            };
            if !is_retriable(code) || !patience.again() {
                return Err(Failure::refused("looking for topic", topic, code, None));
            }
        }
    }

    /// Who leads each of these; those without a known leader come under `None`.
    pub(crate) fn by_leader<'a>(
        &self,
        wanted: impl Iterator<Item = &'a TopicPartition>,
    ) -> BTreeMap<Option<i32>, Vec<&'a TopicPartition>> {
        let mut by_leader: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for partition in wanted {
            by_leader
                .entry(self.leader(partition))
                .or_default()
                .push(partition);
        }
        by_leader
    }

    fn leader(&self, of: &TopicPartition) -> Option<i32> {
        *self.topics.get(&of.topic)?.leaders.get(&of.partition)?
    }

    /// Why a partition has no leader.
    pub(crate) fn leaderless(&self, of: &TopicPartition) -> i16 {
        match self.topics.get(&of.topic) {
            Some(facts) if facts.error != 0 => facts.error,
            Some(facts) if facts.leaders.contains_key(&of.partition) => {
                ErrorCode::LeaderNotAvailable.code()
            }
            _ => ErrorCode::UnknownTopicOrPartition.code(),
        }
    }

    /// Learns the leaders of these partitions' topics, unless they are known.
    pub(crate) fn learn_leaders<'a>(
        &mut self,
        wanted: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<(), Failure> {
        let unknown: BTreeSet<String> = wanted
            .filter(|partition| self.leader(partition).is_none())
            .map(|partition| partition.topic.clone())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = unknown.into_iter().collect();
        self.refresh(Some(&names))
    }

    /// Forgets who leads these, after an answer that says they do not.
    pub(crate) fn forget_leader(&mut self, of: &TopicPartition) {
        if let Some(facts) = self.topics.get_mut(&of.topic) {
            facts.leaders.insert(of.partition, None);
        }
    }

    /// The connection to a node.
    pub(crate) fn node(&mut self, id: i32) -> Result<&mut Client, Failure> {
        if !self.open.contains_key(&id) {
            if !self.addresses.contains_key(&id) {
                self.refresh(Some(&[]))?;
            }
            let Some(address) = self.addresses.get(&id) else {
                let what = format!("it names node {id}, but not where that is");
                return Err(Failure::protocol(self.first.address(), what));
            };
            let client = match Client::connect_to(address, self.broker.timeout) {
                Ok(client) => client,
                Err(failure) => return Err(failure.advertised_by(self.first.address())),
            };
            self.open.insert(id, client);
        }
        match self.open.get_mut(&id) {
            Some(client) => Ok(client),
            None => Err(Failure::protocol("the cluster", "no connection")),
        }
    }

    /// Drops the connection to a node, so that the next use dials again.
    pub(crate) fn hang_up(&mut self, id: i32) {
        self.open.remove(&id);
    }

    /// The node that coordinates a group.
    pub(crate) fn coordinator(&mut self, group: &str) -> Result<i32, Failure> {
        if let Some(id) = self.coordinators.get(group) {
            return Ok(*id);
        }
        let patience = self.patience();
        loop {
            let request = FindCoordinatorRequest {
                key: Cow::Borrowed(group),
                ..FindCoordinatorRequest::default()
            };
            let reply = self.ask_any(|client| {
                let version = client.version(ApiKey::FindCoordinator, FIND_COORDINATOR)?;
                client.ask(&request, version)
            })?;
            let answer: FindCoordinatorResponseView<'_> = reply.view()?;
            match answer.error_code {
                0 => {
                    let address = address_of(answer.host, answer.port);
                    self.addresses.insert(answer.node_id, address);
                    self.coordinators.insert(group.to_owned(), answer.node_id);
                    return Ok(answer.node_id);
                }
                code if is_retriable(code) && patience.again() => {}
                code => {
                    let message = answer.error_message;
                    let doing = "looking for the coordinator of group";
                    return Err(Failure::refused(doing, group, code, message));
                }
            }
        }
    }

    /// Asks a group's coordinator, again while it is loading or has moved. `code_of` finds the code
    /// that says so.
    pub(crate) fn ask_coordinator<M: Message>(
        &mut self,
        group: &str,
        call: &Call,
        make: impl Fn(i16) -> M,
        code_of: impl Fn(&Reply) -> Result<i16, Failure>,
    ) -> Result<Reply, Failure> {
        let patience = self.patience();
        let moved = [
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
        ];
        loop {
            let told = self.tell_coordinator(group, call, &make);
            let again = match &told {
                Ok(reply) => {
                    let code = code_of(reply)?;
                    moved.iter().any(|error| error.code() == code)
                }
                Err(failure) => failure.exit == Exit::Unreachable,
            };
            if !again || !patience.again() {
                return told;
            }
            if let Some(id) = self.coordinators.remove(group) {
                self.hang_up(id);
            }
        }
    }

    fn tell_coordinator<M: Message>(
        &mut self,
        group: &str,
        call: &Call,
        make: impl Fn(i16) -> M,
    ) -> Result<Reply, Failure> {
        let id = self.coordinator(group)?;
        let client = self.node(id)?;
        let version = client.version(call.api, call.versions)?;
        client.ask_patiently(&make(version), version, call.longer)
    }
}

/// A call to a group's coordinator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) api: ApiKey,
    /// Those that the caller can build and read.
    pub(crate) versions: (i16, i16),
    /// How much later than others it may be answered.
    pub(crate) longer: Duration,
}

impl Call {
    pub(crate) fn new(api: ApiKey, versions: (i16, i16)) -> Self {
        Self {
            api,
            versions,
            longer: Duration::ZERO,
        }
    }
}

/// Asks for brokers and these topics, or all.
pub(crate) fn ask_metadata(
    client: &mut Client,
    names: Option<&[String]>,
    create: bool,
) -> Result<Reply, Failure> {
    let version = client.version(ApiKey::Metadata, METADATA)?;
    let topic = |name| MetadataRequestTopic {
        name: Some(Cow::Borrowed(name)),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: names.map(|names| names.iter().map(|name| topic(name.as_str())).collect()),
        allow_auto_topic_creation: create,
        ..MetadataRequest::default()
    };
    client.ask(&request, version)
}

fn facts_of(topic: &MetadataResponseTopicView<'_>) -> TopicFacts {
    let leader = |id: i32| Some(id).filter(|id| *id >= 0);
    let partitions = topic.partitions.iter();
    TopicFacts {
        error: topic.error_code,
        leaders: partitions
            .map(|partition| (partition.partition_index, leader(partition.leader_id)))
            .collect(),
    }
}

fn address_of(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
