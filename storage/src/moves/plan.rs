//! What becomes of the partitions that pin the oldest journal file. Pure.
//!
//! The victim is always the oldest file: were it chosen by size, the one small partition in it
//! would pin it for ever. Partitions with much pending are moved; the rest of them, under a block
//! each, and all small partitions whole are carried: journaled again. If that were more than the
//! budget, the largest of the small ones are moved too, down to one block.

use thalweg_wire::ids::PartitionId;

use crate::disk::BLOCK_BYTES;

/// A partition that has live entries in the victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: PartitionId,
    /// Accepted bytes that no segment holds.
    pub(crate) pending: u64,
    /// Its files take nothing more.
    pub(crate) failed: bool,
}

/// Limits of one victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Budget {
    /// Partitions with at least this much pending are moved.
    pub(crate) move_bytes_min: u64,
    /// Small partitions are carried up to this sum.
    pub(crate) carry_bytes_max: u64,
}

/// Who is moved and who is carried whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) moved: Vec<PartitionId>,
    pub(crate) carried: Vec<PartitionId>,
}

/// See the module's head. The order within the plan is that of the candidates' sizes.
pub(crate) fn plan(mut candidates: Vec<Candidate>, budget: &Budget) -> Plan {
    candidates.sort_by_key(|candidate| (candidate.pending, candidate.id));
    let mut plan = Plan::default();
    let mut carried = 0;
    for candidate in candidates {
        let movable = !candidate.failed && candidate.pending >= BLOCK_BYTES as u64;
        let large = candidate.pending >= budget.move_bytes_min;
        let over = carried + candidate.pending > budget.carry_bytes_max;
        if movable && (large || over) {
            plan.moved.push(candidate.id);
        } else {
            carried += candidate.pending;
            plan.carried.push(candidate.id);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::ids::{PartitionIndex, Uuid};

    fn indexes(ids: &[PartitionId]) -> Vec<i32> {
        ids.iter().map(|id| id.index.0).collect()
    }

    fn check(pending: &[(u64, bool)], carry_bytes_max: u64, moved: &[i32], carried: &[i32]) {
        let candidates = pending
            .iter()
            .zip(0..)
            .map(|((pending, failed), index)| Candidate {
                id: PartitionId {
                    topic: Uuid::ZERO,
                    index: PartitionIndex(index),
                },
                pending: *pending,
                failed: *failed,
            });
        let budget = Budget {
            move_bytes_min: 64 << 10,
            carry_bytes_max,
        };
        let plan = plan(candidates.collect(), &budget);
        assert_eq!(
            (indexes(&plan.moved), indexes(&plan.carried)),
            (moved.to_vec(), carried.to_vec())
        );
    }

    #[test]
    fn large_ones_move_and_small_ones_are_carried() {
        check(
            &[(100_000, false), (0, false), (65_535, false)],
            1 << 20,
            &[0],
            &[1, 2],
        );
    }

    #[test]
    fn beyond_the_budget_small_ones_move_too_but_never_less_than_a_block() {
        check(
            &[(5_000, false), (5_001, false), (4_095, false)],
            9_500,
            &[1],
            &[2, 0],
        );
        check(&[(4_000, false), (4_000, false)], 100, &[], &[0, 1]);
    }

    #[test]
    fn a_failed_one_is_carried_whatever_its_size() {
        check(&[(1 << 20, true), (1 << 20, false)], 100, &[1], &[0]);
    }
}
