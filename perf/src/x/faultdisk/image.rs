//! What a disk holds, what was written to it in which order, and what a power cut leaves of it.
//!
//! The rule of a disk with a volatile cache: a write is safe once a flush that began after its
//! answer was answered. Of all later writes any set of 512-byte sectors may have reached the
//! medium. Sectors written twice keep their order: a cache holds only the newest.

use std::sync::Arc;

use thalweg_storage::testing::Prng;

/// Bytes of a page of the image.
const PAGE_BYTES: usize = 4096;
/// What a device writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// One thing that the file system asked of the disk.
#[derive(Debug, Clone)]
pub enum Event {
    /// Bytes were written here, and the write was answered.
    Write(u64, Arc<[u8]>),
    /// All writes before it are safe.
    Flush,
}

/// The content of a disk; clones share their pages.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
}

impl Image {
    /// A disk of zeros.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let count = usize::try_from(bytes).unwrap_or(0) / PAGE_BYTES;
        Self {
            pages: vec![None; count],
        }
    }

    /// Size of the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    /// Copies what lies at `position` to `into`; zeros behind the end.
    pub fn read(&self, position: u64, into: &mut [u8]) {
        let mut at = usize::try_from(position).unwrap_or(usize::MAX);
        let mut into = into;
        while !into.is_empty() {
            let within = at % PAGE_BYTES;
            let count = into.len().min(PAGE_BYTES - within);
            let (part, rest) = into.split_at_mut(count);
            match self.pages.get(at / PAGE_BYTES) {
                Some(Some(page)) => part.copy_from_slice(&page[within..within + count]),
                _ => part.fill(0),
            }
            into = rest;
            at += count;
        }
    }

    /// Puts `bytes` at `position`; what lies behind the end is dropped.
    pub fn write(&mut self, position: u64, bytes: &[u8]) {
        let mut at = usize::try_from(position).unwrap_or(usize::MAX);
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let within = at % PAGE_BYTES;
            let (part, rest) = bytes.split_at(bytes.len().min(PAGE_BYTES - within));
            if let Some(page) = self.pages.get_mut(at / PAGE_BYTES) {
                let page = page.get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
                Arc::make_mut(page)[within..within + part.len()].copy_from_slice(part);
            }
            bytes = rest;
            at += part.len();
        }
    }

    /// Turns one bit around.
    pub fn flip(&mut self, position: u64, bit: u8) {
        let mut byte = [0];
        self.read(position, &mut byte);
        self.write(position, &[byte[0] ^ (1 << (bit % 8))]);
    }
}

/// What happens to the writes that no flush covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of them are there, as after the end of the process only.
    All,
    /// None is.
    None,
    /// Some whole writes are.
    Some,
    /// Of each write some sectors are.
    Torn,
}

/// Replays a log of writes up to one place after the other.
#[derive(Debug)]
pub struct Cut<'a> {
    log: &'a [Event],
    /// What is safe before `flushed`.
    safe: Image,
    flushed: usize,
}

impl<'a> Cut<'a> {
    /// `base` is what the disk held when the log began.
    #[must_use]
    pub fn new(base: Image, log: &'a [Event]) -> Self {
        Self {
            log,
            safe: base,
            flushed: 0,
        }
    }

    /// What a cut after the first `place` events may leave. Places must not go back.
    pub fn at(&mut self, place: usize, prng: &mut Prng) -> (Image, Keep) {
        let place = place.min(self.log.len());
        let before = self.log.get(..place).unwrap_or(&[]);
        let is_flush = |event: &Event| matches!(event, Event::Flush);
        let flush = before.iter().rposition(is_flush).map_or(0, |at| at + 1);
        if flush > self.flushed {
            for event in &before[self.flushed..flush] {
                if let Event::Write(position, bytes) = event {
                    self.safe.write(*position, bytes);
                }
            }
            self.flushed = flush;
        }
        let keep = [Keep::All, Keep::None, Keep::Some, Keep::Torn][prng.below(4)];
        let mut image = self.safe.clone();
        for event in &before[self.flushed..] {
            if let Event::Write(position, bytes) = event {
                leave(&mut image, (*position, bytes), keep, prng);
            }
        }
        (image, keep)
    }
}

/// What is left of one unflushed write.
fn leave(image: &mut Image, (position, bytes): (u64, &[u8]), keep: Keep, prng: &mut Prng) {
    match keep {
        Keep::None => {}
        Keep::All => image.write(position, bytes),
        Keep::Some => {
            if prng.chance(0.5) {
                image.write(position, bytes);
            }
        }
        Keep::Torn => {
            for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if prng.chance(0.5) {
                    image.write(position + (number * SECTOR_BYTES) as u64, sector);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(position: u64, byte: u8) -> Event {
        Event::Write(position, Arc::from(vec![byte; 1024]))
    }

    fn byte(image: &Image, at: u64) -> u8 {
        let mut byte = [0];
        image.read(at, &mut byte);
        byte[0]
    }

    #[test]
    fn bytes_come_back_over_page_bounds() {
        let mut image = Image::new(16 << 10);
        let bytes: Vec<u8> = (0..9000_u32).map(|at| at as u8).collect();
        image.write(1000, &bytes);
        let mut read = vec![0; 9000];
        image.read(1000, &mut read);
        assert_eq!(
            (read, byte(&image, 999), byte(&image, 10_000)),
            (bytes, 0, 0)
        );
        image.flip(1001, 3);
        assert_eq!(byte(&image, 1001), 1 ^ 8);
    }

    #[test]
    fn a_cut_keeps_what_was_flushed_and_any_part_of_the_rest() {
        let log = [write(0, 1), Event::Flush, write(512, 2), write(4096, 3)];
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut cut = Cut::new(Image::new(8192), &log);
            let (image, _) = cut.at(4, &mut Prng::new(seed));
            assert_eq!(byte(&image, 0), 1, "it was flushed");
            let sectors = [512, 1024, 4096, 4608].map(|at| byte(&image, at));
            assert!([1, 2].contains(&sectors[0]) && [0, 2].contains(&sectors[1]));
            seen.insert(sectors);
        }
        assert_eq!(seen.len(), 16, "any set of sectors: {seen:?}");
        let mut cut = Cut::new(Image::new(8192), &log);
        let (image, _) = cut.at(0, &mut Prng::new(1));
        assert_eq!(byte(&image, 0), 0, "nothing was written yet");
    }
}
