//! Fetch sessions (KIP-227): what a consumer asked for is remembered, so that it need only say what
//! changed, and unchanged partitions are left out of answers. Pure.
//!
//! A session's id names the shard that made it; a consumer that reconnects to another shard has its
//! session moved there. Invariants: at most `slots_max` sessions with [`CACHED_PARTITIONS_MAX`]
//! partitions are kept, a full cache gives away only what was silent for [`EVICT_AFTER_MS`], and what
//! finds no room is served without a session; a session's epoch grows by one a request. Partitions
//! that gave data go to the end of the order, so that each gets its turn when limits bind.
//! Deliberately absent: names to ids (looked up anew each time), reading.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use thalweg_wire::error_code::ErrorCode;
use thalweg_wire::ids::{Epoch, Offset, ShardId, TimestampMs, Uuid};

/// A session may lose its slot to a new one after this long without a request; as in Kafka.
pub const EVICT_AFTER_MS: i64 = 120_000;
/// Partitions of one fetch, sessions' own included.
pub const FETCH_PARTITIONS_MAX: usize = 1 << 16;
/// Partitions of all sessions of a shard: some 100 MiB.
pub const CACHED_PARTITIONS_MAX: usize = 1 << 19;
/// Bits of a session's id that name its shard.
const SHARD_BITS: u32 = 8;
/// The epoch that closes a session, or asks for none.
pub const FINAL_EPOCH: i32 = -1;
/// The epoch that asks for a new session.
pub const INITIAL_EPOCH: i32 = 0;

/// A topic as the request names it: by id from version 13 on, by name before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKey {
    /// By id.
    Id(Uuid),
    /// By name.
    Name(Arc<str>),
}

/// A partition as the request names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic.
    pub topic: TopicKey,
    /// The index.
    pub index: i32,
}

/// What is wanted of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Epoch that the reader believes current, or unknown.
    pub current_leader_epoch: Epoch,
    /// First offset.
    pub offset: Offset,
    /// Epoch of the last batch the reader has, or unknown.
    pub last_fetched_epoch: Epoch,
    /// Bytes at most.
    pub bytes_max: i32,
}

/// What an answer said of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its high watermark.
    pub high_watermark: Offset,
    /// Its first offset.
    pub log_start: Offset,
    /// Record bytes.
    pub bytes: usize,
    /// True for an error or a diverging epoch: always told.
    pub notable: bool,
}

#[derive(Clone, Debug)]
struct Cached {
    wanted: Wanted,
    order: u64,
    /// High watermark and log start as last told; `None` before the first time, and after an error.
    told: Option<(Offset, Offset)>,
}

/// One session.
#[derive(Clone, Debug, Default)]
pub struct Session {
    epoch: i32,
    by_id: bool,
    used: i64,
    partitions: HashMap<PartitionKey, Cached>,
    order: BTreeMap<u64, PartitionKey>,
    next_order: u64,
}

impl Session {
    /// An empty session of a consumer that names topics by id, or by name.
    #[must_use]
    pub fn new(by_id: bool, now: TimestampMs) -> Self {
        Self {
            epoch: 1,
            by_id,
            used: now.0,
            ..Self::default()
        }
    }

    /// Takes a partition in, or changes what is wanted of it.
    pub fn want(&mut self, key: PartitionKey, wanted: Wanted) {
        if let Some(cached) = self.partitions.get_mut(&key) {
            cached.wanted = wanted;
            return;
        }
        let order = self.next_order;
        self.next_order += 1;
        self.order.insert(order, key.clone());
        self.partitions.insert(
            key,
            Cached {
                wanted,
                order,
                told: None,
            },
        );
    }

    /// Lets a partition go.
    pub fn forget(&mut self, key: &PartitionKey) {
        if let Some(cached) = self.partitions.remove(key) {
            self.order.remove(&cached.order);
        }
    }

    /// All partitions, in turn.
    #[must_use]
    pub fn wanted(&self) -> Vec<(PartitionKey, Wanted)> {
        self.order
            .values()
            .filter_map(|key| Some((key.clone(), self.partitions.get(key)?.wanted)))
            .collect()
    }

