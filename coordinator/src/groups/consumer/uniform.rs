//! The `uniform` assignor: everybody gets as many partitions as everybody else, and keeps what he had.
//!
//! Where all members want the same topics, each has a quota, the first ones by id one more if it does not come out
//! even. Where they differ, partitions go to the subscriber who has least, those with few subscribers first, and
//! then move as long as that makes two members more equal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thalweg_wire::ids::Uuid;

use super::assign::{MemberSpec, Spec};
use super::state::Assignment;

type Targets = BTreeMap<Arc<str>, Assignment>;

/// What each member is to have.
pub(super) fn uniform(spec: &Spec<'_>) -> Targets {
    let mut all = spec.members.iter().map(|member| &member.topics);
    let first = all.next();
    if all.all(|topics| Some(topics) == first) {
        quotas(spec)
    } else {
        least_loaded(spec)
    }
}

/// Everybody wants the same.
fn quotas(spec: &Spec<'_>) -> Targets {
    let Some(first) = spec.members.first() else {
        return Targets::new();
    };
    let mut free = spec.all_of(&first.topics);
    let total = free.len();
    for (topic, partition) in spec.members.iter().flat_map(|member| spec.kept(member)) {
        free.remove(&(topic, partition));
    }
    let quota = total / spec.members.len();
    let mut extra = total % spec.members.len();
    let mut targets = Targets::new();
    let mut unfilled = Vec::new();
    let mut taken = BTreeSet::new();
    for member in &spec.members {
        let more = usize::from(extra > 0);
        extra -= more;
        let mut room = quota + more;
        let mut target = Assignment::new();
        for (topic, partition) in spec.kept(member) {
            if !taken.insert((topic, partition)) {
                continue;
            }
            if room > 0 {
                room -= 1;
                target.entry(topic).or_default().insert(partition);
            } else {
                free.insert((topic, partition));
            }
        }
        targets.insert(member.id.clone(), target);
        unfilled.push((member.id, room));
    }
    let mut free = free.into_iter();
    for (id, room) in unfilled {
        let target = targets.entry(id.clone()).or_default();
        for (topic, partition) in free.by_ref().take(room) {
            target.entry(topic).or_default().insert(partition);
        }
    }
    targets
}

/// Members differ in what they want.
fn least_loaded(spec: &Spec<'_>) -> Targets {
    let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (at, member) in spec.members.iter().enumerate() {
        for topic in &member.topics {
            subscribers.entry(*topic).or_default().push(at);
        }
    }
    let mut owner: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    let mut load = vec![0_usize; spec.members.len()];
    for (at, member) in spec.members.iter().enumerate() {
        for place in spec.kept(member) {
            owner.entry(place).or_insert_with(|| {
                load[at] += 1;
                at
            });
        }
    }
    let mut topics: Vec<_> = subscribers.iter().collect();
    topics.sort_by_key(|(topic, members)| (members.len(), **topic));
    let least =
        |members: &[usize], load: &[usize]| members.iter().copied().min_by_key(|at| load[*at]);
    for (topic, members) in &topics {
        for partition in 0..spec.partitions(**topic) {
            if let Some(at) = least(members, &load)
                && !owner.contains_key(&(**topic, partition))
            {
                owner.insert((**topic, partition), at);
                load[at] += 1;
            }
        }
    }
    // Each move makes the sum of the loads' squares less, so this ends.
    let mut has_moved = true;
    while has_moved {
        has_moved = false;
        for ((topic, _), at) in &mut owner {
            let members = subscribers.get(topic).map_or(&[][..], Vec::as_slice);
            if let Some(to) = least(members, &load).filter(|to| load[*to] + 1 < load[*at]) {
                load[*at] -= 1;
                load[to] += 1;
                *at = to;
                has_moved = true;
            }
        }
    }
    let none = |member: &MemberSpec<'_>| (member.id.clone(), Assignment::new());
    let mut targets: Targets = spec.members.iter().map(none).collect();
    for ((topic, partition), at) in owner {
        if let Some(target) = targets.get_mut(spec.members[at].id) {
            target.entry(topic).or_default().insert(partition);
        }
    }
    targets
}
