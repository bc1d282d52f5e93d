//! One partition read back after a run: are its records there, each once and in order?
//!
//! Fetches without a session, one at a time; a leader that goes away is looked for again, since
//! what is asked is whether the records last, not whether one broker does.

use std::borrow::Cow;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::batch::header::split;
use thalweg_wire::messages::fetch_request as fetch;
use thalweg_wire::messages::fetch_response::FetchResponseView;

use super::consumer::{ANSWER_BYTES_MAX, VERSION, check_place, check_sum};
use super::order::Order;
use crate::client::{Cluster, Connection};
use crate::{BenchError, Settings};

const ATTEMPT_MAX: Duration = Duration::from_secs(10);
const OUTAGE_MAX: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// Unknown topic or partition, leader not available, not the leader, offset not available yet,
/// storage, leader epochs: asked again.
const PASSING_CODES: [i16; 7] = [3, 5, 6, 78, 56, 74, 75];

/// How many of a run's records a partition holds from an offset to its end.
pub(super) fn records(
    settings: &Settings,
    cluster: &Cluster,
    (partition, start): (i32, i64),
    run: u16,
) -> Result<u64, BenchError> {
    let mut reader = Reader {
        order: Order::default(),
        position: start,
        found: 0,
    };
    let mut since = Instant::now();
    let mut leader: Option<Connection> = None;
    loop {
        let result = match &mut leader {
            Some(leader) => reader.read(leader, settings, partition, run),
            none => open(cluster, partition).map(|found| {
                *none = Some(found);
                Progress::Some
            }),
        };
        match result {
            Ok(Progress::End) => break,
            Ok(Progress::Some) => since = Instant::now(),
            Err(error) if passes(&error) && since.elapsed() < OUTAGE_MAX => {
                leader = None;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
    match reader.order.missing {
        0 => Ok(reader.found),
        missing => Err(BenchError::Wrong(format!(
            "partition {partition}: {missing} acknowledged records are not there"
        ))),
    }
}

fn open(cluster: &Cluster, partition: i32) -> Result<Connection, BenchError> {
    Connection::open_within(&cluster.leader(partition)?, ATTEMPT_MAX)
}

fn passes(error: &BenchError) -> bool {
    match error {
        BenchError::Io { .. } => true,
        BenchError::Refused { code, .. } => PASSING_CODES.contains(code),
        _ => false,
    }
}

enum Progress {
    Some,
    End,
}

struct Reader {
    order: Order,
    position: i64,
    found: u64,
}

impl Reader {
    /// One fetch; what it brings is looked at closely.
    fn read(
        &mut self,
        leader: &mut Connection,
        settings: &Settings,
        partition: i32,
        run: u16,
    ) -> Result<Progress, BenchError> {
        let request = self.request(settings, partition);
        let answer: FetchResponseView<'_> = leader.call(&request, VERSION)?;
        let data = answer
            .responses
            .iter()
            .flat_map(|topic| topic.partitions.iter());
        let Some(data) = data.into_iter().next() else {
            return Err(BenchError::Protocol("no partition in a fetch".to_owned()));
        };
        for code in [answer.error_code, data.error_code] {
            if code != 0 {
                let what = "reading back";
                return Err(BenchError::Refused { what, code });
            }
        }
        // A batch that was cut at the end is fetched again.
        for batch in split(data.records.unwrap_or_default()).map_while(Result::ok) {
            check_place(&batch, partition, self.position)?;
            check_sum(&batch, partition)?;
            let found = &mut self.found;
            self.order.see(partition, &batch, |stamp| {
                *found += u64::from(stamp.run == run);
            })?;
            self.position = batch.header().next_offset().0;
        }
        Ok(match self.position < data.high_watermark {
            true => Progress::Some,
            false => Progress::End,
        })
    }

    fn request<'a>(&self, settings: &'a Settings, partition: i32) -> fetch::FetchRequest<'a> {
        fetch::FetchRequest {
            replica_id: -1,
            max_wait_ms: settings.fetch_wait_ms,
            min_bytes: 0,
            max_bytes: ANSWER_BYTES_MAX,
            session_id: 0,
            session_epoch: -1,
            topics: vec![fetch::FetchTopic {
                topic: Cow::Borrowed(&settings.topic),
                partitions: vec![fetch::FetchPartition {
                    partition,
                    current_leader_epoch: -1,
                    fetch_offset: self.position,
                    last_fetched_epoch: -1,
                    log_start_offset: -1,
                    partition_max_bytes: settings.fetch_bytes,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}