    /// Number of partitions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    /// True without partitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Whether an answer must name the partition; notes what it is told. `full` answers name all.
    pub fn tell(&mut self, key: &PartitionKey, told: Told, full: bool) -> bool {
        let Some(cached) = self.partitions.get_mut(key) else {
            return full;
        };
        let now = (told.high_watermark, told.log_start);
        let changed = cached.told != Some(now);
        cached.told = (!told.notable).then_some(now);
        if told.bytes > 0 {
            self.order.remove(&cached.order);
            cached.order = self.next_order;
            self.order.insert(cached.order, key.clone());
            self.next_order += 1;
        }
        full || changed || told.notable || told.bytes > 0
    }
}

/// The sessions of one shard.
#[derive(Debug)]
pub struct Sessions {
    shard: ShardId,
    slots_max: usize,
    partitions_max: usize,
    /// Of all sessions.
    partitions: usize,
    next: u32,
    sessions: HashMap<i32, Session>,
}

/// How a request stands to sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Without a session.
    Sessionless,
    /// It asks for a new one.
    Create,
    /// The next one of a session.
    Continue(i32),
}

impl Sessions {
    /// For one shard, which may keep `slots_max` with `partitions_max` in all.
    #[must_use]
    pub fn new(shard: ShardId, slots_max: usize, partitions_max: usize) -> Self {
        Self {
            shard,
            slots_max,
            partitions_max,
            partitions: 0,
            next: 0,
            sessions: HashMap::new(),
        }
    }

    /// The shard that made a session.
    #[must_use]
    pub fn maker(id: i32) -> ShardId {
        ShardId(u16::try_from(id & ((1 << SHARD_BITS) - 1)).unwrap_or(0))
    }

    /// Reads a request's session id and epoch; closes the session that it closes.
    pub fn classify(&mut self, id: i32, epoch: i32) -> Kind {
        match epoch {
            FINAL_EPOCH | INITIAL_EPOCH => {
                self.remove(id);
                if epoch == FINAL_EPOCH {
                    Kind::Sessionless
                } else {
                    Kind::Create
                }
            }
            _ => Kind::Continue(id),
        }
    }

    /// Keeps a new session; 0 if there is no slot.
    pub fn create(&mut self, session: Session, now: TimestampMs) -> i32 {
        if self.sessions.len() >= self.slots_max && !self.evict(now) {
            return 0;
        }
        if self.partitions + session.len() > self.partitions_max {
            return 0;
        }
        loop {
            self.next = self.next.wrapping_add(1);
            let id = (self.next << SHARD_BITS | u32::from(self.shard.0)) & 0x7fff_ffff;
            let id = i32::try_from(id).unwrap_or(0);
            if id >> SHARD_BITS != 0 && !self.sessions.contains_key(&id) {
                self.put(id, session);
                return id;
            }
        }
    }

