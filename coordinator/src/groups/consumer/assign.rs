//! The target assignment: which assignor makes it, from what, and what of it is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thalweg_wire::ids::Uuid;

use crate::metadata::image::Image;

use super::change::Change;
use super::draft::Draft;
use super::range::range;
use super::state::{Assignment, ConsumerGroup};
use super::subscription::topics_of;
use super::uniform::uniform;

/// An assignor that this node has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignor {
    /// As many partitions for everybody, and as few moves as that allows.
    Uniform,
    /// Ranges of every topic.
    Range,
}

impl Assignor {
    /// All, in the order of Kafka's default of `group.consumer.assignors`.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of a name, or of the name of Kafka's class.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim();
        let class = name.strip_prefix("org.apache.kafka.coordinator.group.assignor.");
        match class.unwrap_or(name) {
            "uniform" | "UniformAssignor" => Some(Self::Uniform),
            "range" | "RangeAssignor" => Some(Self::Range),
            _ => None,
        }
    }

    /// The one that most members want, or the first of those configured.
    pub(super) fn of(group: &ConsumerGroup, configured: &[Self]) -> Self {
        let wishes = group.members.values();
        let wishes =
            wishes.filter_map(|member| Self::named(member.subscription.assignor.as_deref()?));
        let wishes: Vec<Self> = wishes.collect();
        let votes = |one: Self| wishes.iter().filter(|wish| **wish == one).count();
        let most = configured.iter().copied().map(votes).max().unwrap_or(0);
        let mut first = configured.iter().copied().filter(|one| votes(*one) == most);
        first.next().unwrap_or(Self::Uniform)
    }
}

/// What an assignor goes by.
pub(super) struct Spec<'a> {
    /// By id.
    pub(super) members: Vec<MemberSpec<'a>>,
    image: &'a Image,
}

/// What it knows of a member.
pub(super) struct MemberSpec<'a> {
    pub(super) id: &'a Arc<str>,
    pub(super) instance: Option<&'a str>,
    pub(super) topics: BTreeSet<Uuid>,
    old: Option<&'a Assignment>,
}

impl<'a> Spec<'a> {
    pub(super) fn new(group: &'a ConsumerGroup, image: &'a Image) -> Self {
        let members = group.members.iter().map(|(id, member)| MemberSpec {
            id,
            instance: member.subscription.instance.as_deref(),
            topics: topics_of(group, &member.subscription, image),
            old: group.targets.get(id).map(|target| &**target),
        });
        Self {
            members: members.collect(),
            image,
        }
    }

    pub(super) fn partitions(&self, topic: Uuid) -> i32 {
        let topic = self.image.topics.get(topic);
        topic.map_or(0, |topic| {
            i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
        })
    }

    /// All partitions of these topics.
    pub(super) fn all_of(&self, topics: &BTreeSet<Uuid>) -> BTreeSet<(Uuid, i32)> {
        let partitions = |topic: &Uuid| {
            let topic = *topic;
            (0..self.partitions(topic)).map(move |partition| (topic, partition))
        };
        topics.iter().flat_map(partitions).collect()
    }

    /// What a member was to have and may keep.
    pub(super) fn kept(&self, member: &MemberSpec<'a>) -> Vec<(Uuid, i32)> {
        let old = member.old.into_iter().flatten();
        let old = old.filter(|(topic, _)| member.topics.contains(topic));
        let each = old.flat_map(|(topic, partitions)| {
            let end = self.partitions(*topic);
            let partitions = partitions.iter().filter(move |partition| **partition < end);
            partitions.map(|partition| (*topic, *partition))
        });
        each.collect()
    }
}

/// Makes the target assignment of the group as it is in the draft.
pub(super) fn assign(draft: &mut Draft<'_>, assignor: Assignor, image: &Image, now: i64) {
    let group = draft.group();
    let spec = Spec::new(group, image);
    let targets: BTreeMap<Arc<str>, Assignment> = match assignor {
        Assignor::Uniform => uniform(&spec),
        Assignor::Range => range(&spec),
    };
    let is_new = |id: &Arc<str>, target: &Assignment| {
        group.targets.get(id).is_none_or(|old| **old != *target)
    };
    let mut news = Vec::new();
    for (id, target) in targets {
        if is_new(&id, &target) {
            news.push(Change::Target(id, Some(Arc::new(target))));
        }
    }
    news.push(Change::TargetEpoch(Some((group.epoch, now))));
    for change in news {
        draft.put(change);
    }
}
