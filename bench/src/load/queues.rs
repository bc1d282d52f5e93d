//! Records that are due and wait for a request, by partition.
//!
//! Pure: time is an argument. Records become due by the schedule whether or not there is room for
//! them; at maximum rate they are made when a request has room. A request takes at most one batch
//! of each partition, those that waited longest first.

use std::collections::VecDeque;

use super::keys::Spread;
use super::pace::Schedule;
use super::template::Due;

/// Records due that are kept here; what is due beyond is left to the schedule.
const QUEUED_MAX: usize = 4_000_000;

/// How many records of a request go to one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) slot: usize,
    pub(super) count: usize,
}

/// The records of a request, one part after the other.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) dues: Vec<Due>,
    pub(super) parts: Vec<Part>,
}

/// How much goes together, and for how long it may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) batch_records: usize,
    pub(super) request_records: usize,
    pub(super) linger_ns: u64,
}

#[derive(Debug)]
pub(super) struct Queues {
    limits: Limits,
    schedule: Schedule,
    spread: Spread,
    /// By slot.
    queues: Vec<VecDeque<Due>>,
    /// Slots with records, the one that waits longest in front.
    waiting: VecDeque<usize>,
    queued: usize,
    /// Queues that hold a batch or more.
    full: usize,
    /// Number of the next record that becomes due.
    next: u64,
}

impl Queues {
    pub(super) fn new(
        limits: Limits,
        schedule: Schedule,
        (spread, slots): (Spread, usize),
    ) -> Self {
        Self {
            limits,
            schedule,
            spread,
            queues: vec![VecDeque::new(); slots],
            waiting: VecDeque::new(),
            queued: 0,
            full: 0,
            next: 0,
        }
    }

    /// True if records are due at times of their own.
    pub(super) const fn is_open(&self) -> bool {
        self.schedule.is_open()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next record is due; at maximum rate, at the start.
    fn due_ns(&self) -> u64 {
        self.schedule.intended_ns(self.next)
    }

    /// Takes in what is due by now.
    pub(super) fn admit(&mut self, now: u64) {
        let open = self.is_open();
        let limit = match open {
            true => QUEUED_MAX,
            false => self.limits.request_records,
        };
        while self.queued < limit && self.due_ns() <= now {
            let place = self.spread.peek();
            let Some(queue) = self.queues.get_mut(place.slot) else {
                return;
            };
            // At maximum rate, one batch a partition: what a request can take.
            if !open && queue.len() >= self.limits.batch_records {
                return;
            }
            if queue.is_empty() {
                self.waiting.push_back(place.slot);
            }
            queue.push_back(Due {
                intended_ns: self.schedule.intended_ns(self.next),
                key: place.key,
            });
            self.full += usize::from(queue.len() == self.limits.batch_records);
            self.queued += 1;
            self.next += 1;
            self.spread.advance();
        }
    }

    /// When the record that waits longest was due.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        let queue = self.queues.get(*self.waiting.front()?)?;
        Some(queue.front()?.intended_ns)
    }

    /// When there is a request to be sent, as far as is known now: a record has lingered, or a
    /// batch is full.
    pub(super) fn ready_ns(&self) -> u64 {
        if self.full > 0 {
            return 0;
        }
        let due = self.oldest_ns().unwrap_or_else(|| self.due_ns());
        let filled = self.spread.until_full(self.limits.batch_records);
        let full_ns = filled.map(|more| self.schedule.intended_ns(self.next + more - 1));
        due.saturating_add(self.limits.linger_ns)
            .min(full_ns.unwrap_or(u64::MAX).max(due))
    }

    /// Takes a batch from each waiting partition, as many as fit a request.
    pub(super) fn take(&mut self, load: &mut Load) {
        load.dues.clear();
        load.parts.clear();
        for _ in 0..self.waiting.len() {
            let room = self.limits.request_records.saturating_sub(load.dues.len());
            let Some(slot) = self.waiting.front().copied().filter(|_| room > 0) else {
                return;
            };
            let Some(queue) = self.queues.get_mut(slot) else {
                return;
            };
            let count = queue.len().min(self.limits.batch_records).min(room);
            let was_full = queue.len() >= self.limits.batch_records;
            load.dues.extend(queue.drain(..count));
            load.parts.push(Part { slot, count });
            self.waiting.pop_front();
            if !queue.is_empty() {
                self.waiting.push_back(slot);
            }
            self.full -= usize::from(was_full && queue.len() < self.limits.batch_records);
            self.queued -= count;
        }
    }

    /// When each record was due that is due before `to_ns` and was not taken.
    pub(super) fn untaken(&self, to_ns: u64) -> impl Iterator<Item = u64> {
        let queued = self.queues.iter().flatten().map(|due| due.intended_ns);
        let later = (self.next..).map(|index| self.schedule.intended_ns(index));
        queued.chain(later.take_while(move |intended| *intended < to_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::Plan;
    use super::*;
    use crate::settings::{Keys, Partitioner};

    fn queues(rate: Option<f64>, partitioner: Partitioner, linger_ns: u64) -> Queues {
        let plan = Plan {
            keys: Keys::None,
            partitioner,
            batch_records: 2,
            partitions: 3,
            led: &[0, 1, 2],
            producer: 0,
            producers: 1,
        };
        let limits = Limits {
            batch_records: 2,
            request_records: 5,
            linger_ns,
        };
        let schedule = Schedule::new(rate, (0, 1), 1.0);
        Queues::new(limits, schedule, (plan.spread(), 3))
    }

    fn take(queues: &mut Queues) -> Vec<(usize, usize)> {
        let mut load = Load::default();
        queues.take(&mut load);
        load.parts
            .iter()
            .map(|part| (part.slot, part.count))
            .collect()
    }

    #[test]
    fn a_request_has_one_batch_a_partition_and_a_limit() {
        let mut queues = queues(Some(1e9), Partitioner::RoundRobin, 0);
        queues.admit(99);
        assert_eq!(take(&mut queues), [(0, 2), (1, 2), (2, 1)]);
        // The one that was cut short waits behind the others now.
        assert_eq!(take(&mut queues), [(0, 2), (1, 2), (2, 1)]);
        assert_eq!(queues.untaken(200).count(), 190);
    }

    #[test]
    fn at_maximum_rate_only_a_request_is_made() {
        let mut queues = queues(None, Partitioner::Sticky, 0);
        queues.admit(0);
        assert_eq!(take(&mut queues), [(0, 2), (1, 2), (2, 1)]);
        queues.admit(0);
        assert_eq!(
            take(&mut queues).iter().map(|part| part.1).sum::<usize>(),
            5
        );
    }

    #[test]
    fn linger_ends_with_time_or_with_a_full_batch() {
        // A record every 1000 ns, batches of two, one partition after the other.
        let mut slow = queues(Some(1e6), Partitioner::Sticky, 300);
        assert_eq!(slow.ready_ns(), 300);
        slow.admit(300);
        assert_eq!(take(&mut slow), [(0, 1)]);
        let mut fast = queues(Some(1e6), Partitioner::Sticky, 5000);
        fast.admit(0);
        assert_eq!(fast.ready_ns(), 1000);
        fast.admit(1000);
        assert_eq!((fast.ready_ns(), take(&mut fast)), (0, vec![(0, 2)]));
    }

    #[test]
    fn no_more_is_queued_than_the_limit() {
        let mut queues = queues(Some(1e9), Partitioner::Sticky, 0);
        queues.admit(u64::MAX / 2);
        assert_eq!(queues.queued, QUEUED_MAX);
        assert_eq!(queues.untaken(5_000_000).count(), 5_000_000);
    }
}