    fn remove(&mut self, id: i32) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.partitions -= session.len();
        Some(session)
    }

    fn evict(&mut self, now: TimestampMs) -> bool {
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used);
        let Some((id, session)) = oldest.map(|(id, session)| (*id, session)) else {
            return false;
        };
        if now.0.saturating_sub(session.used) < EVICT_AFTER_MS {
            return false;
        }
        self.remove(id);
        true
    }

    /// Takes a session out for one request, after checking that the request is its next one.
    pub fn take(
        &mut self,
        id: i32,
        epoch: i32,
        by_id: bool,
        now: TimestampMs,
    ) -> Result<Session, ErrorCode> {
        let session = self
            .sessions
            .get(&id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let mut session = self.remove(id).unwrap_or_default();
        // After 2^31-1 comes 1: 0 would ask for a new session.
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        session.used = now.0;
        Ok(session)
    }

    /// Puts a session back, or takes in one that was made elsewhere. One that has grown beyond what
    /// there is room for is let go: its consumer is told so and begins again.
    pub fn put(&mut self, id: i32, session: Session) {
        self.remove(id);
        if self.partitions + session.len() <= self.partitions_max {
            self.partitions += session.len();
            self.sessions.insert(id, session);
        }
    }

    /// Gives a session away: its consumer has moved to another shard.
    pub fn give(&mut self, id: i32) -> Option<Session> {
        self.remove(id)
    }

    /// True if the session is here.
    #[must_use]
    pub fn has(&self, id: i32) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// True without sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000_000);

    fn key(index: i32) -> PartitionKey {
        PartitionKey {
            topic: TopicKey::Name("t".into()),
            index,
        }
    }

    fn wanted(offset: i64) -> Wanted {
        Wanted {
            current_leader_epoch: Epoch::UNKNOWN,
            offset: Offset(offset),
            last_fetched_epoch: Epoch::UNKNOWN,
            bytes_max: 100,
        }
    }

    fn told(high_watermark: i64, bytes: usize) -> Told {
        Told {
            high_watermark: Offset(high_watermark),
            log_start: Offset(0),
            bytes,
            notable: false,
        }
    }

    #[test]
    fn epochs_follow_each_other_and_errors_have_their_codes() {
        let mut sessions = Sessions::new(ShardId(3), 10, 100);
        assert_eq!(sessions.classify(0, INITIAL_EPOCH), Kind::Create);
        let id = sessions.create(Session::new(true, NOW), NOW);
        assert_eq!(Sessions::maker(id), ShardId(3));
        let error = |sessions: &mut Sessions, id, epoch, by_id| {
            sessions.take(id, epoch, by_id, NOW).unwrap_err()
        };
        let wrong = error(&mut sessions, id + 256, 1, true);
        assert_eq!(wrong, ErrorCode::FetchSessionIdNotFound);
        let wrong = error(&mut sessions, id, 2, true);
        assert_eq!(wrong, ErrorCode::InvalidFetchSessionEpoch);
        let wrong = error(&mut sessions, id, 1, false);
        assert_eq!(wrong, ErrorCode::FetchSessionTopicIdError);
        let session = sessions.take(id, 1, true, NOW).unwrap();
        sessions.put(id, session);
        assert!(sessions.take(id, 1, true, NOW).is_err());
        assert_eq!(sessions.classify(id, FINAL_EPOCH), Kind::Sessionless);
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_full_cache_gives_away_only_what_is_old() {
        let mut sessions = Sessions::new(ShardId(0), 2, 100);
        let first = sessions.create(Session::new(true, NOW), NOW);
        assert_ne!(sessions.create(Session::new(true, NOW), NOW), 0);
        assert_eq!(sessions.create(Session::new(true, NOW), NOW), 0);
        let later = TimestampMs(NOW.0 + EVICT_AFTER_MS);
        let session = sessions.take(first, 1, true, later).unwrap();
        sessions.put(first, session);
        assert_ne!(sessions.create(Session::new(true, later), later), 0);
        assert!(sessions.has(first));
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn partitions_of_all_sessions_have_a_limit() {
        let most = CACHED_PARTITIONS_MAX;
        let mut sessions = Sessions::new(ShardId(0), 10, most);
        let with = |count: usize| {
            let mut session = Session::new(true, NOW);
            for index in 0..count {
                session.want(key(i32::try_from(index).unwrap()), wanted(0));
            }
            session
        };
        let first = sessions.create(with(most - 1), NOW);
        assert_eq!(sessions.create(with(2), NOW), 0);
        let second = sessions.create(with(1), NOW);
        assert!(first != 0 && second != 0);
        // One that grows beyond the limit is forgotten, and what it had can be had by others.
        let mut grown = sessions.take(second, 1, true, NOW).unwrap();
        grown.want(key(1), wanted(0));
        sessions.put(second, grown);
        assert!(!sessions.has(second) && sessions.len() == 1);
        assert!(sessions.give(first).is_some());
        assert_ne!(sessions.create(with(most), NOW), 0);
    }

    #[test]
    fn unchanged_partitions_are_left_out_and_data_moves_to_the_end() {
        let mut session = Session::new(false, NOW);
        for index in 0..3 {
            session.want(key(index), wanted(0));
            assert!(session.tell(&key(index), told(5, 0), true));
        }
        assert!(!session.tell(&key(0), told(5, 0), false));
        assert!(session.tell(&key(1), told(6, 0), false));
        assert!(session.tell(&key(0), told(5, 10), false));
        let order: Vec<i32> = session.wanted().iter().map(|(key, _)| key.index).collect();
        assert_eq!(order, [1, 2, 0]);
        let failed = Told {
            notable: true,
            ..told(5, 0)
        };
        assert!(session.tell(&key(2), failed, false));
        // The end of an error is told too.
        assert!(session.tell(&key(2), told(5, 0), false));
        session.forget(&key(2));
        assert_eq!(session.len(), 2);
    }
}
