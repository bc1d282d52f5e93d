//! What the broker's configuration says of groups.

use super::consumer::Assignor;

/// Milliseconds that a new member's first JoinGroup may wait, in Kafka's code a constant: clients that gave up
/// leave members behind whom nobody would ever hear of again.
pub const NEW_MEMBER_JOIN_MS: i64 = 300_000;

/// Ids given out to members who have not come back with them, in one group: ten times the largest group that
/// anybody runs. Kafka has no bound. Beyond it a member is told that the group is full.
pub const PENDING_MEMBERS_MAX: usize = 100_000;

/// Groups of one shard, each at some 500 bytes. Kafka has no bound. Beyond it new groups are refused with
/// COORDINATOR_NOT_AVAILABLE, and those that there are go on.
pub const GROUPS_MAX: usize = 1_000_000;

/// Tombstones of one step, so that a sweep over many groups does not hold up their members.
pub const TOMBSTONES_PER_STEP: usize = 1_000;

/// The broker keys that groups obey. Defaults are Kafka's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.max.size`.
    pub members_max: usize,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i64,
    /// `offset.metadata.max.bytes`, which Kafka counts in UTF-16 units.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub expiry_interval_ms: i64,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i64,
    /// `group.consumer.assignment.interval.ms`.
    pub consumer_assignment_interval_ms: i64,
    /// `group.consumer.max.size`.
    pub consumer_members_max: usize,
    /// `group.consumer.assignors`; the first is the default.
    pub consumer_assignors: Vec<Assignor>,
    /// [`PENDING_MEMBERS_MAX`], or less.
    pub pending_members_max: usize,
    /// [`GROUPS_MAX`], or less.
    pub groups_max: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            members_max: i32::MAX as usize,
            initial_rebalance_delay_ms: 3_000,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600 * 1_000,
            expiry_interval_ms: 600_000,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_assignment_interval_ms: 1_000,
            consumer_members_max: i32::MAX as usize,
            consumer_assignors: Assignor::ALL.to_vec(),
            pending_members_max: PENDING_MEMBERS_MAX,
            groups_max: GROUPS_MAX,
        }
    }
}
