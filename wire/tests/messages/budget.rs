//! Nothing that a socket delivers makes decoding panic, or allocate beyond its budget of 16 bytes a
//! byte received. Views in fact allocate nothing; copies are measured too, and what they need is
//! bounded by a constant a byte.

use std::collections::BTreeMap;

use crate::random::{Instance, Random};
use crate::{Entry, for_each_version};

/// The design's promise, in bytes allocated a byte received.
const BUDGET: u64 = 16;

/// A copy holds structures and lists where the wire holds packed bytes. No instance, honest or
/// lying, needs more than this a byte received; the node copies only what it keeps.
const COPY_BUDGET: u64 = 40;

/// Numbers that counts and lengths are overwritten with.
const LIES: [&[u8]; 6] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0x00, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

/// Cut at every place, a flipped bit at every place, a lie at every place.
fn hostile(bytes: &[u8], seed: u64, mut test: impl FnMut(&[u8])) {
    let mut random = Random(seed);
    let mut copy = bytes.to_vec();
    for at in 0..bytes.len() {
        test(&bytes[..at]);
        copy[at] ^= 1 << random.below(8);
        test(&copy);
        copy[at] = random.next() as u8;
        test(&copy);
        copy[at] = bytes[at];
        let lie = LIES[random.below(LIES.len())];
        let room = lie.len().min(bytes.len() - at);
        copy[at..at + room].copy_from_slice(&lie[..room]);
        test(&copy);
        copy[at..at + room].copy_from_slice(&bytes[at..at + room]);
    }
    test(bytes);
}

fn allocated(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).bytes_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocated(|| drop(Vec::<u8>::with_capacity(100))), 100);
}

#[test]
fn no_bytes_make_a_view_allocate() {
    let mut tries = 0_u64;
    for_each_version(|entry, message, version| {
        for seed in 0..2 {
            let bytes = Instance::new(message, version, seed).bytes();
            hostile(&bytes, seed, |bytes| {
                tries += 1;
                let spent = allocated(|| drop((entry.decode)(bytes, version)));
                assert!(spent <= BUDGET * bytes.len() as u64, "{}", entry.name);
                assert_eq!(spent, 0, "{} v{version}: {bytes:?}", entry.name);
            });
        }
    });
    println!("{tries} decodes, nothing allocated");
}

#[test]
fn a_copy_is_bounded_by_the_bytes_received() {
    let mut worst: BTreeMap<&str, (u64, String)> = BTreeMap::new();
    for_each_version(|entry, message, version| {
        let mut note = |bytes: &[u8]| {
            let ratio = copy_ratio(entry, version, bytes);
            let family = worst.entry(entry.family).or_default();
            if ratio > family.0 {
                *family = (ratio, format!("{} v{version}", entry.name));
            }
        };
        for seed in 0..8 {
            let mut lean = Instance::new(message, version, seed);
            lean.lean = true;
            note(&lean.bytes());
        }
        hostile(&Instance::new(message, version, 7).bytes(), 7, note);
    });
    println!("bytes a byte of the worst copies: {worst:?}");
    assert!(
        worst.values().all(|(ratio, _)| *ratio <= COPY_BUDGET),
        "{worst:?}"
    );
}

fn copy_ratio(entry: &Entry, version: i16, bytes: &[u8]) -> u64 {
    let spent = allocated(|| drop((entry.copy)(bytes, version)));
    spent / (bytes.len() as u64).max(1)
}
