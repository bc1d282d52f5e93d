//! One match, API key -> handler.
//!
//! A request's head is read here, its version checked against the one table (`wire::api`), and the
//! order of appends taken while the order of requests is still known. Requests that change metadata
//! run where the coordinator is: the whole request is handed to that shard. A handler's refusal
//! closes the connection. Deliberately absent: what any request means (`handlers/`).

use std::rc::Rc;

use thalweg_storage::disk::Disk;
use thalweg_wire::api::{self, ApiKey};
use thalweg_wire::ids::ShardId;

use crate::handlers;
use crate::net::connection::{Link, Service, Share};
use crate::outgoing::{Answer, Carried, Lending, Outgoing};
use crate::quotas::under;
use crate::request::{Frame, Refusal, Request};
use crate::shard::core::ShardCore;
use crate::shard::mailbox::{Message, Reply};
use crate::shard::pulse::Pulse;
use crate::shard::wait::{LocalFuture, Turn};

/// The shard of the coordinator: metadata, controller.
pub const COORDINATOR: ShardId = ShardId(0);

/// The service that connections call.
pub struct Dispatch<D: Disk> {
    core: Rc<ShardCore<D>>,
}

impl<D: Disk> Dispatch<D> {
    /// Requests of one shard's connections.
    #[must_use]
    pub fn new(core: Rc<ShardCore<D>>) -> Self {
        Self { core }
    }
}

impl<D: Disk> Service for Dispatch<D> {
    fn lending(&self) -> Lending {
        self.core.lending.clone()
    }

    fn pulse(&self) -> Pulse {
        self.core.pulse.clone()
    }

    fn call(&self, frame: Frame, link: &Rc<Link>, share: Share) -> LocalFuture<Answer> {
        let request = match begin(&self.core, frame, link) {
            Ok(request) => request,
            Err(refusal) => {
                return Box::pin(std::future::ready(Answer::Close(refusal.to_string())));
            }
        };
        if self.core.quotas().is_none() {
            return self.work(request, link, share);
        }
        let asked = request.clone();
        let work = self.work(request, link, share);
        under(&self.core, &asked, link, work)
    }
}

impl<D: Disk> Dispatch<D> {
    /// Has the request worked on; its place among those of its connection is taken at once.
    fn work(&self, request: Request, link: &Rc<Link>, share: Share) -> LocalFuture<Answer> {
        let (core, link) = (Rc::clone(&self.core), Rc::clone(link));
        if request.api == ApiKey::Produce {
            let turn = link.appends.turn();
            return Box::pin(async move {
                let answer = handlers::k00_produce::handle(&core, &request, &link, turn).await;
                answer.unwrap_or_else(|refusal| Answer::Close(refusal.to_string()))
            });
        }
        if request.api == ApiKey::Fetch {
            return Box::pin(async move {
                let answer = handlers::k01_fetch::handle(&core, request, &link, &share).await;
                answer.unwrap_or_else(|refusal| Answer::Close(refusal.to_string()))
            });
        }
        if concerns_groups(request.api) {
            let turn = link.groups.turn();
            return Box::pin(async move {
                let answer = groups(&core, request, (&link, &share), turn).await;
                answer.unwrap_or_else(|refusal| Answer::Close(refusal.to_string()))
            });
        }
        Box::pin(async move {
            let answer = if runs_at_coordinator(request.api) {
                coordinate(&core, request).await
            } else {
                handle(&core, &request).await
            };
            answer.unwrap_or_else(|refusal| Answer::Close(refusal.to_string()))
        })
    }
}

fn begin<D: Disk>(core: &ShardCore<D>, frame: Frame, link: &Link) -> Result<Request, Refusal> {
    let request = Request::decode(frame, link.origin, core.host.now())?;
    core.metrics.requests.add(1);
    // ApiVersions answers any version: its clients do not know yet what we speak.
    let served = request.api == ApiKey::ApiVersions
        || api::lookup(request.api.code(), link.origin.listener.column())
            .is_some_and(|api| api.served.contains(request.version));
    if !served {
        return Err(Refusal::Unsupported {
            key: request.api.code(),
            version: request.version,
        });
    }
    Ok(request)
}

