//! Many groups that commit, each as soon as its last commit is answered; and how soon what they
//! committed is there again after a restart.
//!
//! Groups without members, as programs have that assign partitions themselves: one partition each.
//! They share connections, because a server is measured here and not its accept queue; on each, all
//! its groups have one commit under way. Every offset is checked after the restart.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thalweg_wire::messages::{
    offset_commit_request as commit, offset_commit_response, offset_fetch_request as fetch,
    offset_fetch_response,
};

use super::Shape;
use super::crowd::Crowd;
use crate::x::{Context, Failure, Outcome};

const TOPIC: &str = "shared";
/// The last versions without tagged fields.
const COMMIT_VERSION: i16 = 7;
const FETCH_VERSION: i16 = 5;
/// Coordinator loading, not available, elsewhere.
const AGAIN_CODES: [i16; 3] = [14, 15, 16];
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(1);

/// What was committed.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) per_second: f64,
    pub(super) commits: u64,
    /// The last offset of each group.
    offsets: Vec<i64>,
}

struct Load<'a> {
    crowd: Crowd,
    shape: &'a Shape,
    /// Whose answers each connection waits for.
    waiting: Vec<VecDeque<usize>>,
    offsets: Vec<i64>,
    under_way: usize,
}

impl<'a> Load<'a> {
    fn new(address: &str, shape: &'a Shape, offsets: Vec<i64>) -> Outcome<Self> {
        Ok(Self {
            crowd: Crowd::connect(address, shape.connections)?,
            shape,
            waiting: vec![VecDeque::new(); shape.connections],
            offsets,
            under_way: 0,
        })
    }

    fn place(&self, group: usize) -> (usize, i32) {
        let index = i32::try_from(group).unwrap_or(0) % self.shape.partitions.max(1);
        (group % self.shape.connections.max(1), index)
    }

    fn sent(&mut self, group: usize, at: usize) {
        if let Some(waiting) = self.waiting.get_mut(at) {
            waiting.push_back(group);
        }
        self.under_way += 1;
    }

    /// Whose answer this is.
    fn answered(&mut self, at: usize) -> Outcome<usize> {
        self.under_way = self.under_way.saturating_sub(1);
        let waiting = self.waiting.get_mut(at);
        waiting
            .and_then(VecDeque::pop_front)
            .context(|| "an answer that nobody waits for")
    }

    fn commit(&mut self, group: usize) -> Outcome<()> {
        let (at, partition_index) = self.place(group);
        let name = name(group);
        let request = commit::OffsetCommitRequest {
            group_id: Cow::Borrowed(&name),
            generation_id_or_member_epoch: -1,
            topics: vec![commit::OffsetCommitRequestTopic {
                name: Cow::Borrowed(TOPIC),
                partitions: vec![commit::OffsetCommitRequestPartition {
                    partition_index,
                    committed_offset: self.offsets.get(group).copied().unwrap_or(0) + 1,
                    committed_leader_epoch: -1,
                    committed_metadata: Some(Cow::Borrowed("")),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        self.crowd.send(at, &request, COMMIT_VERSION)?;
        self.sent(group, at);
        Ok(())
    }

    fn fetch(&mut self, group: usize) -> Outcome<()> {
        let (at, index) = self.place(group);
        let name = name(group);
        let request = fetch::OffsetFetchRequest {
            group_id: Cow::Borrowed(&name),
            topics: Some(vec![fetch::OffsetFetchRequestTopic {
                name: Cow::Borrowed(TOPIC),
                partition_indexes: vec![index],
            }]),
            ..Default::default()
        };
        self.crowd.send(at, &request, FETCH_VERSION)?;
        self.sent(group, at);
        Ok(())
    }

    /// Handles answers of commits; groups go on while `more`. How many were taken.
    fn commits(&mut self, more: bool) -> Outcome<u64> {
        let mut taken = 0;
        for (at, body) in self.crowd.answers(PAUSE)? {
            let group = self.answered(at)?;
            let view =
                offset_commit_response::OffsetCommitResponseView::decode(&body, COMMIT_VERSION)
                    .context(|| "reading an OffsetCommit answer")?;
            let mut partitions = view.topics.iter().flat_map(|topic| topic.partitions.iter());
            let code = partitions.next().map(|partition| partition.error_code);
            match code {
                Some(0) => {
                    taken += 1;
                    if let Some(offset) = self.offsets.get_mut(group) {
                        *offset += 1;
                    }
                    if more {
                        self.commit(group)?;
                    }
                }
                Some(code) if AGAIN_CODES.contains(&code) => self.commit(group)?,
                other => return Err(Failure::new(format!("a commit was answered {other:?}"))),
            }
        }
        Ok(taken)
    }

    fn drain(&mut self) -> Outcome<u64> {
        let (started, mut taken) = (Instant::now(), 0);
        while self.under_way > 0 {
            taken += self.commits(false)?;
            if started.elapsed() > PATIENCE {
                return Err(Failure::new("commits are not answered"));
            }
        }
        Ok(taken)
    }
}

/// Lets all groups commit for as long as the shape says, after one commit each.
pub(super) fn measure(address: &str, shape: &Shape) -> Outcome<Committed> {
    super::rebalance::find_coordinator(address, &name(0))?;
    let mut load = Load::new(address, shape, vec![0; shape.groups])?;
    let mut commits = 0;
    for group in 0..shape.groups {
        load.commit(group)?;
    }
    commits += load.drain()?;
    for group in 0..shape.groups {
        load.commit(group)?;
    }
    // What is answered before everybody has begun belongs to the warm-up.
    let (started, mut taken) = (Instant::now(), 0);
    while started.elapsed() < shape.duration {
        taken += load.commits(true)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    commits += taken + load.drain()?;
    Ok(Committed {
        per_second: taken as f64 / seconds,
        commits,
        offsets: load.offsets,
    })
}

/// Waits until every group's offset is told, and is the one that was committed last.
pub(super) fn reloaded(address: &str, shape: &Shape, committed: &Committed) -> Outcome<()> {
    let mut load = Load::new(address, shape, committed.offsets.clone())?;
    for group in 0..shape.groups {
        load.fetch(group)?;
    }
    let started = Instant::now();
    while load.under_way > 0 {
        if started.elapsed() > PATIENCE {
            return Err(Failure::new("the groups are not loaded"));
        }
        for (at, body) in load.crowd.answers(PAUSE)? {
            let group = load.answered(at)?;
            let view = offset_fetch_response::OffsetFetchResponseView::decode(&body, FETCH_VERSION)
                .context(|| "reading an OffsetFetch answer")?;
            if AGAIN_CODES.contains(&view.error_code) {
                load.fetch(group)?;
                continue;
            }
            let mut partitions = view.topics.iter().flat_map(|topic| topic.partitions.iter());
            let found = partitions
                .next()
                .map(|one| (one.error_code, one.committed_offset));
            let wanted = load.offsets.get(group).copied().unwrap_or(0);
            if view.error_code != 0 || found != Some((0, wanted)) {
                let words = format!("{} is at {found:?}, not at {wanted}", name(group));
                return Err(Failure::new(words));
            }
        }
    }
    Ok(())
}

fn name(group: usize) -> String {
    format!("committer-{group}")
}
