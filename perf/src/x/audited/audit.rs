//! Holds a server against a ledger, for a cut at one place. The first contradiction is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use thalweg_wire::batch::{BatchRef, Records, split};

use super::client::Client;
use super::ledger::{Ledger, Life, Place, Sent};
use super::load::{
    COMPACTED, DOOMED, PLAIN, PLAIN_PARTITIONS, RETENTION_BYTES, TXN, TXN_PARTITIONS,
};
use super::value::Mark;
use crate::x::{Context, Failure, Outcome};

/// Open transactions are ended by the coordinator after a start; markers take a moment.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Retention looked at a log that may have been longer than what the cut left.
const RETENTION_SLACK_BYTES: u64 = 512 << 10;
const LEADER_PATIENCE: Duration = Duration::from_secs(15);

/// What one partition holds.
#[derive(Debug, Default)]
pub struct Found {
    pub start: i64,
    pub end: i64,
    pub bytes: u64,
    pub records: BTreeMap<i64, Mark>,
}

/// Everything that is read of a server whose disk was cut after `place` events. Counts records.
pub fn audit(address: &str, ledger: &Ledger, place: usize) -> Outcome<u64> {
    let mut client = Client::connect(address)?;
    let mut audit = Audit {
        client: &mut client,
        ledger,
        place,
        records: 0,
    };
    for partition in 0..PLAIN_PARTITIONS {
        audit.plain(partition)?;
    }
    audit.compacted()?;
    audit.doomed()?;
    audit.settled_transactions()?;
    Ok(audit.records)
}

struct Audit<'a> {
    client: &'a mut Client,
    ledger: &'a Ledger,
    place: usize,
    records: u64,
}

