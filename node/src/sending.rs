//! Answers on their way into one socket: what comes next, what was sent, what can be given back.
//! Pure: the socket asks and tells.
//!
//! Invariants: bytes come in the order of the answers; memory that was given back is looked for
//! again at the very byte where sending stopped. Deliberately absent: sockets, waiting.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use thalweg_storage::disk::Slice;
use thalweg_storage::read::FileRange;
use thalweg_wire::outgoing::Piece;

use crate::outgoing::{NextBit, Outgoing, Planned, Stretch};
use crate::shard::wait::Permit;

/// Most parts of one gathered send; the kernel's limit is 1,024.
pub const GATHER_PARTS_MAX: usize = 256;

/// See the module's head.
#[derive(Default)]
pub struct Sending {
    own: Vec<Vec<u8>>,
    parts: VecDeque<Part>,
}

enum Part {
    /// A range of `own[of]`.
    Own { of: usize, range: Range<usize> },
    /// Records, of which so many bytes are sent.
    Records {
        stretch: Rc<Stretch>,
        planned: Option<Planned>,
        sent: usize,
    },
}

/// What is to be sent next.
pub enum Next<'a> {
    /// Nothing: all is sent.
    Done,
    /// These bytes, at most [`GATHER_PARTS_MAX`] parts.
    Memory {
        /// In order.
        parts: Vec<&'a [u8]>,
        /// More follows at once.
        more: bool,
    },
    /// A file range, which must be bound; so many bytes of it are sent.
    File(Rc<Stretch>, FileRange, usize),
    /// Records that must be looked for again.
    Plan(Rc<Stretch>),
}

impl Sending {
    /// These answers, in order.
    #[must_use]
    pub fn new(answers: Vec<Outgoing>) -> Self {
        let mut sending = Self::default();
        for answer in answers {
            let (bytes, pieces) = answer.into_parts();
            let of = sending.own.len();
            sending.own.push(bytes);
            let parts = pieces.into_iter().map(|piece| match piece {
                Piece::Bytes(range) => Part::Own { of, range },
                Piece::Stored(stored) => {
                    let (stretch, planned) = stored.source.into_parts();
                    Part::Records {
                        stretch,
                        planned,
                        sent: 0,
                    }
                }
            });
            sending.parts.extend(parts);
        }
        sending
    }

    /// What comes next.
    #[must_use]
    pub fn next(&self) -> Next<'_> {
        let mut memory: Vec<&[u8]> = Vec::new();
        for part in &self.parts {
            match part {
                Part::Own { of, range } => {
                    let own = self.own.get(*of).and_then(|own| own.get(range.clone()));
                    memory.push(own.unwrap_or_default());
                }
                Part::Records {
                    stretch,
                    planned: Some(planned),
                    ..
                } => {
                    for bit in planned.bits() {
                        match bit {
                            NextBit::Memory(slice) => memory.push(slice),
                            NextBit::File(range, sent) if memory.is_empty() => {
                                return Next::File(Rc::clone(stretch), range.clone(), sent);
                            }
                            NextBit::File(..) => return gathered(memory, true),
                        }
                    }
                }
                Part::Records { stretch, .. } if memory.is_empty() => {
                    return Next::Plan(Rc::clone(stretch));
                }
                Part::Records { .. } => return gathered(memory, true),
            }
            if memory.len() > GATHER_PARTS_MAX {
                break;
            }
        }
        gathered(memory, false)
    }

    /// So many bytes were sent.
    pub fn advance(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let Some(front) = self.parts.front_mut() else {
                debug_assert!(false, "more was sent than is there");
                return;
            };
            let is_over = match front {
                Part::Own { range, .. } => {
                    let here = left.min(range.len());
                    range.start += here;
                    left -= here;
                    range.start >= range.end
                }
                Part::Records {
                    stretch,
                    planned,
                    sent,
                } => {
                    let here = left.min(stretch.bytes - *sent);
                    if let Some(planned) = planned {
                        planned.advance(here);
                    }
                    *sent += here;
                    left -= here;
                    *sent == stretch.bytes
                }
            };
            if is_over {
                self.parts.pop_front();
            }
        }
    }

    /// The records that come next were found.
    pub fn planned(&mut self, mut found: Planned) {
        if let Some(Part::Records { planned, sent, .. }) = self.parts.front_mut() {
            found.advance(*sent);
            *planned = Some(found);
        }
    }

    /// The file range that comes next was read into memory.
    pub fn bound(&mut self, slices: Vec<Slice>, permit: Permit) {
        if let Some(Part::Records {
            planned: Some(planned),
            ..
        }) = self.parts.front_mut()
        {
            planned.bound(slices, permit);
        }
    }

    /// Gives slices back: the memory is wanted by others.
    pub fn shed(&mut self) {
        for part in &mut self.parts {
            if let Part::Records { planned, .. } = part {
                planned.take_if(|planned| planned.holds_memory());
            }
        }
    }

    /// True if it keeps slices from being freed.
    #[must_use]
    pub fn holds_memory(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Own { .. } => false,
            Part::Records { planned, .. } => planned.as_ref().is_some_and(Planned::holds_memory),
        })
    }
}

