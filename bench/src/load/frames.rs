//! Produce requests around batches: the message is written by `wire` with its records left out, and
//! the batches go into the gaps. Done once for each shape of request; after that, frames are patched.

use std::borrow::Cow;

use thalweg_wire::bytes::{Message, Records, Writer};
use thalweg_wire::messages::produce_request as produce;

use super::producer::VERSION;
use crate::BenchError;
use crate::client::{CLIENT_ID, Place, Request};

const TIMEOUT_MS: i32 = 30_000;

/// What a frame has to hold for one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) partition: i32,
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// Lays out the requests of one producer.
#[derive(Debug)]
pub(super) struct Frames {
    topic: String,
    acks: i16,
}

impl Frames {
    pub(super) const fn new(topic: String, acks: i16) -> Self {
        Self { topic, acks }
    }

    /// Makes a request of these batches; `append` adds each of them.
    pub(super) fn lay_out(
        &self,
        request: &mut Request,
        batches: &[Batch],
        mut append: impl FnMut(&Batch, &mut Vec<u8>),
    ) -> Result<(), BenchError> {
        let message = self.message(batches);
        let mut body = Writer::with_capacity(64 + 16 * batches.len());
        message.encode(VERSION, &mut body)?;
        let bytes = &mut request.bytes;
        bytes.clear();
        let length = 2 + 2 + 4 + 2 + CLIENT_ID.len() + 1 + body.len();
        bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(produce::ProduceRequest::API_KEY.unwrap_or(0).to_be_bytes());
        bytes.extend(VERSION.to_be_bytes());
        // Numbered when it is sent.
        bytes.extend([0; 4]);
        bytes.extend((CLIENT_ID.len() as u16).to_be_bytes());
        bytes.extend(CLIENT_ID.as_bytes());
        bytes.push(0);
        request.places.clear();
        let mut copied = 0;
        for (splice, batch) in body.splices().iter().zip(batches) {
            let text = body.buffer().get(copied..splice.at);
            bytes.extend_from_slice(text.unwrap_or_default());
            copied = splice.at;
            let batch_at = bytes.len();
            append(batch, bytes);
            request.places.push(Place {
                partition_at: batch_at - length_bytes(batch.bytes) - 4,
                batch_at,
                batch_bytes: batch.bytes,
                records: batch.records,
            });
        }
        bytes.extend_from_slice(body.buffer().get(copied..).unwrap_or_default());
        Ok(())
    }

    fn message(&self, batches: &[Batch]) -> produce::ProduceRequest<'_> {
        let partitions = batches.iter().map(|batch| produce::PartitionProduceData {
            index: batch.partition,
            records: Records::Outline {
                len: batch.bytes,
                token: 0,
            },
        });
        produce::ProduceRequest {
            transactional_id: None,
            acks: self.acks,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![produce::TopicProduceData {
                name: Cow::Borrowed(&self.topic),
                partition_data: partitions.collect(),
                ..Default::default()
            }],
        }
    }
}

/// Bytes of the compact length in front of a batch.
fn length_bytes(batch_bytes: usize) -> usize {
    let bits = usize::BITS - (batch_bytes + 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_wire::bytes::View;
    use thalweg_wire::header::RequestHeaderView;

    #[test]
    fn a_frame_is_a_request_and_its_partitions_can_be_changed() {
        let frames = Frames::new("topic".to_owned(), -1);
        let batches: Vec<Batch> = [3, 200, 20_000]
            .iter()
            .map(|bytes| Batch {
                partition: -1,
                records: 1,
                bytes: *bytes,
            })
            .collect();
        let mut request = Request::default();
        let append = |batch: &Batch, out: &mut Vec<u8>| out.resize(out.len() + batch.bytes, 7);
        frames.lay_out(&mut request, &batches, append).unwrap();
        assert!(request.fits([1, 1, 1].into_iter()));
        assert!(!request.fits([1, 1].into_iter()));
        for index in 0..3 {
            request.batch(index, index as i32 + 40).unwrap().fill(9);
        }
        let (prefix, frame) = request.bytes.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*prefix) as usize, frame.len());
        let (head, body) = RequestHeaderView::decode(frame).unwrap();
        assert_eq!((head.api_key, head.client_id), (0, Some(CLIENT_ID)));
        let view = produce::ProduceRequestView::decode_exact(body, VERSION).unwrap();
        let topic = view.topic_data.iter().next().unwrap();
        let found: Vec<(i32, usize)> = topic
            .partition_data
            .iter()
            .map(|data| (data.index, data.records.unwrap().len()))
            .collect();
        assert_eq!(found, [(40, 3), (41, 200), (42, 20_000)]);
        let last = topic.partition_data.iter().last().unwrap();
        assert!(last.records.unwrap().iter().all(|byte| *byte == 9));
    }
}
