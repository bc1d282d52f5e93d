//! What the broker's configuration and the cluster's features say of transactions.

/// Transactional ids of one shard, each at some 300 bytes. Kafka has no bound. Beyond it new ids are refused with
/// COORDINATOR_NOT_AVAILABLE, and those that there are go on.
pub const IDS_MAX: usize = 1_000_000;
/// Tombstones of one step, so that a sweep over many ids does not hold up their producers.
pub const TOMBSTONES_PER_STEP: usize = 1_000;

/// The broker keys that transactions obey. Defaults are Kafka's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TxnConfig {
    /// `transaction.max.timeout.ms`.
    pub timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`.
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub abort_interval_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub expiry_interval_ms: i64,
    /// The finalized level of `transaction.version`.
    pub level: i16,
    /// [`IDS_MAX`], or less.
    pub ids_max: usize,
}

impl Default for TxnConfig {
    fn default() -> Self {
        Self {
            timeout_ms_max: 900_000,
            id_expiration_ms: 7 * 24 * 3_600 * 1_000,
            abort_interval_ms: 10_000,
            expiry_interval_ms: 3_600_000,
            level: 2,
            ids_max: IDS_MAX,
        }
    }
}
