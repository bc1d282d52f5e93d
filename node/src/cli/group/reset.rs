//! `thalweg group reset`: all of the scenarios of Kafka's tool, a dry run unless told to execute.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::super::committed::{self, Committer};
use super::super::failure::Failure;
use super::super::offsets::{EARLIEST, Found, Isolation, LATEST, place_of_all};
use super::super::outcome::{Outcome, show};
use super::super::output::Format;
use super::super::routing::{Cluster, TopicPartition};
use super::super::time::{self, TimeMs, duration_ms};
use super::plan::{self, Aim, Bounds};
use super::report::{self, Move, Reset};
use super::{Scope, state};

const DOING: &str = "resetting group";

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(
    group = clap::ArgGroup::new("aim").required(true),
    group = clap::ArgGroup::new("scope").multiple(true)
)]
pub(super) struct ResetArgs {
    /// The group; it need not exist yet
    group: String,
    /// A topic, or some partitions of it (orders:0,1); may be repeated
    #[arg(short, long, value_name = "TOPIC", group = "scope", value_parser = Scope::parse)]
    topic: Vec<Scope>,
    /// All topics of which the group has committed offsets
    #[arg(long, group = "scope", conflicts_with = "topic")]
    all_topics: bool,
    /// To the first record that is still there
    #[arg(long, group = "aim", requires = "scope")]
    to_earliest: bool,
    /// To the end
    #[arg(long, group = "aim", requires = "scope")]
    to_latest: bool,
    /// To where it is; to the end where nothing is committed
    #[arg(long, group = "aim", requires = "scope")]
    to_current: bool,
    /// To an offset
    #[arg(long, value_name = "N", group = "aim", requires = "scope")]
    to_offset: Option<i64>,
    /// So many records on, or back
    #[arg(
        long,
        value_name = "N",
        group = "aim",
        requires = "scope",
        allow_hyphen_values = true
    )]
    shift_by: Option<i64>,
    /// To the first record at or after a time (2026-11-23T12:00:00.000)
    #[arg(long, value_name = "TIME", group = "aim", requires = "scope", value_parser = time::parse, allow_hyphen_values = true)]
    to_datetime: Option<TimeMs>,
    /// To the first record of the last while (90m, P1DT2H)
    #[arg(long, value_name = "DURATION", group = "aim", requires = "scope", value_parser = duration_ms)]
    by_duration: Option<i64>,
    /// To the offsets of a file with lines `topic,partition,offset`
    #[arg(long, value_name = "FILE", group = "aim")]
    from_file: Option<PathBuf>,
    /// To where another group is
    #[arg(long, value_name = "GROUP", group = "aim")]
    from_group: Option<String>,
    /// Do it; otherwise only what would be done is shown
    #[arg(long)]
    execute: bool,
    /// Print lines for --from-file instead of a table
    #[arg(long)]
    export: bool,
}

impl ResetArgs {
    pub(super) fn outcome(
        &self,
        cluster: &mut Cluster,
        format: Format,
    ) -> Result<Outcome, Failure> {
        state::need_idle(cluster, &self.group, DOING)?;
        let committed: BTreeMap<TopicPartition, i64> = committed::fetch(cluster, &self.group)?
            .into_iter()
            .map(|(partition, place)| (partition, place.offset))
            .collect();
        let aims = self.aims(cluster, &committed)?;
        let isolation = Isolation::ReadUncommitted;
        let first = place_of_all(cluster, aims.keys().cloned(), EARLIEST, isolation)?;
        let end = place_of_all(cluster, aims.keys().cloned(), LATEST, isolation)?;
        let (mut moves, mut failures) = (Vec::new(), Vec::new());
        for (partition, aim) in &aims {
            let offset = |of: &BTreeMap<TopicPartition, Found>| {
                of.get(partition)
                    .and_then(|found| found.offset)
                    .unwrap_or(0)
            };
            let bounds = Bounds {
                first: offset(&first),
                end: offset(&end),
                committed: committed.get(partition).copied(),
            };
            match plan::target(partition, bounds, *aim) {
                Ok(offset) => moves.push(Move::new(partition, bounds.committed, offset)),
                Err(why) => failures.push(Failure::input(
                    why,
                    "the group has never committed an offset there",
                    "use --to-offset, --to-earliest or --to-latest for it",
                )),
            }
        }
        if self.execute {
            failures.extend(self.commit(cluster, &mut moves)?);
        } else {
            eprintln!("dry run: nothing was changed; --execute does it");
        }
        Ok(self.told(moves, failures, format))
    }