fn gathered(mut memory: Vec<&[u8]>, more: bool) -> Next<'_> {
    if memory.is_empty() {
        return Next::Done;
    }
    let cut = memory.len() > GATHER_PARTS_MAX;
    memory.truncate(GATHER_PARTS_MAX);
    Next::Memory {
        parts: memory,
        more: more || cut,
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::io;
    use std::path::Path;

    use thalweg_storage::journal::entry::Place;
    use thalweg_storage::log::Piece as Found;
    use thalweg_storage::log::ReadPlace;
    use thalweg_storage::read::{Bound, ReaderId};
    use thalweg_wire::bytes::Records;
    use thalweg_wire::header::ResponseHead;
    use thalweg_wire::ids::{Offset, PartitionId, PartitionIndex, Uuid};
    use thalweg_wire::messages::fetch_response::{
        FetchResponse, FetchableTopicResponse, PartitionData,
    };

    use super::*;
    use crate::outgoing::{Binder, Source};
    use crate::shard::wait::{Budget, LocalFuture, poll_once};

    /// A log of 200 bytes, each its own position; the first 100 are in the segment by now.
    struct Log(Budget);

    fn bytes(from: u8, to: u8) -> Vec<u8> {
        (from..to).collect()
    }

    fn slice(from: u8, to: u8) -> Slice {
        Slice::from_vec(bytes(from, to))
    }

    fn file(from: u8, to: u8) -> Found {
        Found::File {
            path: Path::new("log").into(),
            segment: Offset(0),
            position: u64::from(from),
            bytes: usize::from(to - from),
        }
    }

    impl Binder for Log {
        fn replan(&self, stretch: &Rc<Stretch>) -> LocalFuture<io::Result<Planned>> {
            assert_eq!((stretch.place.place.position, stretch.bytes), (20, 150));
            let permit = self.0.try_take(100);
            let pieces = vec![file(20, 100), Found::Memory(slice(100, 170))];
            Box::pin(ready(Ok(Planned::new(pieces, permit))))
        }

        fn bind(
            &self,
            _: &Rc<Stretch>,
            range: &FileRange,
        ) -> LocalFuture<io::Result<(Bound, Permit)>> {
            let from = u8::try_from(range.position).unwrap();
            let to = from + u8::try_from(range.bytes).unwrap();
            let middle = (from + to) / 2;
            let bound = Bound::Memory(vec![slice(from, middle), slice(middle, to)]);
            let permit = self.0.try_take(range.bytes).unwrap();
            Box::pin(ready(Ok((bound, permit))))
        }
    }

    fn answer(budget: &Budget, planned: Option<Vec<Found>>) -> Outgoing {
        let records = Records::Outline { len: 150, token: 0 };
        let body = FetchResponse {
            responses: vec![FetchableTopicResponse {
                partitions: vec![PartitionData {
                    records,
                    ..PartitionData::default()
                }],
                ..FetchableTopicResponse::default()
            }],
            ..FetchResponse::default()
        };
        let head = ResponseHead {
            api_key: 1,
            version: 12,
            correlation_id: 5,
        };
        let stretch = Stretch {
            binder: Rc::new(Log(budget.clone())),
            reader: ReaderId(1),
            partition: PartitionId {
                topic: Uuid::ZERO,
                index: PartitionIndex(0),
            },
            place: ReadPlace {
                place: Place {
                    segment: Offset(0),
                    position: 20,
                },
                generation: 0,
            },
            bytes: 150,
        };
        let planned = planned.map(|pieces| Planned::new(pieces, budget.try_take(1)));
        let mut source = Some(Source::new(stretch, planned).stored());
        Outgoing::response(head, &body, |_| source.take().into_iter().collect()).unwrap()
    }

    /// Sends all, `step` bytes at a time, giving memory back before each byte that `sheds` names.
    fn send(sending: &mut Sending, step: usize, sheds: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut given_back = None;
        loop {
            if sheds(sent.len()) && given_back.replace(sent.len()) != Some(sent.len()) {
                sending.shed();
                assert!(!sending.holds_memory());
            }
            match sending.next() {
                Next::Done => return sent,
                Next::Memory { parts, .. } => {
                    let taken: Vec<u8> = parts.concat().into_iter().take(step).collect();
                    sending.advance(taken.len());
                    sent.extend(taken);
                }
                Next::File(stretch, range, _) => {
                    let mut bound = stretch.binder.bind(&stretch, &range);
                    match poll_once(&mut bound).unwrap().unwrap() {
                        (Bound::Memory(slices), permit) => sending.bound(slices, permit),
                        (Bound::File { .. }, _) => unreachable!("all is read into memory here"),
                    }
                    // Bound to be sent now: not before the next step may it be given back.
                    let Next::Memory { parts, .. } = sending.next() else {
                        panic!("nothing to send of what was bound");
                    };
                    let taken: Vec<u8> = parts.concat().into_iter().take(step).collect();
                    sending.advance(taken.len());
                    sent.extend(taken);
                }
                Next::Plan(stretch) => {
                    let mut planned = stretch.binder.replan(&stretch);
                    let planned = poll_once(&mut planned).unwrap().unwrap();
                    sending.planned(planned);
                }
            }
        }
    }

    #[test]
    fn what_was_given_back_is_sent_from_where_it_is_then() {
        let budget = Budget::new(10_000);
        let tail = || {
            Some(vec![
                Found::Memory(slice(20, 90)),
                Found::Memory(slice(90, 170)),
            ])
        };
        let mixed = || Some(vec![file(20, 60), Found::Memory(slice(60, 170))]);
        let expected = send(
            &mut Sending::new(vec![answer(&budget, tail())]),
            1000,
            |_| false,
        );
        assert!(expected.windows(150).any(|part| part == bytes(20, 170)));
        for step in [1, 7, 64, 1000] {
            for planned in [tail(), mixed(), None] {
                for every in [1, 10, 97, 10_000] {
                    let answers = vec![answer(&budget, planned.clone()), answer(&budget, tail())];
                    let mut sending = Sending::new(answers);
                    let sent = send(&mut sending, step, |at| at % every == every - 1);
                    let twice = [&expected[..], &expected[..]].concat();
                    assert!(sent == twice, "steps of {step}, given back each {every}");
                    drop(sending);
                    assert_eq!(budget.used(), 0, "steps of {step}, given back each {every}");
                }
            }
        }
    }

    #[test]
    fn parts_of_one_send_have_a_limit() {
        let plain = |number: u8| Outgoing::whole(vec![number; 3]);
        let count = GATHER_PARTS_MAX + 10;
        let answers = (0..count).map(|number| plain(u8::try_from(number % 251).unwrap()));
        let mut sending = Sending::new(answers.collect());
        let Next::Memory { parts, more } = sending.next() else {
            panic!("memory comes first");
        };
        assert_eq!((parts.len(), more), (GATHER_PARTS_MAX, true));
        sending.advance(3 * GATHER_PARTS_MAX + 1);
        let Next::Memory { parts, more } = sending.next() else {
            panic!("the rest is memory");
        };
        assert_eq!((parts.len(), parts[0].len(), more), (10, 2, false));
        sending.advance(29);
        assert!(matches!(sending.next(), Next::Done));
    }
}
