//! What the requests of one connection and its watchers share: times, counts, the end. Pure.
//!
//! Deliberately absent: clocks (times are given), sockets.

use std::cell::Cell;
use std::rc::Rc;

use super::frames::Frames;
use crate::request::Origin;
use crate::shard::wait::{Signal, Turnstile};

/// A frame must be whole this long after its first byte: long enough for the largest frame on a
/// slow link, short enough that dripping bytes holds no memory for ever.
pub const FRAME_SECONDS_MAX: u64 = 120;
/// A peer must take something of an answer this often, or its connection is closed: what answers
/// hold is shared by all, and who takes nothing must not keep the others waiting.
pub const SEND_SECONDS_MAX: u64 = 60;
/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// What requests of one connection share.
pub struct Link {
    /// Where they come from.
    pub origin: Origin,
    /// The order of their appends.
    pub appends: Turnstile,
    /// The order of requests about groups: one that waits for other members lets none pass.
    pub groups: Turnstile,
    /// When the last bytes came, on the host's clock.
    pub heard: Cell<u64>,
    /// When the frame that is not whole yet began.
    pub frame_since: Cell<Option<u64>>,
    /// Requests read and not answered.
    pub in_flight: Cell<usize>,
    /// While answers are being sent: when the peer last took some of them, and how much it had
    /// taken by then.
    pub sending: Cell<Option<(u64, u64)>>,
    /// Bytes of answers that wait to be sent, records apart.
    pub waiting: Cell<usize>,
    /// Until when no request is read: its client is throttled. 0 while it is not.
    muted: Cell<u64>,
    hurried: Cell<bool>,
    closed: Cell<bool>,
    closing: Signal,
}

impl Link {
    /// The link of a new connection.
    #[must_use]
    pub fn new(origin: Origin, now: u64) -> Rc<Self> {
        Rc::new(Self {
            origin,
            appends: Turnstile::default(),
            groups: Turnstile::default(),
            heard: Cell::new(now),
            frame_since: Cell::new(None),
            in_flight: Cell::new(0),
            sending: Cell::new(None),
            waiting: Cell::new(0),
            muted: Cell::new(0),
            hurried: Cell::new(false),
            closed: Cell::new(false),
            closing: Signal::default(),
        })
    }

    pub(super) fn heard(&self, now: u64, frames: &Frames) {
        self.heard.set(now);
        let since = match self.frame_since.get() {
            Some(since) if !frames.is_ready() => since,
            _ => now,
        };
        self.frame_since
            .set((frames.partial_bytes() > 0).then_some(since));
    }

    /// No request is begun before that moment: its client is throttled.
    pub fn mute_until(&self, until: u64) {
        self.muted.set(self.muted.get().max(until));
    }

    /// True while its client is throttled.
    pub(super) fn is_muted(&self) -> bool {
        self.muted.get() != 0
    }

    /// Nanoseconds that it is muted for, from now on; when that is over, its peer's own time begins anew.
    pub(super) fn muted_for(&self, now: u64) -> u64 {
        let left = self.muted.get().saturating_sub(now);
        if left == 0 && self.muted.replace(0) != 0 {
            self.heard.set(now);
            self.frame_since.set(self.frame_since.get().map(|_| now));
        }
        left
    }

    /// Tells everything that waits on behalf of the peer that it is gone.
    pub fn close(&self) {
        self.closed.set(true);
        self.closing.notify();
    }

    /// Tells long polls to answer with what they have: the node is stopping.
    pub fn stop_waiting(&self) {
        self.hurried.set(true);
        self.closing.notify();
    }

    /// True once the peer is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether the connection is to be closed for what its peer does not do. `idle` is how long it
    /// may be silent, `total` what the socket has sent so far; times in nanoseconds.
    pub(super) fn is_overdue(&self, now: u64, idle: u64, total: u64) -> bool {
        // Whoever may not send can't be late.
        if now < self.muted.get() {
            return self.is_stuck(now, total);
        }
        let silent = self.in_flight.get() == 0 && now.saturating_sub(self.heard.get()) > idle;
        let dripping = self
            .frame_since
            .get()
            .is_some_and(|since| now.saturating_sub(since) > FRAME_SECONDS_MAX * SECOND);
        silent || dripping || self.is_stuck(now, total)
    }

