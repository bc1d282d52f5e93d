//! `thalweg topic`: the topics of any Kafka-compatible cluster.
//!
//! Each command is a few calls of the client and a report. What can fail for one topic of several
//! is told for each on standard error, and the exit code says whether anything was done.

mod alter;
mod create;
mod delete;
mod describe;
mod places;
mod report;

use super::Exit;
use super::failure::Failure;
use super::outcome::{Asking, Outcome, finish};
use super::routing::Cluster;
use report::SHAPES;

/// Topics of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum TopicCommand {
    /// Create a topic
    Create(create::CreateArgs),
    /// List all topics
    List(describe::ListArgs),
    /// Show partitions, leaders and configs of topics
    Describe(describe::DescribeArgs),
    /// Change the number of partitions or configs of a topic
    Alter(alter::AlterArgs),
    /// Give a topic more partitions
    AddPartitions(alter::AddArgs),
    /// Show where partitions begin and end, or which offsets belong to a time
    Offsets(places::OffsetsArgs),
    /// Delete the oldest records of a topic, up to an offset
    Trim(places::TrimArgs),
    /// Delete topics and all of their records
    Delete(delete::DeleteArgs),
}

impl TopicArgs {
    /// Runs the command, prints what it has to tell, answers its exit code.
    pub(crate) fn run(&self) -> Exit {
        finish(self.outcome())
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let cluster = &mut Cluster::connect(&self.asking.broker)?;
        let format = self.asking.format;
        match &self.command {
            TopicCommand::Create(args) => args.outcome(cluster, format),
            TopicCommand::List(args) => args.outcome(cluster, format),
            TopicCommand::Describe(args) => args.outcome(cluster, format),
            TopicCommand::Alter(args) => args.outcome(cluster, format),
            TopicCommand::AddPartitions(args) => args.outcome(cluster, format),
            TopicCommand::Offsets(args) => args.outcome(cluster, format),
            TopicCommand::Trim(args) => args.outcome(cluster, format),
            TopicCommand::Delete(args) => args.outcome(cluster, format),
        }
    }
}

/// `KEY=VALUE`; sizes and durations may have units where Kafka's key is a number.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            let (key, value) = (key.trim(), value.trim());
            let number = thalweg_config::units::kafka_number(key, value);
            Ok((key.to_owned(), number.unwrap_or_else(|| value.to_owned())))
        }
        _ => Err("KEY=VALUE, such as retention.ms=3600000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::output::Format;
    use super::*;

    #[derive(Debug, Parser)]
    enum Line {
        Topic(TopicArgs),
    }

    fn parse(line: &str) -> Result<TopicArgs, clap::Error> {
        let words = ["thalweg", "topic"]
            .into_iter()
            .chain(line.split_whitespace());
        Line::try_parse_from(words).map(|Line::Topic(args)| args)
    }

    #[test]
    fn a_line_becomes_a_command() {
        let line = "create orders --partitions 3 --config a=1 --config b=x=y -b h:1 --format json";
        let args = parse(line).unwrap();
        assert_eq!(
            (args.asking.broker.brokers.as_str(), args.asking.format),
            ("h:1", Format::Json)
        );
        let TopicCommand::Create(create) = args.command else {
            panic!("{args:?}");
        };
        assert_eq!(
            (create.partitions, create.replication_factor),
            (Some(3), None)
        );
        let pairs = [("a", "1"), ("b", "x=y")];
        assert_eq!(
            create.config,
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn values_may_have_units_where_kafka_wants_a_number() {
        let value = |text| key_value(text).unwrap().1;
        assert_eq!(value("retention.ms=7d"), "604800000");
        assert_eq!(value("retention.ms=-1"), "-1");
        assert_eq!(value("cleanup.policy=compact"), "compact");
    }

    #[test]
    fn usage_mistakes_are_claps() {
        for line in [
            "",
            "create",
            "create t --partitions 0",
            "create t --replication-factor 40000",
            "create t --config novalue",
            "alter t",
            "add-partitions t",
            "add-partitions t 0",
            "trim t",
            "delete",
            "list --timeout soon",
            "list --format xml",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