impl Audit<'_> {
    fn is_there(&self, topic: &str) -> bool {
        let created = self.ledger.created.get(topic);
        created.is_some_and(|at| *at <= self.place)
    }

    fn sent_to<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Sent> + 'a {
        self.ledger
            .sent
            .iter()
            .filter(move |sent| sent.place == *place)
    }

    /// None where the topic may be missing and is.
    fn read(&mut self, at: (&str, i32), committed: bool) -> Outcome<Option<Found>> {
        let found = read(self.client, at, committed)?;
        if let Some(found) = &found {
            self.records += found.records.len() as u64;
        }
        match found {
            None if self.is_there(at.0) => Err(Failure::new(format!("{at:?} is not there"))),
            found => Ok(found),
        }
    }

    fn plain(&mut self, partition: i32) -> Outcome<()> {
        let Some(found) = self.read((PLAIN, partition), false)? else {
            return Ok(());
        };
        let place = (PLAIN.to_owned(), partition);
        let what = || format!("{place:?} from {} to {}", found.start, found.end);
        self.check_sent(&place, &found).context(what)?;
        self.check_acked(&place, &found).context(what)?;
        check_gaps(&found).context(what)?;
        let ledger = self.ledger;
        let known = |list: &[(Place, i64, usize)]| {
            let mine = list
                .iter()
                .filter(|(of, _, at)| *of == place && *at <= self.place);
            mine.map(|(_, offset, _)| *offset).max().unwrap_or(0)
        };
        if found.start < known(&ledger.starts) {
            return Err(Failure::new(format!(
                "{}: deleted records are back",
                what()
            )));
        }
        if found.end < known(&ledger.shown) {
            let shown = known(&ledger.shown);
            return Err(Failure::new(format!("{}: {shown} was shown", what())));
        }
        let was_kept = found.bytes + RETENTION_SLACK_BYTES >= RETENTION_BYTES;
        if found.start > known(&ledger.starts_asked) && !was_kept {
            let bytes = found.bytes;
            return Err(Failure::new(format!("{}: {bytes} bytes kept", what())));
        }
        Ok(())
    }

    /// What is there was sent before the cut, once, and in its stream's order.
    fn check_sent(&self, place: &Place, found: &Found) -> Outcome<()> {
        let mut sent: BTreeMap<u32, u64> = BTreeMap::new();
        for one in self.sent_to(place).filter(|one| one.sent_at <= self.place) {
            let end = sent.entry(one.first.stream).or_default();
            *end = (*end).max(one.first.sequence + one.count);
        }
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        for (offset, mark) in &found.records {
            if sent
                .get(&mark.stream)
                .is_none_or(|end| mark.sequence >= *end)
            {
                let told = format!("{mark:?} at {offset} was never sent");
                return Err(Failure::new(told));
            }
            let before = last.insert(mark.stream, mark.sequence);
            if before.is_some_and(|before| before >= mark.sequence) {
                let told = format!("{mark:?} at {offset} comes twice or late");
                return Err(Failure::new(told));
            }
        }
        Ok(())
    }

    /// What was acknowledged and lies above the start is there, at its offset.
    fn check_acked(&self, place: &Place, found: &Found) -> Outcome<()> {
        for one in self.sent_to(place) {
            let Some((base, at)) = one.acked else {
                continue;
            };
            if at > self.place {
                continue;
            }
            for (number, offset) in (base..).take(one.count as usize).enumerate() {
                let mark = Mark {
                    sequence: one.first.sequence + number as u64,
                    ..one.first
                };
                if offset >= found.start && found.records.get(&offset) != Some(&mark) {
                    let there = found.records.get(&offset);
                    let told = format!("{mark:?} was acknowledged at {offset}: {there:?} is there");
                    return Err(Failure::new(told));
                }
            }
        }
        Ok(())
    }

    fn compacted(&mut self) -> Outcome<()> {
        let Some(found) = self.read((COMPACTED, 0), false)? else {
            return Ok(());
        };
        let place = (COMPACTED.to_owned(), 0);
        self.check_sent(&place, &found).context(|| "compacted")?;
        let mut newest: BTreeMap<[u8; 2], u64> = BTreeMap::new();
        for mark in found.records.values() {
            newest.insert(mark.key(), mark.sequence);
        }
        for one in self.sent_to(&place) {
            let Some((base, at)) = one.acked else {
                continue;
            };
            for number in 0..one.count {
                let mark = Mark {
                    sequence: one.first.sequence + number,
                    ..one.first
                };
                let there = newest.get(&mark.key());
                if at <= self.place && there.is_none_or(|there| *there < mark.sequence) {
                    let told = format!("compacted: {mark:?} is newer than {there:?}");
                    return Err(Failure::new(told));
                }
                let offset = base + number.cast_signed();
                let other = found.records.get(&offset);
                if at <= self.place && other.is_some_and(|other| *other != mark) {
                    let told = format!("compacted: {offset} was {mark:?}, is {other:?}");
                    return Err(Failure::new(told));
                }
            }
        }
        Ok(())
    }

    fn doomed(&mut self) -> Outcome<()> {
        let found = read(self.client, (DOOMED, 0), false)?;
        let by = |at: Option<usize>| at.is_some_and(|at| at <= self.place);
        let ended = |life: &&Life| by(life.delete_acked_at);
        let dead = self
            .ledger
            .lives
            .iter()
            .filter(ended)
            .map(|life| life.streams.end);
        let dead = dead.max().unwrap_or(0);
        let alive = self
            .ledger
            .lives
            .iter()
            .rfind(|life| by(life.created_at) && !by(life.delete_sent_at));
        let place = (DOOMED.to_owned(), 0);
        let Some(found) = found else {
            return match alive {
                Some(life) => Err(Failure::new(format!("doomed is gone: {life:?}"))),
                None => Ok(()),
            };
        };
        self.records += found.records.len() as u64;
        self.check_sent(&place, &found).context(|| "doomed")?;
        if let Some((_, mark)) = found.records.iter().find(|(_, mark)| mark.stream < dead) {
            let told = format!("{mark:?} of a deleted topic is back, {dead} are dead");
            return Err(Failure::new(told));
        }
        let Some(life) = alive else { return Ok(()) };
        for one in self.sent_to(&place) {
            let acked = one.acked.filter(|(_, at)| *at <= self.place);
            if !life.streams.contains(&one.first.stream) {
                continue;
            }
            if let Some((base, _)) = acked
                && found.records.get(&base) != Some(&one.first)
            {
                let told = format!("doomed: {:?} was acknowledged at {base}", one.first);
                return Err(Failure::new(told));
            }
        }
        Ok(())
    }

    /// Transactions whose end was told are finished by the coordinator after a start.
    fn settled_transactions(&mut self) -> Outcome<()> {
        let started = Instant::now();
        loop {
            match self.transactions() {
                Err(_) if started.elapsed() < SETTLE_MAX => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                verdict => return verdict,
            }
        }
    }

    fn transactions(&mut self) -> Outcome<()> {
        let mut seen: BTreeSet<Mark> = BTreeSet::new();
        for partition in 0..TXN_PARTITIONS {
            let place = (TXN.to_owned(), partition);
            let what = || format!("{place:?}");
            let Some(all) = self.read((TXN, partition), false)? else {
                return Ok(());
            };
            self.check_sent(&place, &all).context(what)?;
            self.check_acked(&place, &all).context(what)?;
            let committed = self.read((TXN, partition), true)?;
            seen.extend(committed.context(|| "txn is gone")?.records.into_values());
        }
        for (number, transaction) in self.ledger.transactions.iter().enumerate() {
            let mut visible = 0;
            let mut hidden = 0;
            let parts = self.ledger.sent.iter();
            for one in parts.filter(|one| one.transaction == Some(number)) {
                for sequence in one.first.sequence..one.first.sequence + one.count {
                    let mark = Mark {
                        sequence,
                        ..one.first
                    };
                    match seen.contains(&mark) {
                        true => visible += 1,
                        false => hidden += 1,
                    }
                }
            }
            let acked = transaction.end_acked_at.is_some_and(|at| at <= self.place);
            let asked = transaction.end_sent_at <= self.place;
            let is_right = match (transaction.commit, acked, asked) {
                (true, true, _) => hidden == 0,
                (true, false, true) => hidden == 0 || visible == 0,
                _ => visible == 0,
            };
            if !is_right {
                return Err(Failure::new(format!(
                    "transaction {number}: {visible} records visible, {hidden} not: {transaction:?}"
                )));
            }
        }
        Ok(())
    }
}

