//! The README's short table, made from recorded results and put between its markers. Pure, but for
//! the one function that writes the file.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::metric::{thousands, time};
use super::results::Results;
use super::subject::Durability;
use super::summary::{self, Line};
use super::table::{rest, side, times};
use crate::x::server::Kind;
use crate::x::{Context, Failure, Outcome};

const BEGIN: &str = "<!-- versus: begin; written by cargo x versus -->\n";
const END: &str = "<!-- versus: end -->";

/// The rows that a first reader wants to see.
const ROWS: &[(&str, Durability)] = &[
    ("1", Durability::Flush),
    ("p1", Durability::Flush),
    ("p100", Durability::Flush),
    ("p1000", Durability::Flush),
    ("5", Durability::Flush),
    ("5m", Durability::Flush),
    ("6", Durability::Flush),
    ("10", Durability::Flush),
    ("p1", Durability::Write),
    ("p100", Durability::Write),
    ("p1000", Durability::Write),
    ("4e", Durability::Write),
    ("8p", Durability::Write),
    ("8h", Durability::Write),
    ("9", Durability::Write),
    ("12", Durability::Write),
    ("13", Durability::Write),
    ("14", Durability::Write),
];

/// The table, or the sentence that stands for it.
#[must_use]
pub(super) fn section(results: Option<&Results>) -> String {
    let Some(results) = results else {
        return "No run is recorded yet: `cargo x versus --quick` writes this table.\n".to_owned();
    };
    let lines = summary::lines(results);
    let mut text = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        text,
        "| load | acknowledged means | figure | Thalweg | Kafka {} | ratio |\n|---|---|---|---|---|---|",
        results.kafka_version
    );
    for (id, durability) in ROWS {
        let found = lines
            .iter()
            .find(|line| line.row.id == *id && line.durability == *durability);
        if let Some(line) = found {
            entry(&mut text, line);
        }
    }
    if let (Some(ours), Some(theirs)) = (rest(results, Kind::Thalweg), rest(results, Kind::Kafka)) {
        let _ = writeln!(
            text,
            "| first start to ready | | time | {} | {} | {} |\n| fresh and idle | | memory | {} MiB | {} MiB | {} |",
            time(ours.0 * 1e3),
            time(theirs.0 * 1e3),
            times(Some(theirs.0 / ours.0)),
            thousands(ours.1),
            thousands(theirs.1),
            times(Some(theirs.1 / ours.1)),
        );
    }
    let form = results.form.name();
    let _ = writeln!(
        text,
        "\nA ratio above 1 is in Thalweg's favour. {}; equal durability; {} CPUs shared by generator and server; commit {}. All rows, the machine's own \
         limits and every configuration: `perf/results/{form}.md`; how to read and repeat it: \
         `docs/benchmarks.md`.",
        results.form.spokesmen(),
        results.machine.cpus,
        results.commit
    );
    text
}

fn entry(text: &mut String, line: &Line) {
    let meaning = match line.durability {
        Durability::Flush => "flushed",
        Durability::Write => "written",
    };
    let _ = writeln!(
        text,
        "| {} | {meaning} | {} | {} | {} | {} |",
        line.row.title,
        line.row.headline.label(),
        side(line, Kind::Thalweg),
        side(line, Kind::Kafka),
        times(line.ratio(line.row.headline)),
    );
}

/// What stands between the markers.
pub(super) fn between(readme: &str) -> Outcome<&str> {
    let missing = || "README.md lacks the markers of the table";
    let (_, rest) = readme.split_once(BEGIN).context(missing)?;
    let (inside, _) = rest.split_once(END).context(missing)?;
    Ok(inside)
}

/// Puts the table into a README.
pub(super) fn update(path: &Path, results: Option<&Results>) -> Outcome<()> {
    let text = fs::read_to_string(path).context(|| format!("reading {}", path.display()))?;
    let old = between(&text)?;
    let new = section(results);
    let parts = (format!("{BEGIN}{old}{END}"), format!("{BEGIN}{new}{END}"));
    let changed = text.replacen(&parts.0, &parts.1, 1);
    if between(&changed)? != new {
        return Err(Failure::new("the table did not get into README.md"));
    }
    fs::write(path, changed).context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::results::{self, tests::sample_results};
    use super::*;
    use crate::x::packages;

    /// The README's table is what the recorded results say; `cargo x versus --render` repairs it.
    #[test]
    fn the_readme_tells_what_was_recorded() {
        let readme = fs::read_to_string(packages::root().join("README.md")).unwrap();
        let recorded = results::recorded(&results::folder()).unwrap();
        assert_eq!(between(&readme).unwrap(), section(recorded.as_ref()));
    }

    #[test]
    fn a_table_replaces_another() {
        let path = std::env::temp_dir().join(format!("versus-readme-{}", std::process::id()));
        fs::write(&path, format!("before\n{BEGIN}old\n{END}\nafter\n")).unwrap();
        update(&path, Some(&sample_results())).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(
            text.starts_with("before\n") && text.ends_with("\nafter\n"),
            "{text}"
        );
        assert!(text.contains("| 700 | 350 | 2.00x |"), "{text}");
        assert!(!text.contains("old"), "{text}");
    }

    #[test]
    fn a_readme_without_markers_is_refused() {
        assert!(between("# Thalweg\n").is_err());
    }
}
