//! `cargo x versus`: Thalweg and Apache Kafka 4.3.0 side by side, from installing Kafka to the
//! README's table.
//!
//! ```text
//! options -> programs -> limits -> session (scene: load | reads | idle | foreign) -> samples
//!              (budget)                                                                |
//!                       README, table, plots <- summary <- results.json <--------------+
//! ```
//!
//! The same generator, the same topics, the same file system, one server at a time with its data
//! removed in between, in the order A-B-B-A, medians of the repeats, each side by the better of two
//! configurations (the quick form: once, as they come). Like is compared with like only: `flush` with `flush.messages=1`, `write` with
//! Kafka's default. What the machine itself can do is measured in the same run. A row that fails is
//! told and the others go on; every wait has an end; servers are ended by their process id.

mod account;
mod budget;
mod client;
mod foreign;
mod idle;
mod limits;
mod member;
mod metric;
mod options;
mod plot;
mod profile;
mod programs;
mod reads;
mod readme;
mod results;
mod rows;
mod scene;
mod session;
mod subject;
mod summary;
mod table;
mod words;

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::process::Program;
use super::{Context, Failure, Outcome, Tally, packages};
use options::{Options, Task};
use programs::Programs;
use results::{Form, Machine, Results};
use session::Play;

pub use profile::profile;

pub fn versus(arguments: &[&str]) -> Outcome<Tally> {
    let options = Options::parse(arguments)?;
    match options.task {
        Task::Help => tell(options::HELP),
        Task::List => tell(&list()),
        Task::Render => return render(),
        Task::Measure => return measure(&options),
    }
    Ok(Tally::default())
}

fn tell(words: &str) {
    eprint!("{words}");
}

fn list() -> String {
    let rows = rows::ROWS.iter().map(|row| {
        let durabilities: Vec<&str> = row.durabilities.iter().map(|one| one.name()).collect();
        format!("{:6} {} ({})\n", row.id, row.title, durabilities.join(", "))
    });
    rows.collect()
}

fn measure(options: &Options) -> Outcome<Tally> {
    if options.runs().is_empty() {
        return Err(Failure::new("no row is left to play"));
    }
    let programs = Programs::install(options)?;
    let limits = limits::measure(&packages::cache())?;
    let mut play = Play::new(options, &programs, empty(options, limits)?);
    let dir = match options.record {
        true => results::folder(),
        false => packages::cache().join("versus"),
    };
    // What there is so far outlives a driver that is interrupted, but in its own folder only.
    let draft = packages::cache().join("versus-draft");
    play.run(|results| {
        if let Err(failure) = save(results, &draft) {
            eprintln!("keeping a draft: {failure}");
        }
    });
    let Play { results, tally, .. } = play;
    save(&results, &dir)?;
    if options.record {
        readme::update(
            &packages::root().join("README.md"),
            results::recorded(&dir)?.as_ref(),
        )?;
    }
    tell(&table::whole(&results));
    tell(&format!("results are in {}\n", dir.display()));
    Ok(tally)
}

fn empty(options: &Options, limits: limits::Limits) -> Outcome<Results> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(Results {
        schema_version: results::SCHEMA_VERSION,
        form: options.form,
        commit: commit()?,
        kafka_version: packages::KAFKA_VERSION.to_owned(),
        started: since.map_or(0, |since| since.as_secs()),
        machine: Machine::here(),
        row_seconds: options.times.row.as_secs_f64(),
        warm_up_seconds: options.times.row_warm_up.as_secs_f64(),
        limits,
        servers: Vec::new(),
        samples: Vec::new(),
        failures: Vec::new(),
    })
}

fn commit() -> Outcome<String> {
    let output = Program::new("git")
        .args(["describe", "--always", "--dirty"])
        .in_dir(&packages::root())
        .run()?;
    Ok(output.stdout.trim().to_owned())
}

/// JSON, the table and the plots of one form.
fn save(results: &Results, dir: &Path) -> Outcome<()> {
    fs::create_dir_all(dir).context(|| "creating the folder for results")?;
    let form = results.form.name();
    let write = |name: String, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).context(|| format!("writing {}", path.display()))
    };
    write(format!("{form}.json"), &results.json()?)?;
    write(format!("{form}.md"), &table::whole(results))?;
    for (name, svg) in plot::all(results) {
        write(format!("{form}-{name}.svg"), &svg)?;
    }
    Ok(())
}

/// Makes everything that follows from recorded results anew.
fn render() -> Outcome<Tally> {
    let dir = results::folder();
    let mut tally = Tally::default();
    for form in [Form::Quick, Form::Full, Form::Long] {
        let path = dir.join(format!("{}.json", form.name()));
        if path.exists() {
            save(&results::read(&path)?, &dir)?;
            tally.passed += 1;
        }
    }
    let recorded = results::recorded(&dir)?;
    readme::update(&packages::root().join("README.md"), recorded.as_ref())?;
    Ok(tally)
}
