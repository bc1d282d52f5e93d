//! The newest offset of each key in the dirty part of a log. Pure.
//!
//! Keys are told apart by a hash of 128 bits under a key of this process: nobody outside can make two
//! keys that meet, which would lose one of them. Kafka uses MD5 for the same reason.

use std::collections::HashMap;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};
use thalweg_wire::ids::Offset;

/// Memory that a key takes, with the map's spare room.
const BYTES_PER_KEY: usize = 48;

/// See the module's head.
pub(crate) struct KeyMap {
    newest: HashMap<[u8; 16], i64>,
    hasher: SipHasher13,
    keys_max: usize,
    /// Everything below was looked at.
    end: Offset,
}

impl KeyMap {
    /// A map of a log from `begin` on, that takes `bytes_max` bytes of memory.
    pub(crate) fn new(begin: Offset, bytes_max: usize) -> Self {
        let mut key = [0; 16];
        let mut seed = std::hash::BuildHasher::build_hasher(&std::hash::RandomState::new());
        for half in key.chunks_mut(8) {
            seed.write_u8(1);
            half.copy_from_slice(&seed.finish().to_le_bytes());
        }
        Self {
            newest: HashMap::new(),
            hasher: SipHasher13::new_with_key(&key),
            keys_max: bytes_max / BYTES_PER_KEY,
            end: begin,
        }
    }

    fn hash(&self, key: &[u8]) -> [u8; 16] {
        let mut hasher = self.hasher;
        hasher.write(key);
        hasher.finish128().as_bytes()
    }

    /// Whether so many more keys surely fit.
    pub(crate) fn has_room(&self, keys: usize) -> bool {
        self.newest.len() + keys <= self.keys_max
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// A record that comes after all before.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) {
        let hash = self.hash(key);
        self.newest.insert(hash, offset.0);
    }

    /// All records below `end` were put.
    pub(crate) fn looked_to(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Everything below was looked at.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Whether a record is the newest of its key, as far as was looked.
    pub(crate) fn is_newest(&self, key: &[u8], offset: Offset) -> bool {
        let newest = self.newest.get(&self.hash(key));
        newest.is_none_or(|newest| offset.0 >= *newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_key_counts() {
        let mut map = KeyMap::new(Offset(5), 3 * BYTES_PER_KEY);
        for (key, offset) in [("a", 5), ("b", 6), ("a", 9)] {
            assert!(map.has_room(1));
            map.put(key.as_bytes(), Offset(offset));
        }
        map.looked_to(Offset(10));
        assert!(!map.is_newest(b"a", Offset(5)) && map.is_newest(b"a", Offset(9)));
        assert!(map.is_newest(b"b", Offset(6)) && !map.is_newest(b"b", Offset(2)));
        assert!(map.is_newest(b"c", Offset(1)), "not in the dirty part");
        assert!(map.has_room(1) && !map.has_room(2));
        assert_eq!(map.end(), Offset(10));
    }
}
