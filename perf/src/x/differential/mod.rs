//! `cargo x interop --differential [--dev] [--seed N] [--steps N] [--trace]`: the same requests to a fresh
//! Apache Kafka and a fresh Thalweg, and every answer compared, field by field.
//!
//! A seed is a sequence of requests (`generate`), one server after the other, each step on both
//! before the next. Then the whole state is read and compared (`state`). What may differ is data, in
//! `perf/differential/`. Fixed seeds must pass. One fresh seed is drawn and printed: its findings
//! are reported, and become fixed seeds by hand.
//!
//! The codec is built on the schema facts when the runner starts and shares no code with `wire`'s.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

mod client;
mod compare;
mod coverage;
mod decode;
mod encode;
mod generate;
mod names;
mod pair;
mod records;
mod rules;
mod schema;
mod state;
mod step;

use super::packages;
use super::server::{self, Build};
use super::{Context, Failure, Outcome, Tally};
use coverage::Coverage;
use generate::Generator;
use pair::{Finding, Pair};
use rules::Rules;
use schema::Schemas;

/// Must pass. Each but the first found something once.
const FIXED_SEEDS: &[u64] = &[1, 2, 3, 5, 7, 8];
const STEPS: usize = 300;
/// The share of Kafka's triples that Thalweg has to reach.
const COVERAGE_PERCENT_MIN: usize = 80;
/// Findings of a seed that are shown whole.
const SHOWN_MAX: usize = 60;

/// What was asked for.
struct Options {
    build: Build,
    seeds: Vec<u64>,
    fresh: Option<u64>,
    steps: usize,
    /// Show every step, not only those that differ.
    trace: bool,
}

/// What all seeds share.
struct Run<'s> {
    schemas: &'s Schemas,
    rules: Rules,
    coverage: Coverage,
    used: BTreeSet<usize>,
    tally: Tally,
    trace: bool,
}

pub(super) fn differential(arguments: &[&str]) -> Outcome<Tally> {
    let options = Options::parse(arguments)?;
    let schemas = Schemas::read()?;
    let mut run = Run {
        schemas: &schemas,
        rules: Rules::read()?,
        coverage: Coverage::default(),
        used: BTreeSet::new(),
        tally: Tally::default(),
        trace: options.trace,
    };
    let jars = packages::kafka_jars()?;
    let program = server::thalweg(options.build)?;
    for &seed in &options.seeds {
        let mut pair = Pair::start(&jars, &program)?;
        let findings = run.seed(&mut pair, seed, options.steps)?;
        run.tell(seed, &findings);
        if findings.is_empty() {
            run.tally.passed += 1;
        } else {
            run.tally.failed += 1;
        }
    }
    run.judge_coverage();
    if let Some(seed) = options.fresh {
        eprintln!("fresh seed {seed}: what it finds is reported and does not fail the run");
        let mut pair = Pair::start(&jars, &program)?;
        let findings = run.seed(&mut pair, seed, options.steps)?;
        run.tell(seed, &findings);
    }
    eprintln!(
        "{} of {} exceptions were needed",
        run.used.len(),
        run.rules.exceptions()
    );
    for unused in run.rules.unused(&run.used) {
        eprintln!("  not needed: {unused}");
    }
    Ok(run.tally)
}

impl Options {
    fn parse(arguments: &[&str]) -> Outcome<Self> {
        let mut options = Self {
            build: Build::Release,
            seeds: FIXED_SEEDS.to_vec(),
            fresh: Some(now_ms()?.unsigned_abs()),
            steps: STEPS,
            trace: false,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().context(|| format!("{word} takes a number"))?;
                value
                    .parse::<u64>()
                    .context(|| format!("`{value}` is no number"))
            };
            match *word {
                "--differential" => {}
                "--trace" => options.trace = true,
                "--dev" => options.build = Build::Dev,
                "--seed" => {
                    options.seeds = vec![number()?];
                    options.fresh = None;
                }
                "--steps" => options.steps = number()? as usize,
                _ => {
                    return Err(Failure::new(format!(
                        "`{word}`: only --dev, --seed N, --steps N and --trace go with --differential"
                    )));
                }
            }
        }
        Ok(options)
    }
}

impl Run<'_> {
    fn seed(&mut self, pair: &mut Pair, seed: u64, steps: usize) -> Outcome<Vec<Finding>> {
        let mut findings = Vec::new();
        let mut generator = Generator::new(self.schemas, seed, now_ms()?);
        for step in state::beginning() {
            pair.play(self.schemas, &step)?;
        }
        self.settle(pair, &[])?;
        for number in 0..steps {
            let step = generator.next()?;
            let answers = pair.play(self.schemas, &step)?;
            if self.trace {
                let (api, version) = (step.api, step.version);
                eprintln!(
                    "{number} {api} {version} {}\n  {}",
                    step.body, answers.kafka
                );
            }
            self.coverage.add(&step, &answers);
            let found = self.judge(number, step.clone(), answers);
            self.show(seed, &findings, found.as_ref());
            findings.extend(found);
            if step.changes_metadata() {
                self.settle(pair, &state::wanted(&step))?;
            }
        }
        for (number, step) in state::end(pair, self.schemas)?.into_iter().enumerate() {
            let answers = pair.play(self.schemas, &step)?;
            let found = self.judge(steps + number, step, answers);
            self.show(seed, &findings, found.as_ref());
            findings.extend(found);
        }
        Ok(findings)
    }

    /// What has not settled by then will be found by the steps that look at it.
    fn settle(&self, pair: &mut Pair, wanted: &[String]) -> Outcome<()> {
        let open = pair.settle(self.schemas, &self.rules, wanted)?;
        if let Some(difference) = open.first() {
            eprintln!(
                "did not settle: {}: Apache Kafka {}, Thalweg {}",
                difference.path, difference.kafka, difference.thalweg
            );
        }
        Ok(())
    }

    fn judge(
        &mut self,
        number: usize,
        step: step::Step,
        answers: pair::Answers,
    ) -> Option<Finding> {
        let api = step.api.name();
        let mut differences =
            compare::differences(api, &answers.kafka, &answers.thalweg, &self.rules);
        differences.retain(|difference| {
            let exception = self.rules.exception(api, difference);
            self.used.extend(exception);
            exception.is_none()
        });
        if differences.is_empty() {
            return None;
        }
        Some(Finding {
            number,
            step,
            answers,
            differences,
        })
    }

    fn show(&self, seed: u64, before: &[Finding], found: Option<&Finding>) {
        if let Some(finding) = found
            && before.len() < SHOWN_MAX
        {
            eprintln!("{}", finding.words(seed));
        }
    }

    fn tell(&self, seed: u64, findings: &[Finding]) {
        let more = findings.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            eprintln!("and {more} more findings of seed {seed}");
        }
        let verdict = if findings.is_empty() {
            "ok     "
        } else {
            "FAILED "
        };
        eprintln!("{verdict} seed {seed}: {} findings", findings.len());
    }

    fn judge_coverage(&mut self) {
        let percent = self.coverage.percent();
        eprintln!("{}", self.coverage.words());
        if percent >= COVERAGE_PERCENT_MIN {
            self.tally.passed += 1;
        } else {
            self.tally.failed += 1;
        }
    }
}

fn now_ms() -> Outcome<i64> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context(|| "the clock stands before 1970")?;
    i64::try_from(since.as_millis()).context(|| "a clock beyond the year 292 million")
}
