//! What `cargo x versus` is told, and the times that follow from it.

use std::time::Duration;

use super::results::Form;
use super::rows;
use super::subject::{AS_THEY_COME, Durability, ORDER, Subject};
use crate::x::server::{Build, Kind};
use crate::x::{Failure, Outcome};

pub(super) const HELP: &str = "cargo x versus [OPTION]...

  --quick            both sides as they come, once, within 10 minutes on 2 cores
  --long             rows that need hours in their long form
  --only ROW         one row by its id; may be repeated
  --side NAME        thalweg or kafka alone: no ratios, nothing recorded
  --durability NAME  flush or write alone
  --repeats N        3; 1 with --quick
  --row-seconds N    measured seconds of a load: for trying out, nothing is recorded
  --dev              the development builds of node and generator: nothing is recorded
  --record           records even though --only, --durability or --row-seconds was given
  --render           makes tables, plots and the README's table from recorded results anew
  --list             tells the rows
";

/// The whole quick run, from the first start of a server to the last result.
const QUICK_TIME: Duration = Duration::from_secs(570);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub(super) form: Form,
    pub(super) only: Vec<String>,
    pub(super) side: Option<Kind>,
    pub(super) durability: Option<Durability>,
    pub(super) repeats: u32,
    pub(super) build: Build,
    pub(super) times: Times,
    /// Whether results go to `perf/results` and the README.
    pub(super) record: bool,
    pub(super) task: Task,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Measure,
    Render,
    List,
    Help,
}

/// One start of a server: which repeat, under which promise, in which configuration.
pub(super) type Run = (u32, Durability, Subject);

/// How long each part of a run takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Times {
    /// After its start a Java machine is busy with itself for a while.
    pub(super) settle: Duration,
    /// Load before the first row: just-in-time compilers need it.
    pub(super) server_warm_up: Duration,
    pub(super) row_warm_up: Duration,
    pub(super) row: Duration,
    /// None: as long as it takes.
    pub(super) whole: Option<Duration>,
}

impl Times {
    fn of(form: Form) -> Self {
        let seconds = Duration::from_secs_f64;
        match form {
            Form::Quick => Self {
                settle: seconds(1.5),
                server_warm_up: seconds(8.0),
                row_warm_up: seconds(2.5),
                row: seconds(4.0),
                whole: Some(QUICK_TIME),
            },
            Form::Full | Form::Long => Self {
                settle: seconds(3.0),
                server_warm_up: seconds(60.0),
                row_warm_up: seconds(5.0),
                row: seconds(20.0),
                whole: None,
            },
        }
    }

    fn shortened(self, row: Duration) -> Self {
        Self {
            settle: self.settle.min(row),
            server_warm_up: self.server_warm_up.min(row),
            row_warm_up: self.row_warm_up.min(row / 2),
            row,
            whole: None,
        }
    }
}

