//! The cooperative sticky assignor: partitions stay where they are as far as the balance allows, and none
//! goes to a member while another still has it. Pure.
//!
//! A partition that is to move is given to nobody in the round in which its owner hears of it; the owner
//! gives it up and joins again, and that round gives it to the member meant. Members of Apache Kafka's
//! clients under the same name (`cooperative-sticky`) follow the same rule, so they may share the group.
//! Deliberately absent: racks, and the exact choice Kafka's assignor makes among equal balances.

use std::collections::{BTreeMap, BTreeSet};

use super::super::routing::TopicPartition;
use super::assignor::Subscriber;

type Shares = BTreeMap<String, BTreeSet<TopicPartition>>;

/// Partitions of each member; a member that gets none is there too.
pub(crate) fn cooperative(
    subscribers: &[Subscriber],
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let owners = owners(subscribers, partitions);
    let mut shares: Shares = subscribers
        .iter()
        .map(|subscriber| (subscriber.member.clone(), BTreeSet::new()))
        .collect();
    for (partition, owner) in &owners {
        if let Some(share) = shares.get_mut(*owner) {
            share.insert(partition.clone());
        }
    }
    give_the_rest(subscribers, partitions, &mut shares);
    while move_one(subscribers, &mut shares) {}
    let claimed: BTreeSet<&TopicPartition> =
        subscribers.iter().flat_map(|one| &one.owned).collect();
    let keep = |member: &str, partition: &TopicPartition| {
        owners.get(partition).is_some_and(|owner| *owner == member) || !claimed.contains(partition)
    };
    shares
        .into_iter()
        .map(|(member, share)| {
            let kept = share
                .into_iter()
                .filter(|partition| keep(&member, partition))
                .collect();
            (member, kept)
        })
        .collect()
}

/// Who has each partition: whoever says so of the youngest generation, if nobody else of it does.
fn owners<'a>(
    subscribers: &'a [Subscriber],
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<TopicPartition, &'a str> {
    let mut claims: BTreeMap<TopicPartition, (i32, Option<&str>)> = BTreeMap::new();
    for subscriber in subscribers {
        let exists = |partition: &&TopicPartition| {
            let count = partitions.get(&partition.topic).copied().unwrap_or(0);
            subscriber.topics.contains(&partition.topic)
                && (0..count).contains(&partition.partition)
        };
        for partition in subscriber.owned.iter().filter(exists) {
            let claim = (subscriber.generation, Some(subscriber.member.as_str()));
            claims
                .entry(partition.clone())
                .and_modify(|known| match known.0.cmp(&claim.0) {
                    std::cmp::Ordering::Less => *known = claim,
                    std::cmp::Ordering::Equal => known.1 = None,
                    std::cmp::Ordering::Greater => {}
                })
                .or_insert(claim);
        }
    }
    let owned = claims.into_iter();
    owned
        .filter_map(|(partition, (_, owner))| Some((partition, owner?)))
        .collect()
}

/// What nobody has goes to those who have least.
fn give_the_rest(
    subscribers: &[Subscriber],
    partitions: &BTreeMap<String, i32>,
    shares: &mut Shares,
) {
    let taken: BTreeSet<TopicPartition> = shares.values().flatten().cloned().collect();
    for (topic, count) in partitions {
        let takers: Vec<&Subscriber> = subscribers
            .iter()
            .filter(|subscriber| subscriber.topics.contains(topic))
            .collect();
        for index in 0..*count {
            let partition = TopicPartition::new(topic, index);
            if taken.contains(&partition) {
                continue;
            }
            let size = |taker: &&&Subscriber| shares.get(&taker.member).map_or(0, BTreeSet::len);
            let least = takers
                .iter()
                .min_by_key(|taker| (size(taker), &taker.member));
            if let Some(share) = least.and_then(|taker| shares.get_mut(&taker.member)) {
                share.insert(partition);
            }
        }
    }
}