    /// Whether the peer has taken nothing of an answer for too long.
    fn is_stuck(&self, now: u64, total: u64) -> bool {
        let Some((since, taken)) = self.sending.get() else {
            return false;
        };
        if total != taken {
            self.sending.set(Some((now, total)));
            return false;
        }
        now.saturating_sub(since) > SEND_SECONDS_MAX * SECOND
    }

    /// Resolves when nothing should wait any longer: the peer is gone, or the node is stopping.
    pub async fn hurried(&self) {
        while !self.closed.get() && !self.hurried.get() {
            self.closing.wait().await;
        }
    }

    /// True if nothing should wait any longer.
    #[must_use]
    pub fn is_hurried(&self) -> bool {
        self.closed.get() || self.hurried.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Listener;

    const IDLE: u64 = 600 * SECOND;

    fn link(now: u64) -> Rc<Link> {
        let origin = Origin {
            connection: 1,
            listener: Listener::Kafka,
            peer: ([127, 0, 0, 1], 1).into(),
            local: ([127, 0, 0, 1], 2).into(),
        };
        Link::new(origin, now)
    }

    #[test]
    fn silence_has_its_limit_unless_a_request_is_under_way() {
        let link = link(SECOND);
        assert!(!link.is_overdue(SECOND + IDLE, IDLE, 0));
        assert!(link.is_overdue(SECOND + IDLE + 1, IDLE, 0));
        link.in_flight.set(1);
        assert!(!link.is_overdue(u64::MAX, IDLE, 0));
        link.in_flight.set(0);
        link.heard(5 * SECOND, &Frames::new(100));
        assert!(!link.is_overdue(5 * SECOND + IDLE, IDLE, 0));
    }

    #[test]
    fn a_frame_that_drips_has_its_limit() {
        let (link, mut frames) = (link(0), Frames::new(100));
        let due = 3 * SECOND + FRAME_SECONDS_MAX * SECOND;
        frames.feed(&50_u32.to_be_bytes()).unwrap();
        frames.feed(&[0]).unwrap();
        let mut missing = 49;
        link.heard(3 * SECOND, &frames);
        // Each byte is heard, but the frame began when it began.
        for second in 4..FRAME_SECONDS_MAX {
            if second % 10 == 0 {
                frames.feed(&[0]).unwrap();
                missing -= 1;
            }
            link.heard(second * SECOND, &frames);
        }
        assert!(!link.is_overdue(due, IDLE, 0));
        assert!(link.is_overdue(due + 1, IDLE, 0));
        // Once it is whole, the next one has its own time.
        frames.feed(&vec![0; missing]).unwrap();
        assert!(frames.take().is_some());
        link.heard(due, &frames);
        assert!(!link.is_overdue(due + 1, IDLE, 0));
    }

    #[test]
    fn a_deaf_peer_has_its_limit_and_a_slow_one_has_not() {
        let link = link(0);
        link.in_flight.set(1);
        link.sending.set(Some((10 * SECOND, 500)));
        let due = 10 * SECOND + SEND_SECONDS_MAX * SECOND;
        assert!(!link.is_overdue(due, IDLE, 500));
        assert!(link.is_overdue(due + 1, IDLE, 500));
        // A single byte buys as much time again.
        assert!(!link.is_overdue(due + 1, IDLE, 501));
        assert!(!link.is_overdue(due + 1 + SEND_SECONDS_MAX * SECOND, IDLE, 501));
        assert!(link.is_overdue(due + 2 + SEND_SECONDS_MAX * SECOND, IDLE, 501));
        link.sending.set(None);
        assert!(!link.is_overdue(u64::MAX, IDLE, 501));
    }
}