/// A stream whose writer waits for each answer has no gaps above the log's start.
fn check_gaps(found: &Found) -> Outcome<()> {
    let mut last: BTreeMap<u32, u64> = BTreeMap::new();
    for (offset, mark) in &found.records {
        let before = last.insert(mark.stream, mark.sequence);
        if before.is_some_and(|before| before + 1 != mark.sequence) {
            return Err(Failure::new(format!(
                "{mark:?} at {offset} after {before:?}"
            )));
        }
    }
    let mut offsets = found.records.keys();
    if let Some(first) = offsets.next() {
        let count = found.records.len() as i64;
        if *first != found.start || first + count != found.end {
            return Err(Failure::new("offsets are missing"));
        }
    }
    Ok(())
}

/// A whole partition, verified; None for a topic that is not there.
pub fn read(client: &mut Client, at: (&str, i32), committed: bool) -> Outcome<Option<Found>> {
    let started = Instant::now();
    let (start, end) = loop {
        let (code, start) = client.list_offset(at, -2)?;
        let (_, end) = client.list_offset(at, -1)?;
        match code {
            0 => break (start, end),
            3 => return Ok(None),
            5 | 6 if started.elapsed() < LEADER_PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            code => return Err(Failure::new(format!("ListOffsets of {at:?}: code {code}"))),
        }
    };
    let mut found = Found {
        start,
        end,
        ..Found::default()
    };
    let mut next = start;
    while next < end {
        let fetched = client.fetch(at, next, committed)?;
        if fetched.code != 0 {
            let code = fetched.code;
            return Err(Failure::new(format!(
                "fetch of {at:?} at {next}: code {code}"
            )));
        }
        if fetched.records.is_empty() && (!committed || fetched.last_stable <= next) {
            break;
        }
        found.bytes += fetched.records.len() as u64;
        let after = take(&mut found, &fetched.records, (next, &fetched.aborted))?;
        if after == next {
            return Err(Failure::new(format!("{at:?}: nothing whole at {next}")));
        }
        next = after;
    }
    if next < end && !committed {
        return Err(Failure::new(format!("{at:?} ends at {next}, not at {end}")));
    }
    Ok(Some(found))
}

/// Takes the batches of one answer; what a client of committed transactions hides stays hidden.
fn take(found: &mut Found, bytes: &[u8], (from, aborted): (i64, &[(i64, i64)])) -> Outcome<i64> {
    let mut next = from;
    // Producers whose transaction was aborted, from the offset where it began.
    let mut aborted: Vec<(i64, i64)> = aborted.to_vec();
    for batch in split(bytes) {
        let batch = batch.context(|| format!("at {next}"))?;
        if !batch.crc_matches() {
            return Err(Failure::new(format!("a bad checksum at {next}")));
        }
        let header = batch.header();
        let producer = header.producer_id().0;
        let base = header.base_offset().0;
        next = next.max(header.next_offset().0);
        if header.attributes().is_control() {
            // The marker that ends an aborted transaction.
            let mine = aborted
                .iter()
                .position(|(id, first)| *id == producer && *first <= base);
            if let Some(mine) = mine {
                aborted.swap_remove(mine);
            }
            continue;
        }
        let hidden = header.attributes().is_transactional()
            && aborted
                .iter()
                .any(|(id, first)| *id == producer && *first <= base);
        if !hidden {
            take_records(found, &batch, from)?;
        }
    }
    Ok(next)
}

fn take_records(found: &mut Found, batch: &BatchRef<'_>, from: i64) -> Outcome<()> {
    let base = batch.header().base_offset().0;
    for record in Records::new(batch.payload(), batch.header().record_count()) {
        let record = record.context(|| format!("a record of the batch at {base}"))?;
        let offset = base + i64::from(record.offset_delta);
        let mark = record.value.and_then(Mark::of);
        let mark = mark.context(|| format!("wrong bytes at {offset}"))?;
        if offset >= from {
            found.records.insert(offset, mark);
        }
    }
    Ok(())
}