    fn told(&self, moves: Vec<Move>, failures: Vec<Failure>, format: Format) -> Outcome {
        let failed = moves.iter().filter(|part| part.error.is_some()).count();
        let done = moves.len() - failed;
        let reset = Reset {
            group: self.group.clone(),
            executed: self.execute,
            partitions: moves,
        };
        let text = match self.export {
            true => report::exported(&reset),
            false => show(&reset, format, report::reset),
        };
        Outcome::of(text, done, failures)
    }

    /// What each partition meant is to get.
    fn aims(
        &self,
        cluster: &mut Cluster,
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, Aim>, Failure> {
        if let Some(named) = self.named(cluster)? {
            return self.named_aims(cluster, named);
        }
        let partitions = self.scope(cluster, committed)?;
        let everywhere = |aim| partitions.iter().map(|part| (part.clone(), aim)).collect();
        let time = match (self.to_datetime, self.by_duration) {
            (Some(time), _) => Some(time.0),
            (None, Some(ago)) => Some(time::now().0.saturating_sub(ago)),
            (None, None) => None,
        };
        if let Some(time) = time {
            let isolation = Isolation::ReadUncommitted;
            let found = place_of_all(cluster, partitions.iter().cloned(), time, isolation)?;
            let aims = found.into_iter();
            return Ok(aims
                .map(|(partition, found)| (partition, Aim::Found(found.offset)))
                .collect());
        }
        Ok(everywhere(match (self.to_offset, self.shift_by) {
            (Some(offset), _) => Aim::Offset(offset),
            (_, Some(by)) => Aim::Shift(by),
            _ if self.to_earliest => Aim::Earliest,
            _ if self.to_latest => Aim::Latest,
            _ => Aim::Current,
        }))
    }

    /// Offsets that are named partition by partition, by a file or another group.
    fn named(
        &self,
        cluster: &mut Cluster,
    ) -> Result<Option<BTreeMap<TopicPartition, i64>>, Failure> {
        if let Some(path) = &self.from_file {
            let text =
                std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
            let rows = plan::rows(&text, &self.group).map_err(|line| {
                Failure::input(
                    format!("{} has a line that cannot be read: {line}", path.display()),
                    "lines are `topic,partition,offset`, as --export prints them",
                    "correct the line",
                )
            })?;
            let rows = rows.into_iter();
            return Ok(Some(rows.map(|row| (row.partition, row.offset)).collect()));
        }
        if let Some(other) = &self.from_group {
            state::need(cluster, other)?;
            let places = committed::fetch(cluster, other)?.into_iter();
            return Ok(Some(
                places.map(|(part, place)| (part, place.offset)).collect(),
            ));
        }
        Ok(None)
    }

    fn named_aims(
        &self,
        cluster: &mut Cluster,
        mut named: BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeMap<TopicPartition, Aim>, Failure> {
        if !self.topic.is_empty() {
            let scope: BTreeSet<TopicPartition> =
                self.scope(cluster, &named)?.into_iter().collect();
            named.retain(|partition, _| scope.contains(partition));
        }
        let aims = named.into_iter();
        Ok(aims
            .map(|(partition, offset)| (partition, Aim::Offset(offset)))
            .collect())
    }

    fn scope(
        &self,
        cluster: &mut Cluster,
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Vec<TopicPartition>, Failure> {
        if self.all_topics {
            return Ok(committed.keys().cloned().collect());
        }
        let mut partitions = Vec::new();
        for scope in &self.topic {
            partitions.extend(scope.resolve(cluster)?);
        }
        Ok(partitions)
    }

    fn commit(&self, cluster: &mut Cluster, moves: &mut [Move]) -> Result<Vec<Failure>, Failure> {
        let offsets: BTreeMap<TopicPartition, i64> = moves
            .iter()
            .map(|part| (TopicPartition::new(&part.topic, part.partition), part.to))
            .collect();
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let codes = committed::commit(cluster, &self.group, &Committer::nobody(), &offsets)?;
        let mut failures = Vec::new();
        for part in moves {
            let partition = TopicPartition::new(&part.topic, part.partition);
            let code = codes.get(&partition).copied().unwrap_or(0);
            if code != 0 {
                let subject = format!("{} of {partition}", self.group);
                failures.push(Failure::refused(DOING, &subject, code, None));
                part.fail(code);
            }
        }
        Ok(failures)
    }
}
