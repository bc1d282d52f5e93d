//! Reads partitions from where they stand, prints, and knows when it is done.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use thalweg_wire::error_code::ErrorCode;

use super::super::Exit;
use super::super::failure::Failure;
use super::super::offsets::{EARLIEST, Found, Isolation, LATEST, place_of_all};
use super::super::progress::Progress;
use super::super::routing::{Cluster, TopicPartition, is_retriable};
use super::fetch::{self, Part};
use super::position::{Begin, Until};
use super::print::Printer;

/// A fetch that finds nothing comes back after this long, to look at signals and heartbeats.
const WAIT: Duration = Duration::from_millis(500);
/// Between rounds while nothing can be fetched.
const PAUSE: Duration = Duration::from_millis(100);

/// When to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// Records to print at most.
    pub(crate) count: Option<u64>,
    /// Where partitions end.
    pub(crate) until: Option<Until>,
    /// After so long without a record.
    pub(crate) idle: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    next: i64,
    stop: Option<i64>,
}

impl Place {
    fn is_done(self) -> bool {
        self.stop.is_some_and(|stop| self.next >= stop)
    }
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Reader {
    places: BTreeMap<TopicPartition, Place>,
    printer: Printer,
    isolation: Isolation,
    ends: Ends,
    left: Option<u64>,
    last_record: Instant,
    /// Since when nothing but errors comes.
    failing: Option<Instant>,
    progress: Progress,
    pub(crate) records: u64,
    bytes: u64,
}

impl Reader {
    pub(crate) fn new(printer: Printer, isolation: Isolation, ends: Ends) -> Self {
        use std::io::IsTerminal;
        Self {
            places: BTreeMap::new(),
            printer,
            isolation,
            ends,
            left: ends.count,
            last_record: Instant::now(),
            failing: None,
            progress: Progress::new("consumed", std::io::stdout().is_terminal()),
            records: 0,
            bytes: 0,
        }
    }

    /// Goes on with these partitions only, from these offsets.
    pub(crate) fn assign(
        &mut self,
        cluster: &mut Cluster,
        from: BTreeMap<TopicPartition, i64>,
    ) -> Result<(), Failure> {
        let stops = match self.ends.until {
            Some(until) => stops(cluster, &from, until, self.isolation)?,
            None => BTreeMap::new(),
        };
        self.places = from
            .into_iter()
            .map(|(partition, next)| {
                let stop = stops.get(&partition).copied();
                (partition, Place { next, stop })
            })
            .collect();
        self.last_record = Instant::now();
        Ok(())
    }

    /// Where each partition stands: the offset after the last record printed.
    pub(crate) fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        let places = self.places.iter();
        places
            .map(|(partition, place)| (partition.clone(), place.next))
            .collect()
    }