/// Moves one partition from a member to one that has at least two less; false if there is none.
/// Each move makes the sum of the squares smaller, so they come to an end.
fn move_one(subscribers: &[Subscriber], shares: &mut Shares) -> bool {
    let mut by_size: Vec<(usize, &Subscriber)> = subscribers
        .iter()
        .map(|one| (shares.get(&one.member).map_or(0, BTreeSet::len), one))
        .collect();
    by_size.sort_by_key(|(size, one)| (*size, &one.member));
    for (most, giver) in by_size.iter().rev() {
        for (least, taker) in by_size.iter().take_while(|(least, _)| least + 1 < *most) {
            debug_assert!(least < most, "sorted by size");
            let Some(share) = shares.get_mut(&giver.member) else {
                continue;
            };
            let mut wanted = share.iter().rev();
            let wanted = wanted.find(|partition| taker.topics.contains(&partition.topic));
            if let Some(partition) = wanted.cloned() {
                share.remove(&partition);
                if let Some(share) = shares.get_mut(&taker.member) {
                    share.insert(partition);
                }
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, topics: &[&str], owned: &[(&str, i32)], generation: i32) -> Subscriber {
        Subscriber {
            member: name.to_owned(),
            instance: None,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            owned: owned
                .iter()
                .map(|(topic, index)| TopicPartition::new(topic, *index))
                .collect(),
            generation,
        }
    }

    fn told(members: &[Subscriber], partitions: &[(&str, i32)]) -> String {
        let partitions = partitions
            .iter()
            .map(|(topic, count)| ((*topic).to_owned(), *count))
            .collect();
        let assignment = cooperative(members, &partitions);
        let members = assignment.iter().map(|(member, partitions)| {
            let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{member}: {}", names.join(" "))
        });
        members.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_newcomer_gets_partitions_only_once_they_are_given_up() {
        let four: &[(&str, i32)] = &[("t", 4)];
        let all = [("t", 0), ("t", 1), ("t", 2), ("t", 3)];
        let alone = [member("a", &["t"], &[], -1)];
        assert_eq!(told(&alone, four), "a: t-0 t-1 t-2 t-3");
        let asked = [member("a", &["t"], &all, 1), member("b", &["t"], &[], -1)];
        assert_eq!(told(&asked, four), "a: t-0 t-1; b: ");
        let given = [
            member("a", &["t"], &all[..2], 2),
            member("b", &["t"], &[], 2),
        ];
        assert_eq!(told(&given, four), "a: t-0 t-1; b: t-2 t-3");
        // Nothing moves while the balance holds.
        let kept = [
            member("a", &["t"], &[("t", 3), ("t", 0)], 3),
            member("b", &["t"], &[("t", 1), ("t", 2)], 3),
        ];
        assert_eq!(told(&kept, four), "a: t-0 t-3; b: t-1 t-2");
    }

    #[test]
    fn claims_are_judged_by_generation_and_topics_by_who_wants_them() {
        // A member that slept through a rebalance still claims what another has by now.
        let late = [
            member("a", &["t"], &[("t", 0), ("t", 1)], 4),
            member("b", &["t"], &[("t", 0)], 7),
        ];
        assert_eq!(told(&late, &[("t", 2)]), "a: t-1; b: t-0");
        // Two that claim the same of one generation both lose it first.
        let torn = [
            member("a", &["t"], &[("t", 0)], 7),
            member("b", &["t"], &[("t", 0)], 7),
        ];
        assert_eq!(told(&torn, &[("t", 1)]), "a: ; b: ");
        let picky = [
            member("a", &["s", "t"], &[("s", 0), ("t", 0), ("gone", 0)], 7),
            member("b", &["t"], &[], 7),
        ];
        assert_eq!(told(&picky, &[("s", 2), ("t", 1)]), "a: s-0 s-1; b: ");
    }
}
