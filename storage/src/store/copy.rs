//! Reading whole batches into memory: for the node's own logs, whose records it must understand.
//!
//! Fetches never copy; this is for group state at the start, which is read once. Deliberately
//! absent: checksums, which whoever understands the batches checks.

use thalweg_wire::ids::PartitionId;

use super::{ReadRequest, Store};
use crate::disk::{BLOCK_BYTES, Disk, File, IO_BYTES_MAX};
use crate::error::{RequestError, StoreError};
use crate::log::{Piece, ReadError};

impl<D: Disk> Store<D> {
    /// The batches that a fetch with this request would get, as one run of bytes.
    ///
    /// # Errors
    /// As [`Store::read`], and if a segment's file can't be read or was cut meanwhile.
    pub async fn read_copy(
        &self,
        id: PartitionId,
        request: ReadRequest,
    ) -> Result<Vec<u8>, RequestError<ReadError>> {
        let answer = self.read(id, request).await?;
        let mut copy = Vec::with_capacity(answer.bytes);
        for piece in answer.pieces {
            match piece {
                Piece::Memory(slice) => copy.extend_from_slice(&slice),
                Piece::File {
                    path,
                    position,
                    bytes,
                    ..
                } => {
                    let file = self
                        .handles
                        .existing(&path)
                        .await
                        .map_err(StoreError::from)?;
                    self.copy_range(&file, (position, bytes), &mut copy).await?;
                }
            }
        }
        Ok(copy)
    }

    async fn copy_range(
        &self,
        file: &D::File,
        (position, bytes): (u64, usize),
        copy: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let block = BLOCK_BYTES as u64;
        let end = position + bytes as u64;
        let mut at = position;
        while at < end {
            let start = at - at % block;
            let wanted = usize::try_from((end - start).next_multiple_of(block));
            let wanted = wanted.unwrap_or(IO_BYTES_MAX).min(IO_BYTES_MAX);
            let read = file.read_at(start, wanted).await?;
            let skip = usize::try_from(at - start).unwrap_or(0);
            let take = usize::try_from(end - at).unwrap_or(usize::MAX);
            let fresh = read.get(skip..).unwrap_or_default();
            let fresh = fresh.get(..take).unwrap_or(fresh);
            if fresh.is_empty() {
                // Shorter than the plan said: it was cut or replaced since.
                return Ok(());
            }
            copy.extend_from_slice(fresh);
            at += fresh.len() as u64;
        }
        Ok(())
    }
}