    /// Nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        let ended = self.ends.until.is_some() && self.places.values().all(|place| place.is_done());
        let idle = self
            .ends
            .idle
            .is_some_and(|idle| self.last_record.elapsed() >= idle);
        self.printer.closed || self.left == Some(0) || ended || idle
    }

    /// Fetches and prints once.
    pub(crate) fn step(&mut self, cluster: &mut Cluster) -> Result<(), Failure> {
        let open = self.places.iter().filter(|(_, place)| !place.is_done());
        let wanted: BTreeMap<TopicPartition, i64> = open
            .map(|(partition, place)| (partition.clone(), place.next))
            .collect();
        if wanted.is_empty() {
            thread::sleep(PAUSE);
            return Ok(());
        }
        let wait = self.ends.idle.map_or(WAIT, |idle| idle.min(WAIT));
        let parts = match fetch::round(cluster, &wanted, self.isolation, wait) {
            Ok(parts) => parts,
            Err(failure) if failure.exit == Exit::Unreachable => {
                return self.lost(cluster, &wanted, failure);
            }
            Err(failure) => return Err(failure),
        };
        for part in parts {
            self.take(cluster, part)?;
        }
        self.progress.tell(self.records, self.bytes);
        self.printer
            .flush()
            .map_err(|error| Failure::printing(&error))
    }

    /// A broker does not answer: its partitions may have another leader by now.
    fn lost(
        &mut self,
        cluster: &mut Cluster,
        wanted: &BTreeMap<TopicPartition, i64>,
        failure: Failure,
    ) -> Result<(), Failure> {
        for leader in cluster.by_leader(wanted.keys()).into_keys().flatten() {
            cluster.hang_up(leader);
        }
        for partition in wanted.keys() {
            cluster.forget_leader(partition);
        }
        self.patience(cluster, failure)
    }

    fn patience(&mut self, cluster: &Cluster, failure: Failure) -> Result<(), Failure> {
        let since = *self.failing.get_or_insert_with(Instant::now);
        if since.elapsed() > cluster.timeout() {
            return Err(failure);
        }
        thread::sleep(PAUSE);
        Ok(())
    }

    fn take(&mut self, cluster: &mut Cluster, part: Part) -> Result<(), Failure> {
        if part.code != 0 {
            return self.refused(cluster, &part);
        }
        self.failing = None;
        self.bytes += part.bytes as u64;
        let Some(place) = self.places.get_mut(&part.partition) else {
            return Ok(());
        };
        // Markers and hidden records lie behind the last one, too.
        let mut next = part.fetched.next.unwrap_or(place.next);
        for record in &part.fetched.records {
            if self.left == Some(0) {
                // What is left of the batch was not printed, and is not to be committed.
                return Ok(());
            }
            if let Some(stop) = place.stop
                && record.offset >= stop
            {
                next = stop;
                break;
            }
            self.printer.push(record);
            place.next = record.offset + 1;
            self.records += 1;
            self.left = self.left.map(|left| left - 1);
            self.last_record = Instant::now();
        }
        place.next = place.next.max(next);
        Ok(())
    }

    fn refused(&mut self, cluster: &mut Cluster, part: &Part) -> Result<(), Failure> {
        let subject = part.partition.to_string();
        let failure = Failure::refused("fetching from", &subject, part.code, None);
        if part.code == ErrorCode::OffsetOutOfRange.code() {
            return self.out_of_range(cluster, &part.partition, failure);
        }
        if !is_retriable(part.code) {
            return Err(failure);
        }
        cluster.forget_leader(&part.partition);
        self.patience(cluster, failure)
    }

    /// Records that were deleted meanwhile are left out, with a word; an offset beyond the end is a
    /// failure.
    fn out_of_range(
        &mut self,
        cluster: &mut Cluster,
        partition: &TopicPartition,
        failure: Failure,
    ) -> Result<(), Failure> {
        let one = std::iter::once(partition.clone());
        let first = place_of_all(cluster, one, EARLIEST, self.isolation)?;
        let first = first.get(partition).and_then(|found| found.offset);
        match (self.places.get_mut(partition), first) {
            (Some(place), Some(first)) if place.next < first => {
                eprintln!(
                    "{partition}: records {} to {} are deleted, going on at {first}",
                    place.next,
                    first - 1
                );
                place.next = first;
                Ok(())
            }
            _ => Err(failure),
        }
    }

    /// The last words.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        self.progress.clear();
        self.printer
            .flush()
            .map_err(|error| Failure::printing(&error))
    }
}

/// The offsets at which partitions begin to be read.
pub(crate) fn begins(
    cluster: &mut Cluster,
    partitions: &[TopicPartition],
    begin: Begin,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let mut ask = |time| place_of_all(cluster, partitions.iter().cloned(), time, isolation);
    let plain = |found: BTreeMap<TopicPartition, Found>| -> BTreeMap<TopicPartition, i64> {
        let offset = |found: Found| found.offset.unwrap_or(0);
        found
            .into_iter()
            .map(|(part, found)| (part, offset(found)))
            .collect()
    };
    Ok(match begin {
        Begin::Start => plain(ask(EARLIEST)?),
        Begin::End => plain(ask(LATEST)?),
        Begin::At(offset) => partitions
            .iter()
            .map(|part| (part.clone(), offset))
            .collect(),
        Begin::Last(count) => {
            let first = plain(ask(EARLIEST)?);
            let mut end = plain(ask(LATEST)?);
            for (partition, end) in &mut end {
                let first = first.get(partition).copied().unwrap_or(0);
                *end = end.saturating_sub(count).max(first);
            }
            end
        }
        Begin::Time(time) => {
            let end = plain(ask(LATEST)?);
            let found = ask(time.0)?.into_iter();
            found
                .map(|(partition, found)| {
                    let end = end.get(&partition).copied().unwrap_or(0);
                    (partition, found.offset.unwrap_or(end))
                })
                .collect()
        }
    })
}

/// The offsets before which partitions end. Without a record as young as the time asked for, that
/// is the end there is now.
fn stops(
    cluster: &mut Cluster,
    from: &BTreeMap<TopicPartition, i64>,
    until: Until,
    isolation: Isolation,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let partitions: Vec<TopicPartition> = from.keys().cloned().collect();
    let begin = match until {
        Until::Now => Begin::End,
        Until::Before(offset) => Begin::At(offset),
        Until::Time(time) => Begin::Time(time),
    };
    begins(cluster, &partitions, begin, isolation)
}
