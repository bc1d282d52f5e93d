//! One member's way from what it has to what it is to have.
//!
//! First it gives up what is not its own any more, in its old epoch; then it enters the target's epoch and takes
//! what is free; what others still hold comes when they have given it up.

use std::sync::Arc;

use crate::error::{ErrorCode, Refusal};

use super::state::{Assignment, ConsumerGroup, Current, Epochs, State};

/// The member's next step towards its target, and its present state if there is none. `owned`: what it says that it
/// has, if it says so.
pub(super) fn reconcile(
    group: &ConsumerGroup,
    id: &str,
    owned: Option<&Assignment>,
) -> Result<Arc<Current>, Refusal> {
    let Some(member) = group.members.get(id) else {
        return Err(super::heartbeat::unknown_member(id));
    };
    let current = &member.current;
    let epoch = match current.state {
        State::Stable if current.epoch == group.assignment_epoch => return Ok(current.clone()),
        State::Stable | State::Unreleased => current.epoch,
        State::Unrevoked if still_owns(owned, &current.revoking) => return Ok(current.clone()),
        State::Unrevoked => current.epoch + 1,
        State::Unknown if owned.is_some_and(Assignment::is_empty) => group.assignment_epoch,
        State::Unknown => {
            let words = "The consumer group member is in a unknown state. The member must abandon all its \
                         partitions and rejoin.";
            return Err(Refusal::new(ErrorCode::FencedMemberEpoch, words));
        }
    };
    Ok(Arc::new(next(group, (id, current), epoch, owned)))
}

fn next(
    group: &ConsumerGroup,
    (id, current): (&str, &Current),
    epoch: i32,
    owned: Option<&Assignment>,
) -> Current {
    let target = group.target(id);
    let (mut kept, mut revoking) = (Epochs::new(), Epochs::new());
    for (topic, partitions) in &current.assigned {
        for (partition, since) in partitions {
            let stays = target
                .get(topic)
                .is_some_and(|wanted| wanted.contains(partition));
            let to = if stays { &mut kept } else { &mut revoking };
            to.entry(*topic).or_default().insert(*partition, *since);
        }
    }
    if !revoking.is_empty() && still_owns(owned, &revoking) {
        return Current {
            epoch,
            previous: current.epoch,
            state: State::Unrevoked,
            assigned: kept,
            revoking,
        };
    }
    let mut state = State::Stable;
    for (topic, partitions) in target.iter() {
        for partition in partitions {
            let had = kept
                .get(topic)
                .is_some_and(|had| had.contains_key(partition));
            // What it gives up with this very step it cannot be given by it.
            let is_free = group.owner(*topic, *partition).is_none_or(|owner| {
                **owner == *id
                    && current
                        .revoking
                        .get(topic)
                        .is_some_and(|had| had.contains_key(partition))
            });
            if had {
                continue;
            }
            if is_free {
                let to = kept.entry(*topic).or_default();
                to.insert(*partition, group.assignment_epoch);
            } else {
                state = State::Unreleased;
            }
        }
    }
    Current {
        epoch: group.assignment_epoch,
        previous: current.epoch,
        state,
        assigned: kept,
        revoking: Epochs::new(),
    }
}

/// A member that does not say what it has may have it still.
fn still_owns(owned: Option<&Assignment>, revoking: &Epochs) -> bool {
    let Some(owned) = owned else {
        return true;
    };
    revoking.iter().any(|(topic, partitions)| {
        let held = owned.get(topic);
        held.is_some_and(|held| partitions.keys().any(|partition| held.contains(partition)))
    })
}