/// Requests that change metadata, or ask for its log.
fn runs_at_coordinator(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::InitProducerId
            | ApiKey::AlterConfigs
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::DescribeQuorum
            | ApiKey::UpdateFeatures
            | ApiKey::AlterClientQuotas
            | ApiKey::ElectLeaders
            | ApiKey::AlterPartitionReassignments
    )
}

/// Requests that a group's partition works on, in the order of their connection.
fn concerns_groups(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::JoinGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::SyncGroup
            | ApiKey::DescribeGroups
            | ApiKey::ListGroups
            | ApiKey::DeleteGroups
            | ApiKey::OffsetDelete
            | ApiKey::TxnOffsetCommit
            | ApiKey::ConsumerGroupHeartbeat
            | ApiKey::ConsumerGroupDescribe
    )
}

async fn groups<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: Request,
    (link, share): (&Rc<Link>, &Share),
    turn: Turn,
) -> Result<Answer, Refusal> {
    turn.arrive().await;
    match request.api {
        ApiKey::JoinGroup | ApiKey::SyncGroup => {
            let answer = held(core, request, link, share).await;
            drop(turn);
            answer
        }
        ApiKey::OffsetCommit => handlers::k08_offset_commit::handle(core, &request, turn).await,
        ApiKey::OffsetFetch => handlers::k09_offset_fetch::handle(core, &request, turn).await,
        ApiKey::Heartbeat => handlers::k12_heartbeat::handle(core, &request, turn).await,
        ApiKey::LeaveGroup => handlers::k13_leave_group::handle(core, &request, turn).await,
        ApiKey::DescribeGroups => handlers::k15_describe_groups::handle(core, &request, turn).await,
        ApiKey::ListGroups => handlers::k16_list_groups::handle(core, &request, turn).await,
        ApiKey::DeleteGroups => handlers::k42_delete_groups::handle(core, &request, turn).await,
        ApiKey::TxnOffsetCommit => {
            handlers::k28_txn_offset_commit::handle(core, &request, turn).await
        }
        ApiKey::OffsetDelete => handlers::k47_offset_delete::handle(core, &request, turn).await,
        ApiKey::ConsumerGroupHeartbeat => {
            handlers::k68_consumer_group_heartbeat::handle(core, &request, turn).await
        }
        ApiKey::ConsumerGroupDescribe => {
            handlers::k69_consumer_group_describe::handle(core, &request, turn).await
        }
        _ => Err(unsupported(&request)),
    }
}

/// Requests that wait for other members.
async fn held<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: Request,
    link: &Rc<Link>,
    share: &Share,
) -> Result<Answer, Refusal> {
    match request.api {
        ApiKey::JoinGroup => handlers::k11_join_group::handle(core, request, link, share).await,
        _ => handlers::k14_sync_group::handle(core, request, link, share).await,
    }
}

async fn coordinate<D: Disk>(core: &Rc<ShardCore<D>>, request: Request) -> Result<Answer, Refusal> {
    if core.host.shard() == COORDINATOR {
        return handle_at_coordinator(core, &request).await;
    }
    let message = Message::Coordinate(Box::new(request));
    match core.ask(COORDINATOR, message).await {
        Ok(Reply::Answered(Carried::Bytes(bytes))) => Ok(Answer::Respond(Outgoing::whole(bytes))),
        Ok(Reply::Answered(Carried::Close(reason))) => Ok(Answer::Close(reason)),
        _ => Err(Refusal::Stopping),
    }
}

/// Runs a request that was handed to the coordinator's shard.
pub async fn coordinated<D: Disk>(core: &Rc<ShardCore<D>>, request: &Request) -> Carried {
    let answer = handle_at_coordinator(core, request).await;
    answer
        .unwrap_or_else(|refusal| Answer::Close(refusal.to_string()))
        .carry()
}

