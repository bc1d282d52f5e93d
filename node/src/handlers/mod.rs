//! One file per API, numbered by its key: decode, ask shard or coordinator, build the answer.
//!
//! A handler is `async fn handle(core, request) -> Result<Answer, Refusal>`; it borrows the request
//! for its view and answers with `request.respond(..)`. Errors that Kafka has a code for are part
//! of the answer; a [`Refusal`](crate::request::Refusal) closes the connection.

use std::rc::Rc;

use thalweg_coordinator::controller::Context;
use thalweg_storage::disk::Disk;

use crate::quotas::Mutations;
use crate::runtime::start::new_id;
use crate::shard::core::ShardCore;

pub mod k00_produce;
mod produce_answer;
pub mod k01_fetch;
mod fetch_answer;
pub mod k02_list_offsets;
pub mod k03_metadata;
pub mod k08_offset_commit;
pub mod k09_offset_fetch;
pub mod k10_find_coordinator;
pub mod k11_join_group;
pub mod k12_heartbeat;
pub mod k13_leave_group;
pub mod k14_sync_group;
pub mod k15_describe_groups;
pub mod k16_list_groups;
pub mod k18_api_versions;
pub mod k19_create_topics;
pub mod k20_delete_topics;
pub mod k21_delete_records;
pub mod k22_init_producer_id;
pub mod k23_offset_for_leader_epoch;
pub mod k24_add_partitions_to_txn;
pub mod k25_add_offsets_to_txn;
pub mod k26_end_txn;
pub mod k27_write_txn_markers;
pub mod k28_txn_offset_commit;
pub mod k32_describe_configs;
pub mod k33_alter_configs;
pub mod k34_alter_replica_log_dirs;
pub mod k35_describe_log_dirs;
pub mod k37_create_partitions;
pub mod k42_delete_groups;
pub mod k43_elect_leaders;
pub mod k44_incremental_alter_configs;
pub mod k45_alter_partition_reassignments;
pub mod k46_list_partition_reassignments;
pub mod k47_offset_delete;
pub mod k48_describe_client_quotas;
pub mod k49_alter_client_quotas;
pub mod k55_describe_quorum;
pub mod k57_update_features;
pub mod k60_describe_cluster;
pub mod k61_describe_producers;
pub mod k65_describe_transactions;
pub mod k66_list_transactions;
pub mod k68_consumer_group_heartbeat;
pub mod k69_consumer_group_describe;
pub mod k74_list_config_resources;
pub mod k75_describe_topic_partitions;

/// All that can be done with a group, as bits of Kafka's numbers: read, delete, describe, describe
/// configs, alter configs. There is no authorizer, so everybody may.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Runs a proposal's computation with what it needs of this node; what it changes counts for `mutations`.
fn with_context<D: Disk, R>(
    core: &Rc<ShardCore<D>>,
    mutations: Option<&mut Mutations>,
    compute: impl FnOnce(&mut Context<'_>) -> R,
) -> R {
    let mut new_id = || new_id(&mut |bytes| core.host.random(bytes));
    let now = core.host.now().mono;
    let mut mutations = mutations;
    let mut charge = |partitions| match &mut mutations {
        Some(mutations) => mutations.charge(&mut core.counters.borrow_mut(), partitions, now),
        None => Ok(()),
    };
    compute(&mut Context {
        broker: &core.node.broker_configs,
        new_id: &mut new_id,
        charge: &mut charge,
    })
}
