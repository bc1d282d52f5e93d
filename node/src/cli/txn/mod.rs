//! `thalweg txn`: transactions of a cluster, their producers, and those that nobody will end.
//!
//! A transaction hangs when a partition has it open and no coordinator knows it: readers of committed records wait
//! for ever behind it. It is found as Kafka's tool finds it, and ended by an abort marker in that partition.

mod ask;
mod hanging;
mod report;

use thalweg_wire::messages::describe_transactions_response::DescribeTransactionsResponseView;

use super::Exit;
use super::failure::Failure;
use super::outcome::{Asking, Outcome, finish, show};
use super::output::Format;
use super::routing::{Cluster, TopicPartition};
use report::{Descriptions, Lists, Producers};

/// Transactions of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = report::SHAPES)]
pub(crate) struct TxnArgs {
    #[command(subcommand)]
    command: TxnCommand,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
enum TxnCommand {
    /// List the transactional ids of all coordinators
    List(ListArgs),
    /// Show the transactions of these ids
    Describe(DescribeArgs),
    /// Show the producers that write to a partition
    Producers(Partition),
    /// Look for open transactions that no coordinator knows any more
    FindHanging(hanging::FindArgs),
    /// End a transaction that hangs in a partition
    Abort(hanging::AbortArgs),
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct ListArgs {
    /// Only those in this state (Ongoing, PrepareCommit, ...); may be repeated
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,
    /// Only those of this producer id; may be repeated
    #[arg(long, value_name = "ID")]
    producer_id: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct DescribeArgs {
    /// Transactional ids
    #[arg(required = true)]
    ids: Vec<String>,
}

/// A partition by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
struct Partition {
    /// Its topic
    #[arg(long)]
    topic: String,
    /// Its number
    #[arg(long)]
    partition: i32,
}

impl Partition {
    fn named(&self) -> TopicPartition {
        TopicPartition::new(&self.topic, self.partition)
    }
}

impl TxnArgs {
    pub(crate) fn run(&self) -> Exit {
        finish(self.outcome())
    }

    fn outcome(&self) -> Result<Outcome, Failure> {
        let cluster = &mut Cluster::connect(&self.asking.broker)?;
        let format = self.asking.format;
        match &self.command {
            TxnCommand::List(args) => list(cluster, args, format),
            TxnCommand::Describe(args) => describe(cluster, &args.ids, format),
            TxnCommand::Producers(of) => producers(cluster, &of.named(), format),
            TxnCommand::FindHanging(args) => args.outcome(cluster, format),
            TxnCommand::Abort(args) => args.outcome(cluster, format),
        }
    }
}

fn list(cluster: &mut Cluster, args: &ListArgs, format: Format) -> Result<Outcome, Failure> {
    let mut transactions = ask::transactions(cluster, &args.state, &args.producer_id)?;
    transactions.sort_by(|a, b| a.id.cmp(&b.id));
    let text = show(&Lists { transactions }, format, |all, _| {
        report::listed(all)
    });
    Ok(Outcome::done(text))
}

fn describe(cluster: &mut Cluster, ids: &[String], format: Format) -> Result<Outcome, Failure> {
    let (mut transactions, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        let coordinator = ask::coordinator(cluster, id)?;
        let reply = ask::description(cluster, coordinator, id)?;
        let answer: DescribeTransactionsResponseView<'_> = reply.view()?;
        let Some(state) = answer.transaction_states.iter().next() else {
            return Err(Failure::protocol(
                "the coordinator",
                "an answer about no transaction",
            ));
        };
        if state.error_code == 0 {
            transactions.push(report::described(coordinator, &state));
        } else {
            let doing = "describing transaction";
            failures.push(Failure::refused(doing, id, state.error_code, None));
        }
    }
    let done = transactions.len();
    let text = show(&Descriptions { transactions }, format, |all, _| {
        report::descriptions(all)
    });
    Ok(Outcome::of(text, done, failures))
}

fn producers(
    cluster: &mut Cluster,
    of: &TopicPartition,
    format: Format,
) -> Result<Outcome, Failure> {
    let producers = ask::producers(cluster, of)?;
    let text = show(&Producers { producers }, format, |all, _| {
        report::producers(all)
    });
    Ok(Outcome::done(text))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    enum Line {
        Txn(TxnArgs),
    }

    #[test]
    fn usage_mistakes_are_claps() {
        for line in [
            "",
            "describe",
            "producers --topic t",
            "find-hanging",
            "abort --topic t --partition 0",
            "abort --topic t --partition 0 --start-offset 1 --producer-id 1",
            "list --producer-id many",
        ] {
            let words = ["thalweg", "txn"].into_iter();
            let error = Line::try_parse_from(words.chain(line.split_whitespace())).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
