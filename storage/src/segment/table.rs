//! Entries of one fixed size, held as the bytes of the index file they are. Pure.
//!
//! What an entry means, and by what it ascends, is the business of the two indexes made of this.

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub(super) struct Table<const N: usize> {
    bytes: Vec<u8>,
}

impl<const N: usize> Table<N> {
    /// Takes the front of a file as long as `is_next` says that an entry follows those before it.
    pub(super) fn valid_front(bytes: Vec<u8>, mut is_next: impl FnMut([u8; N]) -> bool) -> Self {
        let mut table = Self { bytes };
        let entries = table.entries().iter();
        let valid = entries.take_while(|entry| is_next(**entry)).count();
        table.truncate(valid);
        table
    }

    fn entries(&self) -> &[[u8; N]] {
        self.bytes.as_chunks().0
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() / N
    }

    /// The file's content.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds an entry of two fields.
    pub(super) fn push(&mut self, first: &[u8], second: &[u8]) {
        debug_assert_eq!(first.len() + second.len(), N);
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
    }

    pub(super) fn get(&self, at: usize) -> Option<[u8; N]> {
        self.entries().get(at).copied()
    }

    pub(super) fn last(&self) -> Option<[u8; N]> {
        self.entries().last().copied()
    }

    /// The last entry of those in front that are `below`.
    pub(super) fn floor(&self, below: impl Fn([u8; N]) -> bool) -> Option<[u8; N]> {
        self.get(self.count_while(below).checked_sub(1)?)
    }

    /// How many entries in front are `below`; all that are must lie in front.
    pub(super) fn count_while(&self, below: impl Fn([u8; N]) -> bool) -> usize {
        self.entries().partition_point(|entry| below(*entry))
    }

    /// Keeps so many entries.
    pub(super) fn truncate(&mut self, count: usize) {
        self.bytes.truncate(count * N);
    }
}
