//! One file of the seeded disk: what reads see, what a crash leaves, and the changes in between.
//!
//! A change is pending from its submission until a flush that was asked for after it was done has
//! succeeded. A crash keeps, of every pending write, any subset of its 512-byte sectors, and of the
//! pending size changes any prefix (a file system's journal is ordered; data is not). A change that
//! a failed flush covered is lost to later flushes: those succeed without having written it, which
//! is what kernels do.

use crate::testing::Prng;

/// What a device writes in one piece.
pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In flight.
    Submitted,
    /// Answered; the next flush makes it durable.
    Done,
    /// Failed, or covered by a flush that failed: no flush speaks for it any more.
    Lost,
}

enum Effect {
    Write { position: usize, bytes: Vec<u8> },
    Size(usize),
}

struct Change {
    id: u64,
    stage: Stage,
    effect: Effect,
}

/// See the head.
#[derive(Default)]
pub(super) struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    next_id: u64,
}

impl Inode {
    /// The file as reads see it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.current
    }

    pub(super) fn submit_write(&mut self, position: usize, bytes: Vec<u8>) -> u64 {
        self.push(Stage::Submitted, Effect::Write { position, bytes })
    }

    /// Changes the size at once; durable with the next flush.
    pub(super) fn set_size(&mut self, bytes: usize) {
        if bytes != self.current.len() {
            self.current.resize(bytes, 0);
            self.push(Stage::Done, Effect::Size(bytes));
        }
    }

    /// A submitted write has landed in the device's cache.
    pub(super) fn complete(&mut self, id: u64) {
        let Some(change) = self.pending.iter_mut().find(|change| change.id == id) else {
            return;
        };
        change.stage = Stage::Done;
        let Effect::Write { position, bytes } = &change.effect else {
            return;
        };
        let end = position + bytes.len();
        let grows = end > self.current.len();
        if grows {
            self.current.resize(end, 0);
        }
        self.current[*position..end].copy_from_slice(bytes);
        if grows {
            self.push(Stage::Done, Effect::Size(end));
        }
    }

    /// A submitted write was answered with an error: any part of it may be on the device.
    pub(super) fn fail(&mut self, id: u64) {
        self.lose(&[id]);
    }

    /// What a flush submitted now will cover.
    pub(super) fn done(&self) -> Vec<u64> {
        self.pending
            .iter()
            .filter(|change| change.stage == Stage::Done)
            .map(|change| change.id)
            .collect()
    }

    /// What a durable write covers: itself and the size changes before it that it needs.
    pub(super) fn needed_by(&self, id: u64) -> Vec<u64> {
        self.pending
            .iter()
            .filter(|change| change.stage == Stage::Done)
            .filter(|change| change.id == id || matches!(change.effect, Effect::Size(_)))
            .map(|change| change.id)
            .collect()
    }

    /// The flush that covered these has succeeded.
    pub(super) fn flush(&mut self, ids: &[u64]) {
        for id in ids {
            let Some(at) = self.pending.iter().position(|change| change.id == *id) else {
                continue;
            };
            if self.pending[at].stage != Stage::Done {
                continue;
            }
            match self.pending.remove(at).effect {
                Effect::Write { position, bytes } => {
                    write(&mut self.durable, position, &bytes);
                    self.supersede(at, position, position + bytes.len());
                }
                Effect::Size(bytes) => {
                    self.durable.resize(bytes, 0);
                    self.supersede(at, bytes, usize::MAX);
                }
            }
        }
    }

    /// The flush that covered these has failed.
    pub(super) fn lose(&mut self, ids: &[u64]) {
        for change in &mut self.pending {
            if ids.contains(&change.id) {
                change.stage = Stage::Lost;
            }
        }
    }

    /// Power is cut: only `durable` and what the seed lets survive of the pending changes is left.
    pub(super) fn crash(&mut self, prng: &mut Prng) {
        let sizes = self
            .pending
            .iter()
            .filter(|change| matches!(change.effect, Effect::Size(_)));
        let mut sizes_kept = prng.below(sizes.count() + 1);
        let mut image = std::mem::take(&mut self.durable);
        let mut size = image.len();
        for change in self.pending.drain(..) {
            match change.effect {
                Effect::Write { position, bytes } => tear(&mut image, position, &bytes, prng),
                Effect::Size(bytes) if sizes_kept > 0 => {
                    sizes_kept -= 1;
                    image.truncate(bytes);
                    size = bytes;
                }
                Effect::Size(_) => {}
            }
        }
        image.resize(size, 0);
        self.current = image.clone();
        self.durable = image;
    }

    /// The process is killed while power stays on: what was answered is seen, as durable as it was.
    /// Of what was in flight or has failed, the seed says which sectors landed.
    pub(super) fn kill(&mut self, prng: &mut Prng) {
        self.current = self.durable.clone();
        for change in std::mem::take(&mut self.pending) {
            match change.effect {
                Effect::Size(bytes) => self.set_size(bytes),
                Effect::Write { position, bytes } if change.stage == Stage::Done => {
                    self.land(position, bytes);
                }
                Effect::Write { position, bytes } => {
                    for sector in landed(position, &bytes, prng) {
                        self.land(position + sector.start, bytes[sector].to_vec());
                    }
                }
            }
        }
    }

    fn land(&mut self, position: usize, bytes: Vec<u8>) {
        let id = self.submit_write(position, bytes);
        self.complete(id);
    }

    /// Flips bits, for reads now and after every crash.
    pub(super) fn rot(&mut self, position: usize, mask: u8) {
        for image in [&mut self.current, &mut self.durable] {
            if let Some(byte) = image.get_mut(position) {
                *byte ^= mask;
            }
        }
    }

    fn push(&mut self, stage: Stage, effect: Effect) -> u64 {
        self.next_id += 1;
        self.pending.push(Change {
            id: self.next_id,
            stage,
            effect,
        });
        self.next_id
    }

    /// Older pending writes can no longer reach `from..to`: something newer is durable there.
    fn supersede(&mut self, before: usize, from: usize, to: usize) {
        let newer = self.pending.split_off(before);
        for change in std::mem::take(&mut self.pending) {
            let Effect::Write { position, bytes } = &change.effect else {
                self.pending.push(change);
                continue;
            };
            let (start, end) = (*position, position + bytes.len());
            let mut keep = |range: std::ops::Range<usize>| {
                if range.start < range.end {
                    let bytes = bytes[range.start - start..range.end - start].to_vec();
                    let effect = Effect::Write {
                        position: range.start,
                        bytes,
                    };
                    self.pending.push(Change {
                        id: change.id,
                        stage: change.stage,
                        effect,
                    });
                }
            };
            keep(start..end.min(from));
            keep(start.max(to)..end);
        }
        self.pending.extend(newer);
    }
}

