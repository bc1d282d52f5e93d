//! An array inside received bytes: counted and checked when it was decoded, walked lazily.
//!
//! Invariant: every element was read once without error, so walking cannot fail. The walk reads
//! each element again (nested arrays are read once a level), which is what it costs to keep no
//! allocated list.

use std::fmt;
use std::marker::PhantomData;

use super::{Decode, DecodeError, Reader, Version};

/// Elements of `T`, still in their wire form.
#[derive(Clone, Copy)]
pub struct Array<'a, T> {
    bytes: Reader<'a>,
    count: usize,
    version: Version,
    kind: PhantomData<T>,
}

impl<'a, T: Decode<'a>> Array<'a, T> {
    /// Reads `count` elements and keeps the bytes they took.
    pub(super) fn read(r: &mut Reader<'a>, count: usize, v: Version) -> Result<Self, DecodeError> {
        // No schema has an element of no bytes (the generator refuses it), so that the product
        // bounds the loop below by the bytes received.
        let size_min = T::size_min(v).max(1);
        if count > r.left() / size_min {
            return Err(DecodeError::CountTooLarge {
                count,
                left: r.left(),
            });
        }
        let before = *r;
        for _ in 0..count {
            T::read(r, v)?;
        }
        let mut whole = before;
        let bytes = whole.take(before.left() - r.left())?;
        Ok(Self {
            bytes: Reader::new(bytes),
            count,
            version: v,
            kind: PhantomData,
        })
    }

    /// The elements in order.
    #[must_use]
    pub const fn iter(&self) -> ArrayIter<'a, T> {
        ArrayIter {
            bytes: self.bytes,
            left: self.count,
            version: self.version,
            kind: PhantomData,
        }
    }
}

impl<T> Array<'_, T> {
    /// No elements.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            bytes: Reader::new(&[]),
            count: 0,
            version: Version {
                number: 0,
                flexible: false,
            },
            kind: PhantomData,
        }
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<T> Default for Array<'_, T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a, T: Decode<'a> + fmt::Debug> fmt::Debug for Array<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Decode<'a>> IntoIterator for Array<'a, T> {
    type Item = T;
    type IntoIter = ArrayIter<'a, T>;

    fn into_iter(self) -> ArrayIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Decode<'a>> IntoIterator for &Array<'a, T> {
    type Item = T;
    type IntoIter = ArrayIter<'a, T>;

    fn into_iter(self) -> ArrayIter<'a, T> {
        self.iter()
    }
}

/// Walks an [`Array`].
#[derive(Clone, Debug)]
pub struct ArrayIter<'a, T> {
    bytes: Reader<'a>,
    left: usize,
    version: Version,
    kind: PhantomData<T>,
}

impl<'a, T: Decode<'a>> Iterator for ArrayIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let element = T::read(&mut self.bytes, self.version);
        debug_assert!(
            element.is_ok(),
            "read without error before: {element:?}",
            element = element.as_ref().err()
        );
        element.ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: Decode<'a>> ExactSizeIterator for ArrayIter<'a, T> {}
