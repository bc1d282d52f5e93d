//! Which file ranges sockets may still refer to. Pure; the caller asks the kernel.
//!
//! sendfile returns while the socket's queue still points to the file's live pages (measured: an
//! ftruncate after its return changed what the peer received). So blocks of a range that went out
//! this way are not written again, and their file is not cut, until the peer has acknowledged the
//! bytes (SIOCOUTQ has passed the range) or the socket is closed. Unlinking is always safe.
//!
//! Deliberately absent: holding anyone up. Who wants to write asks [`Leases::is_leased`].

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::ops::Range;

/// Ranges remembered for one socket. A send queue of a few MiB in pieces of 256 KiB needs a few
/// dozen; beyond this they are joined into one that covers them.
pub const LEASES_MAX: usize = 64;

struct Lease<S> {
    segment: S,
    range: Range<u64>,
    /// Bytes that the socket had been given when the range's last byte was.
    given: u64,
}

struct Socket<S> {
    given: u64,
    leases: VecDeque<Lease<S>>,
}

/// Leases of one shard: sockets are numbered by the caller, segments named by `S`.
pub struct Leases<S> {
    sockets: HashMap<u64, Socket<S>>,
}

impl<S> Default for Leases<S> {
    fn default() -> Self {
        Self {
            sockets: HashMap::new(),
        }
    }
}

impl<S: Clone + Eq + Hash> Leases<S> {
    /// The socket took `bytes` from memory.
    pub fn sent_memory(&mut self, socket: u64, bytes: u64) {
        self.socket(socket).given += bytes;
    }

    /// The socket took `range` of a segment by sendfile.
    pub fn sent_file(&mut self, socket: u64, segment: &S, range: Range<u64>) {
        let socket = self.socket(socket);
        socket.given += range.end - range.start;
        let given = socket.given;
        let is_full = socket.leases.len() >= LEASES_MAX;
        let joined =
            socket.leases.iter_mut().rev().find(|lease| {
                lease.segment == *segment && (is_full || lease.range.end == range.start)
            });
        match joined {
            // Held a little longer than need be, never shorter.
            Some(lease) => {
                lease.range = lease.range.start.min(range.start)..lease.range.end.max(range.end);
                lease.given = given;
            }
            None => socket.leases.push_back(Lease {
                segment: segment.clone(),
                range,
                given,
            }),
        }
    }

    /// `unacknowledged` bytes (SIOCOUTQ) of all that the socket took are still in its queue.
    pub fn acknowledged(&mut self, socket: u64, unacknowledged: u64) {
        if let Some(socket) = self.sockets.get_mut(&socket) {
            let passed = socket.given.saturating_sub(unacknowledged);
            socket.leases.retain(|lease| lease.given > passed);
        }
    }

    /// The socket is closed.
    pub fn closed(&mut self, socket: u64) {
        self.sockets.remove(&socket);
    }

    /// May a socket still refer to the segment at or above `position`?
    #[must_use]
    pub fn is_leased(&self, segment: &S, position: u64) -> bool {
        let mut leases = self.sockets.values().flat_map(|socket| &socket.leases);
        leases.any(|lease| lease.segment == *segment && lease.range.end > position)
    }

    /// Sockets with leases, to be asked for their queue before a write.
    pub fn sockets(&self) -> impl Iterator<Item = u64> {
        self.sockets
            .iter()
            .filter(|(_, socket)| !socket.leases.is_empty())
            .map(|(id, _)| *id)
    }

    fn socket(&mut self, socket: u64) -> &mut Socket<S> {
        self.sockets.entry(socket).or_insert_with(|| Socket {
            given: 0,
            leases: VecDeque::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_when_the_peer_has_the_bytes() {
        let mut leases = Leases::default();
        leases.sent_memory(1, 100);
        leases.sent_file(1, &"a", 0..1000);
        leases.sent_memory(1, 50);
        assert!(leases.is_leased(&"a", 999) && !leases.is_leased(&"a", 1000));
        assert!(!leases.is_leased(&"b", 0));
        leases.acknowledged(1, 51);
        assert!(leases.is_leased(&"a", 0), "its last byte is still queued");
        leases.acknowledged(1, 50);
        assert!(!leases.is_leased(&"a", 0));
        assert_eq!(leases.sockets().count(), 0);
    }

    #[test]
    fn a_closed_socket_refers_to_nothing() {
        let mut leases = Leases::default();
        leases.sent_file(1, &"a", 0..10);
        leases.sent_file(2, &"a", 10..20);
        leases.closed(1);
        assert_eq!(leases.sockets().collect::<Vec<_>>(), [2]);
        leases.closed(2);
        assert!(!leases.is_leased(&"a", 0));
    }

    #[test]
    fn too_many_ranges_are_joined() {
        let mut leases = Leases::default();
        for at in 0..1000 {
            leases.sent_file(1, &"a", at * 100..at * 100 + 10);
        }
        assert!(leases.sockets[&1].leases.len() <= LEASES_MAX);
        leases.acknowledged(1, 1);
        assert!(leases.is_leased(&"a", 99_000));
        leases.acknowledged(1, 0);
        assert!(!leases.is_leased(&"a", 0));
    }
}
