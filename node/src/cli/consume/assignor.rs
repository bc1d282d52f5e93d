//! Who gets which partitions: the members' wishes, and the range assignor, as Kafka's Java client computes it. Pure.
//!
//! For each topic: members that want it, in the order of their instance ids (static members first)
//! and member ids; each gets a run of partitions, the first ones one more if they do not divide.

use std::collections::BTreeMap;

use super::super::routing::TopicPartition;
use super::sticky::cooperative;

/// How a group's partitions are shared; all members have to agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Assignor {
    /// Runs of each topic's partitions; in a rebalance all members give up everything first
    #[default]
    Range,
    /// Partitions stay with their members as far as the balance allows
    CooperativeSticky,
}

impl Assignor {
    /// Its name among Kafka's clients.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Partitions of each member; a member that gets none is there too.
    pub(crate) fn assign(
        self,
        subscribers: &[Subscriber],
        partitions: &BTreeMap<String, i32>,
    ) -> BTreeMap<String, Vec<TopicPartition>> {
        match self {
            Self::Range => range(subscribers, partitions),
            Self::CooperativeSticky => cooperative(subscribers, partitions),
        }
    }
}

/// A member and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) topics: Vec<String>,
    /// What it has, if it keeps partitions over a rebalance.
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation in which it got them.
    pub(crate) generation: i32,
}

/// Partitions of each member; a member that gets none is there too.
fn range(
    subscribers: &[Subscriber],
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut assignment: BTreeMap<String, Vec<TopicPartition>> = subscribers
        .iter()
        .map(|subscriber| (subscriber.member.clone(), Vec::new()))
        .collect();
    for (topic, count) in partitions {
        let mut takers: Vec<&Subscriber> = subscribers
            .iter()
            .filter(|subscriber| subscriber.topics.contains(topic))
            .collect();
        takers.sort_by_key(|taker| (taker.instance.is_none(), &taker.instance, &taker.member));
        let Ok(among) = i32::try_from(takers.len()) else {
            continue;
        };
        let mut next = 0;
        for (at, taker) in (0..).zip(takers) {
            let share = count / among + i32::from(at < count % among);
            let run = (next..next + share).map(|index| TopicPartition::new(topic, index));
            assignment
                .entry(taker.member.clone())
                .or_default()
                .extend(run);
            next += share;
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(member: &str, instance: Option<&str>, topics: &[&str]) -> Subscriber {
        Subscriber {
            member: member.to_owned(),
            instance: instance.map(str::to_owned),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            owned: Vec::new(),
            generation: -1,
        }
    }

    fn told(assignment: &BTreeMap<String, Vec<TopicPartition>>) -> String {
        let members = assignment.iter().map(|(member, partitions)| {
            let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{member}: {}", names.join(" "))
        });
        members.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn partitions_are_shared_in_runs() {
        let partitions = [("a".to_owned(), 3), ("b".to_owned(), 2)].into();
        let two = [
            subscriber("m2", None, &["a", "b"]),
            subscriber("m1", None, &["a"]),
        ];
        assert_eq!(
            told(&range(&two, &partitions)),
            "m1: a-0 a-1; m2: a-2 b-0 b-1"
        );
        let fixed = [
            subscriber("m1", None, &["b"]),
            subscriber("m2", Some("i"), &["b"]),
            subscriber("m3", None, &["b", "unknown"]),
        ];
        assert_eq!(told(&range(&fixed, &partitions)), "m1: b-1; m2: b-0; m3: ");
    }
}
