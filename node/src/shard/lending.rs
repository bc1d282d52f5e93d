//! Where the bytes of an answer are found when it is their turn: memory and files of the shard that
//! owns them, within what the sending shard may hold.
//!
//! Invariants: room is taken before memory; a partition that is gone is not read any more, because
//! its files' names may be another's by now. Deliberately absent: sockets, who gives memory back.

use std::io;
use std::path::Path;
use std::rc::Rc;

use thalweg_storage::chunks::CHUNK_BYTES_MAX;
use thalweg_storage::disk::Disk;
use thalweg_storage::read::{BindError, Bound, FileRange};

use thalweg_wire::ids::PartitionId;

use super::core::ShardCore;
use super::mailbox::{Message, Reply};
use super::wait::{LocalFuture, Permit};
use crate::outgoing::{Binder, Planned, Stretch};

/// Memory of the tail cache that a shard's answers may hold until they are sent. Slow readers share
/// it: when somebody wants more, those whose sockets take nothing give theirs back, and send from
/// segments later.
pub const HELD_BYTES_MAX: usize = 64 << 20;
/// Memory of ranges read from segments that is being sent; given back in the same way.
pub const BINDING_BYTES_MAX: usize = 64 << 20;

impl<D: Disk> ShardCore<D> {
    /// Looks closely at a file of a partition of this shard.
    pub(super) async fn suspect(&self, partition: PartitionId, path: &Path) -> Reply {
        if let Err(error) = self.store.suspect_file(partition, path).await {
            tracing::error!(shard = self.host.shard().0, %partition, %error, "a segment can't be checked");
        }
        Reply::Done
    }
}

impl<D: Disk> Binder for Rc<ShardCore<D>> {
    fn replan(&self, stretch: &Rc<Stretch>) -> LocalFuture<io::Result<Planned>> {
        let (core, stretch) = (Rc::clone(self), Rc::clone(stretch));
        Box::pin(async move {
            // Chunks are kept whole; the first and the last one may reach beyond the stretch.
            let room = stretch.bytes + 2 * CHUNK_BYTES_MAX;
            let permit = core.lending.tail.take(room).await;
            let message = Message::Replan {
                partition: stretch.partition,
                place: stretch.place,
                bytes: stretch.bytes,
            };
            match core.ask(core.owner(stretch.partition), message).await {
                Ok(Reply::Replanned(Some(pieces))) => Ok(Planned::new(pieces, Some(permit))),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        })
    }

    fn bind(
        &self,
        stretch: &Rc<Stretch>,
        range: &FileRange,
    ) -> LocalFuture<io::Result<(Bound, Permit)>> {
        let (core, stretch, range) = (Rc::clone(self), Rc::clone(stretch), range.clone());
        Box::pin(async move {
            let permit = core.lending.read.take(range.bytes).await;
            if core.image().topics.get(stretch.partition.topic).is_none() {
                return Err(io::ErrorKind::NotFound.into());
            }
            match core.reader.bind(stretch.reader, &range).await {
                Ok(bound) => Ok((bound, permit)),
                Err(BindError::Corrupt { .. }) => {
                    // The answer is half sent and cannot be taken back: the connection ends. When the
                    // consumer asks again, it is told.
                    let message = Message::Suspect(stretch.partition, range.path);
                    drop(core.ask(core.owner(stretch.partition), message).await);
                    Err(io::ErrorKind::InvalidData.into())
                }
                Err(error) => {
                    tracing::error!(shard = core.host.shard().0, %error, "a range can't be sent");
                    Err(io::Error::other(error.to_string()))
                }
            }
        })
    }
}