impl Options {
    pub(super) fn parse(arguments: &[&str]) -> Outcome<Self> {
        let mut options = Self::of(form(arguments));
        let (mut recorded, mut row_seconds) = (true, None);
        let mut words = arguments.iter().copied();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next();
                value.ok_or_else(|| Failure::new(format!("`{word}` needs a value")))
            };
            match word {
                "--quick" | "--long" => {}
                "--only" => {
                    options.only.push(row_id(value()?)?);
                    recorded = false;
                }
                "--side" => options.side = Some(side(value()?)?),
                "--durability" => {
                    options.durability = Some(durability(value()?)?);
                    recorded = false;
                }
                "--repeats" => options.repeats = number(word, value()?)?,
                "--row-seconds" => {
                    row_seconds = Some(number::<f64>(word, value()?)?);
                    recorded = false;
                }
                "--dev" => options.build = Build::Dev,
                "--record" => options.record = true,
                "--render" => options.task = Task::Render,
                "--list" => options.task = Task::List,
                "--help" => options.task = Task::Help,
                _ => return Err(Failure::new(format!("`{word}` is no option\n\n{HELP}"))),
            }
        }
        if let Some(seconds) = row_seconds {
            let row = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            options.times = options.times.shortened(row);
        }
        if options.times.row < Duration::from_millis(100) || options.repeats == 0 {
            return Err(Failure::new(
                "a row takes 0.1 s at least, and repeats start at 1",
            ));
        }
        // Half a comparison, or one of builds that nobody uses, never becomes a result.
        options.record |= recorded;
        options.record &= options.side.is_none() && options.build == Build::Release;
        Ok(options)
    }

    fn of(form: Form) -> Self {
        Self {
            form,
            only: Vec::new(),
            side: None,
            durability: None,
            repeats: if form == Form::Quick { 1 } else { 3 },
            build: Build::Release,
            times: Times::of(form),
            record: false,
            task: Task::Measure,
        }
    }

    /// The rows to play under one promise, in their order.
    pub(super) fn rows(&self, durability: Durability) -> Vec<&'static rows::Row> {
        let wanted = |row: &&rows::Row| {
            let known = match self.form {
                Form::Quick if self.only.is_empty() => row.quick,
                _ => row.durabilities,
            };
            let asked = self.only.is_empty() || self.only.iter().any(|id| id == row.id);
            asked && known.contains(&durability)
        };
        rows::ROWS.iter().filter(wanted).collect()
    }

    /// Every start of a server, in order; a repeat that follows runs the other way round.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for repeat in 0..self.repeats {
            for durability in [Durability::Flush, Durability::Write] {
                if self.durability.is_some_and(|only| only != durability)
                    || self.rows(durability).is_empty()
                {
                    continue;
                }
                let mut order = match self.form {
                    Form::Quick => AS_THEY_COME.to_vec(),
                    Form::Full | Form::Long => ORDER.to_vec(),
                };
                if repeat % 2 == 1 {
                    order.reverse();
                }
                let wanted = order
                    .into_iter()
                    .filter(|subject| self.side.is_none_or(|side| side == subject.kind()));
                runs.extend(wanted.map(|subject| (repeat, durability, subject)));
            }
        }
        runs
    }
}

fn form(arguments: &[&str]) -> Form {
    if arguments.contains(&"--quick") {
        Form::Quick
    } else if arguments.contains(&"--long") {
        Form::Long
    } else {
        Form::Full
    }
}

fn row_id(word: &str) -> Outcome<String> {
    match rows::find(word) {
        Some(row) => Ok(row.id.to_owned()),
        None => Err(Failure::new(format!(
            "`{word}` is no row; --list tells them"
        ))),
    }
}

fn side(word: &str) -> Outcome<Kind> {
    match word {
        "thalweg" => Ok(Kind::Thalweg),
        "kafka" => Ok(Kind::Kafka),
        _ => Err(Failure::new(format!("`{word}` is no side"))),
    }
}

fn durability(word: &str) -> Outcome<Durability> {
    match word {
        "flush" => Ok(Durability::Flush),
        "write" => Ok(Durability::Write),
        _ => Err(Failure::new(format!("`{word}` is no durability"))),
    }
}

fn number<T: std::str::FromStr>(option: &str, word: &str) -> Outcome<T> {
    let wrong = Failure::new(format!("`{word}` is no value of {option}"));
    word.parse().ok().ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_is_both_sides_once_under_both_promises() {
        let options = Options::parse(&["--quick"]).unwrap();
        let runs = options.runs();
        assert_eq!(runs.len(), 4);
        assert!(options.record);
        assert!(options.times.whole.is_some());
    }

    #[test]
    fn a_repeat_runs_the_other_way_round() {
        let options = Options::parse(&["--durability", "flush", "--repeats", "2"]).unwrap();
        let subjects: Vec<Subject> = options.runs().iter().map(|run| run.2).collect();
        let mut back = subjects.clone();
        back.reverse();
        assert_eq!(subjects.len(), 8);
        assert_eq!(subjects, back);
    }

    #[test]
    fn one_row_is_played_under_its_promises_only() {
        let options = Options::parse(&["--only", "5"]).unwrap();
        assert_eq!(options.rows(Durability::Flush).len(), 1);
        assert!(options.rows(Durability::Write).is_empty());
        assert!(!options.record);
    }

    #[test]
    fn what_does_not_count_is_not_recorded() {
        for (line, recorded) in [
            ("--quick", true),
            ("--quick --side kafka", false),
            ("--quick --dev --record", false),
            ("--quick --row-seconds 1", false),
            ("--quick --row-seconds 1 --record", true),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(Options::parse(&words).unwrap().record, recorded, "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for line in [
            "--only 99",
            "--side redpanda",
            "--repeats none",
            "--row-seconds 0",
            "--fast",
            "--only",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(Options::parse(&words).is_err(), "{line}");
        }
    }
}