async fn handle_at_coordinator<D: Disk>(
    core: &Rc<ShardCore<D>>,
    request: &Request,
) -> Result<Answer, Refusal> {
    match request.api {
        ApiKey::CreateTopics => handlers::k19_create_topics::handle(core, request).await,
        ApiKey::DeleteTopics => handlers::k20_delete_topics::handle(core, request).await,
        ApiKey::InitProducerId => handlers::k22_init_producer_id::handle(core, request).await,
        ApiKey::AlterConfigs => handlers::k33_alter_configs::handle(core, request).await,
        ApiKey::CreatePartitions => handlers::k37_create_partitions::handle(core, request).await,
        ApiKey::IncrementalAlterConfigs => {
            handlers::k44_incremental_alter_configs::handle(core, request).await
        }
        ApiKey::ElectLeaders => handlers::k43_elect_leaders::handle(core, request).await,
        ApiKey::AlterPartitionReassignments => {
            handlers::k45_alter_partition_reassignments::handle(core, request).await
        }
        ApiKey::AlterClientQuotas => handlers::k49_alter_client_quotas::handle(core, request).await,
        ApiKey::DescribeQuorum => handlers::k55_describe_quorum::handle(core, request),
        ApiKey::UpdateFeatures => handlers::k57_update_features::handle(core, request).await,
        _ => Err(unsupported(request)),
    }
}

async fn handle<D: Disk>(core: &Rc<ShardCore<D>>, request: &Request) -> Result<Answer, Refusal> {
    match request.api {
        ApiKey::ListOffsets => handlers::k02_list_offsets::handle(core, request).await,
        ApiKey::Metadata => handlers::k03_metadata::handle(core, request),
        ApiKey::FindCoordinator => handlers::k10_find_coordinator::handle(core, request),
        ApiKey::ApiVersions => handlers::k18_api_versions::handle(core, request),
        ApiKey::DeleteRecords => handlers::k21_delete_records::handle(core, request).await,
        ApiKey::OffsetForLeaderEpoch => {
            handlers::k23_offset_for_leader_epoch::handle(core, request).await
        }
        ApiKey::AddPartitionsToTxn => {
            handlers::k24_add_partitions_to_txn::handle(core, request).await
        }
        ApiKey::AddOffsetsToTxn => handlers::k25_add_offsets_to_txn::handle(core, request).await,
        ApiKey::EndTxn => handlers::k26_end_txn::handle(core, request).await,
        ApiKey::WriteTxnMarkers => handlers::k27_write_txn_markers::handle(core, request).await,
        ApiKey::DescribeProducers => handlers::k61_describe_producers::handle(core, request).await,
        ApiKey::DescribeTransactions => {
            handlers::k65_describe_transactions::handle(core, request).await
        }
        ApiKey::ListTransactions => handlers::k66_list_transactions::handle(core, request).await,
        ApiKey::DescribeConfigs => handlers::k32_describe_configs::handle(core, request),
        ApiKey::DescribeLogDirs => handlers::k35_describe_log_dirs::handle(core, request).await,
        ApiKey::AlterReplicaLogDirs => handlers::k34_alter_replica_log_dirs::handle(core, request),
        ApiKey::ListPartitionReassignments => {
            handlers::k46_list_partition_reassignments::handle(core, request)
        }
        ApiKey::DescribeClientQuotas => handlers::k48_describe_client_quotas::handle(core, request),
        ApiKey::DescribeCluster => handlers::k60_describe_cluster::handle(core, request),
        ApiKey::ListConfigResources => handlers::k74_list_config_resources::handle(core, request),
        ApiKey::DescribeTopicPartitions => {
            handlers::k75_describe_topic_partitions::handle(core, request)
        }
        _ => Err(unsupported(request)),
    }
}

fn unsupported(request: &Request) -> Refusal {
    Refusal::Unsupported {
        key: request.api.code(),
        version: request.version,
    }
}
