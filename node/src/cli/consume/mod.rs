//! `thalweg consume`: records of topics on standard output, by assignment or as a group's member.
//!
//! It ends after a count, at an offset or a time, with what is there now, after a silence, when
//! nobody reads its output any more, or when it is interrupted; a group's member commits what was
//! printed and leaves in all of these cases.

mod assignor;
mod sticky;
mod fetch;
mod member;
mod position;
mod print;
mod reader;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::Exit;
use super::client::{Broker, duration};
use super::committed;
use super::failure::Failure;
use super::offsets::Isolation;
use super::routing::{Cluster, TopicPartition};
use super::template::Template;
use assignor::Assignor;
use member::{Assignment, Member, Terms};
use position::{Begin, Until};
pub(crate) use print::json;
use print::{Form, Printer, Style};
use reader::{Ends, Reader, begins};
use topics::{Wanted, Watch};

const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// The shape, for the help of the command.
const SHAPES: &str = "\
JSON shape, one object a line (*_base64 instead for bytes that are no text):
  {\"topic\", \"partition\", \"offset\", \"timestamp\", \"timestamp_type\": \"create\"|\"append\", \"key\", \"value\",
   \"headers\": [{\"key\", \"value\"}]}
Templates: %k key, %v value, %h headers, %t topic, %p partition, %o offset, %d timestamp, %K and %V their
  bytes, %%; %k{hex|base64|json}, %v{...}, %d{text}; \\n \\t \\r \\0 \\\\ \\xNN. What is missing is printed as nothing.

Exit codes: 0 done, 1 failed, 2 usage, 5 no broker reached, 130 interrupted.";

/// Read records of topics.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(crate) struct ConsumeArgs {
    /// Topics
    #[arg(required = true)]
    topics: Vec<String>,
    /// Topics are regular expressions: all topics whose whole name matches are read, in a group also those
    /// that are made later (looked for every 5 seconds)
    #[arg(long)]
    regex: bool,
    /// Only this partition; may be repeated
    #[arg(short, long, value_name = "N", conflicts_with = "group")]
    partition: Vec<i32>,
    /// Where to begin: start, end, an offset, -10 (the last ten of each partition), @TIME. In a
    /// group: where to begin if it has committed nothing, start or end
    #[arg(short, long, value_name = "PLACE", default_value = "end", allow_hyphen_values = true, value_parser = Begin::parse)]
    offset: Begin,
    /// Where to end: now (with what is there), an offset, @TIME
    #[arg(short, long, value_name = "PLACE", value_parser = Until::parse)]
    until: Option<Until>,
    /// Print so many records at most
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// End after so long without a record
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    idle: Option<Duration>,
    /// Share the topics with the other members of this group, and commit what was printed
    #[arg(short, long, value_name = "NAME")]
    group: Option<String>,
    /// A name of its own in the group (static membership): who ends and comes back under it within the
    /// session timeout gets its partitions back, and the others notice nothing
    #[arg(long, value_name = "NAME", requires = "group", alias = "instance")]
    group_instance_id: Option<String>,
    /// How the members share partitions; all of them have to agree
    #[arg(long, value_enum, default_value_t, requires = "group")]
    assignor: Assignor,
    /// The group takes a member for dead that is silent for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration, requires = "group")]
    session_timeout: Duration,
    /// Commit nothing
    #[arg(long, requires = "group")]
    no_commit: bool,
    /// Which records are seen
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
    /// How records are printed
    #[arg(long, value_enum, default_value_t)]
    format: Form,
    /// The same as `--format json`
    #[arg(short = 'J', conflicts_with_all = ["format", "template"])]
    json: bool,
    /// How records are printed, as a template (%t/%p@%o %k=%v\n)
    #[arg(short = 'f', long, value_name = "TEMPLATE", conflicts_with = "format", value_parser = Template::parse)]
    template: Option<Template>,
    #[command(flatten)]
    broker: Broker,
}

impl ConsumeArgs {
    pub(crate) fn run(&self) -> Exit {
        match self.consume() {
            Ok(exit) => exit,
            Err(failure) => {
                eprintln!("{failure}");
                failure.exit
            }
        }
    }

    fn consume(&self) -> Result<Exit, Failure> {
        let stop = interruption()?;
        let cluster = &mut Cluster::connect(&self.broker)?;
        let style = match &self.template {
            Some(template) => Style::Template(template.clone()),
            None if self.json => Style::Form(Form::Json),
            None => Style::Form(self.format),
        };
        let ends = Ends {
            count: self.count,
            until: self.until,
            idle: self.idle,
        };
        let mut reader = Reader::new(Printer::new(style), self.isolation, ends);
        match &self.group {
            Some(group) => self.as_member(cluster, &mut reader, group, &stop)?,
            None => self.assigned(cluster, &mut reader, &stop)?,
        }
        reader.end()?;
        Ok(match stop.load(Ordering::Relaxed) {
            true => Exit::Interrupted,
            false => Exit::Done,
        })
    }

    fn assigned(
        &self,
        cluster: &mut Cluster,
        reader: &mut Reader,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        let partitions = self.partitions(cluster)?;
        let from = begins(cluster, &partitions, self.offset, self.isolation)?;
        reader.assign(cluster, from)?;
        while !reader.is_done() && !stop.load(Ordering::Relaxed) {
            reader.step(cluster)?;
        }
        Ok(())
    }