fn write(image: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if end > image.len() {
        image.resize(end, 0);
    }
    image[position..end].copy_from_slice(bytes);
}

/// Lets some sectors of an unflushed write reach the image.
fn tear(image: &mut Vec<u8>, position: usize, bytes: &[u8], prng: &mut Prng) {
    for sector in landed(position, bytes, prng) {
        write(image, position + sector.start, &bytes[sector]);
    }
}

/// The sectors of an unflushed write that land: often all or none, as with real caches.
fn landed(position: usize, bytes: &[u8], prng: &mut Prng) -> Vec<std::ops::Range<usize>> {
    let probability = [0.0, 0.1, 0.5, 0.9, 1.0][prng.below(5)];
    let mut landed = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest_of_sector = SECTOR_BYTES - (position + at) % SECTOR_BYTES;
        let end = bytes.len().min(at + rest_of_sector);
        if prng.chance(probability) {
            landed.push(at..end);
        }
        at = end;
    }
    landed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(inode: &mut Inode, position: usize, bytes: &[u8]) -> u64 {
        let id = inode.submit_write(position, bytes.to_vec());
        inode.complete(id);
        id
    }

    #[test]
    fn a_flush_covers_what_was_done_before_it() {
        let mut inode = Inode::default();
        written(&mut inode, 0, &[1; 1024]);
        let covered = inode.done();
        written(&mut inode, 0, &[2; 512]);
        inode.flush(&covered);
        assert_eq!(inode.bytes()[0], 2);
        let mut seen = [false; 3];
        for seed in 0..50 {
            let mut copy = Inode {
                durable: inode.durable.clone(),
                ..Inode::default()
            };
            written(&mut copy, 0, &[2; 512]);
            copy.crash(&mut Prng::new(seed));
            assert!(copy.bytes()[512..].iter().all(|byte| *byte == 1));
            seen[usize::from(copy.bytes()[0])] = true;
        }
        assert_eq!(seen, [false, true, true]);
    }

    #[test]
    fn a_durable_write_is_never_undone_by_an_older_one() {
        for seed in 0..50 {
            let mut inode = Inode::default();
            written(&mut inode, 0, &[1; 4096]);
            let newer = written(&mut inode, 1024, &[2; 1024]);
            inode.flush(&inode.needed_by(newer));
            inode.crash(&mut Prng::new(seed));
            assert_eq!(inode.bytes()[1024..2048], [2; 1024], "seed {seed}");
        }
    }

    #[test]
    fn what_a_failed_flush_covered_stays_in_doubt() {
        let lost = (0..50).filter(|seed| {
            let mut inode = Inode::default();
            written(&mut inode, 0, &[1; 512]);
            inode.lose(&inode.done());
            inode.flush(&inode.done());
            inode.crash(&mut Prng::new(*seed));
            inode.bytes() != [1; 512]
        });
        assert!(lost.count() > 5);
    }

    #[test]
    fn a_kill_loses_nothing_that_was_answered_and_makes_nothing_durable() {
        let (mut landed, mut lost) = (0, 0);
        for seed in 0..50 {
            let mut inode = Inode::default();
            written(&mut inode, 0, &[1; 1024]);
            inode.submit_write(1024, vec![2; 512]);
            inode.kill(&mut Prng::new(seed));
            assert_eq!(inode.bytes()[..1024], [1; 1024], "seed {seed}");
            landed += usize::from(inode.bytes().len() == 1536);
            inode.crash(&mut Prng::new(seed));
            lost += usize::from(inode.bytes().get(..1024) != Some(&[1; 1024]));
        }
        assert!(landed > 5 && lost > 5, "{landed} landed, {lost} lost");
    }

    #[test]
    fn a_truncation_clears_what_grows_again() {
        let mut inode = Inode::default();
        written(&mut inode, 0, &[1; 1024]);
        inode.set_size(512);
        inode.set_size(1024);
        assert_eq!(inode.bytes()[512..], [0; 512]);
        inode.flush(&inode.done());
        inode.crash(&mut Prng::new(1));
        assert_eq!(
            (inode.bytes().len(), inode.bytes()[511], inode.bytes()[512]),
            (1024, 1, 0)
        );
    }
}
