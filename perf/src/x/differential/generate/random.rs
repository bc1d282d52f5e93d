//! A seeded generator of numbers (splitmix64): the same seed gives the same sequence everywhere.

use serde_json::Value;

#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of the values, by weight.
    pub(super) fn weighted<T: Clone>(&mut self, values: &[(usize, T)]) -> Option<T> {
        let total = values.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, value) in values {
            if left < *weight {
                return Some(value.clone());
            }
            left -= weight;
        }
        None
    }

    /// One of these words: each as often as it stands there.
    pub(super) fn word(&mut self, words: &[&'static str]) -> &'static str {
        words.get(self.below(words.len())).copied().unwrap_or("")
    }

    /// One of these numbers.
    pub(super) fn number(&mut self, numbers: &[i64]) -> Value {
        numbers
            .get(self.below(numbers.len()))
            .copied()
            .unwrap_or(0)
            .into()
    }
}
