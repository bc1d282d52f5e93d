//! The `range` assignor: every topic is cut into ranges, one for each of its subscribers.
//!
//! Topics with as many subscribers are cut alike, so that the same member gets the same partitions of each. Static
//! members come first, by name; then the others, by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_wire::ids::Uuid;

use super::assign::Spec;
use super::state::Assignment;

/// How far a topic is given out.
struct Cut {
    partitions: i32,
    quota: i32,
    extra: i32,
    next: i32,
}

/// What each member is to have.
pub(super) fn range(spec: &Spec<'_>) -> BTreeMap<Arc<str>, Assignment> {
    let mut subscribers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for topic in spec.members.iter().flat_map(|member| &member.topics) {
        *subscribers.entry(*topic).or_default() += 1;
    }
    let mut cuts: BTreeMap<Uuid, Cut> = BTreeMap::new();
    for (topic, count) in subscribers {
        let partitions = spec.partitions(topic);
        let cut = Cut {
            partitions,
            quota: partitions / count,
            extra: partitions % count,
            next: 0,
        };
        cuts.insert(topic, cut);
    }
    let mut order: Vec<_> = spec.members.iter().collect();
    order.sort_by_key(|member| (member.instance.is_none(), member.instance, member.id));
    let mut targets = BTreeMap::new();
    for member in order {
        let mut target = Assignment::new();
        for topic in &member.topics {
            let Some(cut) = cuts.get_mut(topic) else {
                continue;
            };
            let more = i32::from(cut.extra > 0);
            cut.extra -= more;
            let end = (cut.next + cut.quota + more).min(cut.partitions);
            if cut.next < end {
                target.insert(*topic, (cut.next..end).collect());
            }
            cut.next = end;
        }
        targets.insert(member.id.clone(), target);
    }
    targets
}
