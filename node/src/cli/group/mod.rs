//! `thalweg group`: consumer groups, their members, offsets and lag.
//!
//! Resetting is a dry run unless it is told to execute. All that changes a group refuses to while
//! the group has members.

mod delete;
mod describe;
mod list;
mod plan;
mod report;
mod reset;
mod state;

use super::Exit;
use super::failure::Failure;
use super::outcome::{Asking, Outcome, finish};
use super::routing::{Cluster, TopicPartition};

/// Consumer groups of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = report::SHAPES)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    command: GroupCommand,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum GroupCommand {
    /// List all groups
    List(list::ListArgs),
    /// Show members, offsets and lag of groups
    Describe(describe::DescribeArgs),
    /// Move a group's offsets; a dry run unless --execute is given
    Reset(reset::ResetArgs),
    /// Delete groups with all of their offsets
    Delete(delete::DeleteArgs),
    /// Delete a group's offsets of some topics
    DeleteOffsets(delete::DeleteOffsetsArgs),
}

impl GroupArgs {
    /// Runs the command, prints what it has to tell, answers its exit code.
    pub(crate) fn run(&self) -> Exit {
        if let GroupCommand::Describe(args) = &self.command
            && let Some(pause) = args.watch
        {
            return self.watch(pause);
        }
        finish(self.outcome())
    }

    /// The same again and again, until it fails or is interrupted.
    fn watch(&self, pause: std::time::Duration) -> Exit {
        loop {
            let exit = finish(self.outcome());
            if exit != Exit::Done {
                return exit;
            }
            std::thread::sleep(pause);
        }
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let cluster = &mut Cluster::connect(&self.asking.broker)?;
        let format = self.asking.format;
        match &self.command {
            GroupCommand::List(args) => args.outcome(cluster, format),
            GroupCommand::Describe(args) => args.outcome(cluster, format),
            GroupCommand::Reset(args) => args.outcome(cluster, format),
            GroupCommand::Delete(args) => args.outcome(cluster, format),
            GroupCommand::DeleteOffsets(args) => args.outcome(cluster, format),
        }
    }
}

/// A topic, or some partitions of it: `orders`, `orders:0,2`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    topic: String,
    /// Empty for all.
    partitions: Vec<i32>,
}

impl Scope {
    fn parse(text: &str) -> Result<Self, String> {
        let (topic, list) = text.split_once(':').unwrap_or((text, ""));
        let numbers = list.split(',').filter(|number| !number.is_empty());
        let partitions: Result<Vec<i32>, _> = numbers
            .map(|number| number.trim().parse::<u16>().map(i32::from))
            .collect();
        match partitions {
            Ok(partitions) if !topic.is_empty() => Ok(Self {
                topic: topic.to_owned(),
                partitions,
            }),
            _ => Err("TOPIC or TOPIC:0,1,2".to_owned()),
        }
    }

    /// The partitions meant, which have to be there.
    fn resolve(&self, cluster: &mut Cluster) -> Result<Vec<TopicPartition>, Failure> {
        let all = cluster.partitions(&self.topic)?;
        let named = match self.partitions.is_empty() {
            true => &all,
            false => &self.partitions,
        };
        named
            .iter()
            .map(|index| {
                let partition = TopicPartition::new(&self.topic, *index);
                match all.contains(index) {
                    true => Ok(partition),
                    false => Err(Failure::input(
                        format!("there is no partition {partition}"),
                        &format!("the topic has {} partitions, from 0 on", all.len()),
                        "leave out the partition, or name one that exists",
                    )),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    enum Line {
        Group(GroupArgs),
    }

    #[test]
    fn scopes_are_read_as_kafka_writes_them() {
        let scope = |topic: &str, partitions: &[i32]| Scope {
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
        };
        assert_eq!(Scope::parse("a"), Ok(scope("a", &[])));
        assert_eq!(Scope::parse("a:0,2"), Ok(scope("a", &[0, 2])));
        for bad in ["", ":1", "a:x", "a:-1"] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn usage_mistakes_are_claps() {
        for line in [
            "",
            "describe",
            "reset g",
            "reset g --to-earliest",
            "reset g --topic t",
            "reset g --topic t --to-earliest --to-latest",
            "reset g --topic t --all-topics --to-latest",
            "reset g --topic t --to-offset many",
            "reset g --topic t --to-datetime soon",
            "reset g --topic t --by-duration P1Y",
            "delete",
            "delete-offsets g",
            "list --format xml",
        ] {
            let words = ["thalweg", "group"].into_iter();
            let words = words.chain(line.split_whitespace());
            let error = Line::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