    fn partitions(&self, cluster: &mut Cluster) -> Result<Vec<TopicPartition>, Failure> {
        let mut partitions = Vec::new();
        for topic in self.wanted()?.now(cluster)?.keys() {
            let all = cluster.partitions(topic)?;
            if let Some(missing) = self.partition.iter().find(|index| !all.contains(index)) {
                return Err(Failure::input(
                    format!("there is no partition {topic}-{missing}"),
                    &format!("the topic has {} partitions, from 0 on", all.len()),
                    "leave out `--partition`, or name one that exists",
                ));
            }
            let wanted = all
                .iter()
                .filter(|index| self.partition.is_empty() || self.partition.contains(index));
            partitions.extend(wanted.map(|index| TopicPartition::new(topic, *index)));
        }
        if partitions.is_empty() {
            return Err(Failure::input(
                format!("no topic matches {}", self.topics.join(", ")),
                "a pattern has to match a topic's whole name",
                "`thalweg topic list` names the topics; `.*` around a part of a name finds it",
            ));
        }
        Ok(partitions)
    }

    fn as_member(
        &self,
        cluster: &mut Cluster,
        reader: &mut Reader,
        group: &str,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        if !matches!(self.offset, Begin::Start | Begin::End) {
            return Err(Failure::input(
                "a group's member begins where the group has committed",
                "`--offset` says where to begin only if nothing is committed: start or end",
                "use `thalweg group reset`, or leave out `--group`",
            ));
        }
        let mut watch = Watch::new(self.wanted()?, cluster)?;
        let mut member = Member::new(Terms {
            group: group.to_owned(),
            instance: self.group_instance_id.clone(),
            assignor: self.assignor,
            session: self.session_timeout,
        });
        let done = self.in_group(cluster, reader, (&mut member, &mut watch), stop);
        let committed = match done.is_ok() {
            true => reader
                .end()
                .and_then(|()| self.commit(cluster, reader, &member)),
            false => Ok(()),
        };
        member.leave(cluster);
        done.and(committed)
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        match self.regex {
            true => Wanted::patterns(&self.topics),
            false => Ok(Wanted::Names(self.topics.clone())),
        }
    }

    /// Goes on with what a rebalance gave us: where we were, where the group has committed, or where the
    /// command says.
    fn take_on(
        &self,
        cluster: &mut Cluster,
        reader: &mut Reader,
        ours: Assignment,
    ) -> Result<(), Failure> {
        let group = self.group.as_deref().unwrap_or_default();
        let mut held = reader.positions();
        held.retain(|partition, _| ours.kept.contains(partition));
        let mut added = ours.partitions;
        added.retain(|partition| !held.contains_key(partition));
        let committed = committed::fetch(cluster, group)?;
        let mut from = begins(cluster, &added, self.offset, self.isolation)?;
        for (partition, next) in &mut from {
            if let Some(place) = committed.get(partition) {
                *next = place.offset;
            }
        }
        from.extend(held);
        reader.assign(cluster, from)
    }

    fn in_group(
        &self,
        cluster: &mut Cluster,
        reader: &mut Reader,
        (member, watch): (&mut Member, &mut Watch),
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        let over = |reader: &Reader| reader.is_done() || stop.load(Ordering::Relaxed);
        loop {
            member.subscribe(watch.topics());
            let ours = member.join(cluster)?;
            let again = ours.must_rejoin;
            self.take_on(cluster, reader, ours)?;
            // What we gave up was committed before we joined, and waits for its new owner.
            if again && !over(reader) {
                continue;
            }
            let mut last_commit = Instant::now();
            loop {
                if over(reader) {
                    return Ok(());
                }
                reader.step(cluster)?;
                if member.beat(cluster)? || watch.has_changed(cluster)? {
                    break;
                }
                if last_commit.elapsed() >= COMMIT_EVERY {
                    last_commit = Instant::now();
                    self.commit(cluster, reader, member)?;
                }
            }
            // What was printed is committed before the partitions go to others.
            self.commit(cluster, reader, member)?;
        }
    }

    /// Commits what was printed. If the group has gone on without us, others will read it again.
    fn commit(
        &self,
        cluster: &mut Cluster,
        reader: &Reader,
        member: &Member,
    ) -> Result<(), Failure> {
        use thalweg_wire::error_code::ErrorCode as E;
        let group = self.group.as_deref().unwrap_or_default();
        let positions: BTreeMap<TopicPartition, i64> = reader.positions();
        if self.no_commit || positions.is_empty() {
            return Ok(());
        }
        let codes = committed::commit(cluster, group, member.committer(), &positions)?;
        for (partition, code) in codes {
            match E::from_code(code) {
                Some(E::None) => {}
                Some(E::RebalanceInProgress | E::UnknownMemberId | E::IllegalGeneration) => {
                    eprintln!(
                        "{partition}: the group is rebalancing, what was printed since the last commit may come again"
                    );
                }
                _ => {
                    let subject = format!("{group} of {partition}");
                    return Err(Failure::refused("committing for", &subject, code, None));
                }
            }
        }
        Ok(())
    }
}

/// A flag that SIGINT or SIGTERM sets. A second SIGINT ends the process at once; a second SIGTERM
/// does not, since `timeout` sends two.
fn interruption() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let again = signal_hook::flag::register_conditional_shutdown;
    let registered = again(SIGINT, 128 + SIGINT, Arc::clone(&stop))
        .and_then(|_| signal_hook::flag::register(SIGINT, Arc::clone(&stop)))
        .and_then(|_| signal_hook::flag::register(SIGTERM, Arc::clone(&stop)));
    match registered {
        Ok(_) => Ok(stop),
        Err(error) => Err(Failure::input(
            format!("cannot watch for signals: {error}"),
            "the system does not allow it",
            "run it outside of the sandbox that forbids it",
        )),
    }
}
