//! Every tool of Apache Kafka prints here what it prints there.
//!
//! What each step printed on Apache Kafka, normalised, is a file in `perf/interop/tools`; both
//! servers are held to it. `cargo x interop --kafka --only tools --record` writes the files anew.
//! Where Thalweg says something else for a reason, the line is in `differences.txt` there; an entry
//! that no longer holds fails as well. The order of lines does not count: some tools print from
//! several threads, or in the order of a hash table.

mod normal;
mod steps;

use std::fs;
use std::path::PathBuf;

use super::Scene;
use crate::x::packages;
use crate::x::server::Kind;
use crate::x::{Context, Failure, Outcome};
use steps::{STEPS, Step};

pub(super) fn play(scene: &mut Scene) -> Outcome<()> {
    let allowed = fs::read_to_string(folder().join("differences.txt"))
        .context(|| "reading differences.txt")?;
    for step in STEPS {
        scene.step(
            &format!("{} prints what it does on Kafka", step.name),
            |scene| {
                let got = run(scene, step)?;
                let path = folder().join(format!("{}.txt", step.name));
                if scene.record {
                    return fs::write(&path, got).context(|| format!("writing {}", path.display()));
                }
                let wanted =
                    fs::read_to_string(&path).context(|| format!("reading {}", path.display()))?;
                match scene.server.setup().kind {
                    Kind::Kafka => compare(&wanted, &got, &Differences::default()),
                    Kind::Thalweg => compare(&wanted, &got, &Differences::of(step.name, &allowed)),
                }
            },
        );
    }
    Ok(())
}

fn folder() -> PathBuf {
    packages::root().join("perf/interop/tools")
}

/// The exit code and what was printed. Tools complain on standard error, among lines of loggers,
/// so that is read only where a complaint is expected.
fn run(scene: &Scene, step: &Step) -> Outcome<String> {
    let setup = scene.server.setup();
    let output = steps::program(scene, step)?.finish()?;
    let mut text = output.stdout;
    if step.fails {
        text.push('\n');
        text.push_str(&output.stderr);
    }
    let dir = setup.log_dir().display().to_string();
    let text = normal::normal(&text.replace(&dir, "DIR"), step.numbers);
    let code = output.status.code().unwrap_or(-1);
    Ok(format!("exit {code}\n{text}"))
}

/// What Thalweg is allowed to print otherwise in one step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differences {
    missing: Vec<String>,
    extra: Vec<String>,
}

impl Differences {
    /// The entries of one step: `- line` of Kafka's, `+ line` of Thalweg's, under `[step]`.
    fn of(name: &str, text: &str) -> Self {
        let mut found = Self::default();
        let mut inside = false;
        for line in text.lines() {
            if let Some(section) = line.strip_prefix('[') {
                inside = section.strip_suffix(']') == Some(name);
            } else if inside && let Some(line) = line.strip_prefix("- ") {
                found.missing.push(line.to_owned());
            } else if inside && let Some(line) = line.strip_prefix("+ ") {
                found.extra.push(line.to_owned());
            }
        }
        found.missing.sort();
        found.extra.sort();
        found
    }

    /// Lines of the one text that the other has not, each as often as it is.
    fn between(wanted: &str, got: &str) -> Self {
        let mut missing: Vec<String> = wanted.lines().map(str::to_owned).collect();
        let mut extra = Vec::new();
        for line in got.lines() {
            match missing.iter().position(|known| known == line) {
                Some(at) => drop(missing.remove(at)),
                None => extra.push(line.to_owned()),
            }
        }
        missing.sort();
        extra.sort();
        Self { missing, extra }
    }
}

fn compare(wanted: &str, got: &str, allowed: &Differences) -> Outcome<()> {
    let found = Differences::between(wanted, got);
    if found != *allowed {
        let list = |mark: char, lines: &[String]| -> String {
            lines
                .iter()
                .map(|line| format!("{mark} {line}\n"))
                .collect()
        };
        let (missing, extra) = (list('-', &found.missing), list('+', &found.extra));
        let (gone, new) = (list('-', &allowed.missing), list('+', &allowed.extra));
        return Err(Failure::new(format!(
            "found\n{missing}{extra}where this is accepted:\n{gone}{new}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &str = "# why\n[one]\n- b\n+ c\n[other]\n- x\n";

    #[test]
    fn only_accepted_differences_pass() {
        let allowed = Differences::of("one", ALLOWED);
        compare("a\nb\n", "a\nc\n", &allowed).unwrap();
        compare("a\nb\n", "a\nb\n", &allowed).unwrap_err();
        compare("a\nb\n", "a\nd\n", &allowed).unwrap_err();
        compare("a\n", "a\n", &Differences::of("none", ALLOWED)).unwrap();
    }
}
