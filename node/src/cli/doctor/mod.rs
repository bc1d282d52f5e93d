//! `thalweg doctor`: is this machine fit for a node, and if not, what helps.
//!
//! Each check is one line: what it is about, what is needed, what there is, how bad a difference
//! would be. Nothing is changed; the one file that is written is removed again.

mod check;
mod cpu;
mod kernel;
mod limits;
mod network;
mod storage;

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use thalweg_config::Loaded;

use super::Exit;
use super::client::duration;
use super::failure::Failure;
use super::outcome::{Outcome, finish, show};
use super::output::{Align, Format, Table};
use super::settings::From;
use check::{Check, Severity};

/// The shape, for the help of the command.
const SHAPES: &str = "\
JSON shape:
  {\"fit\", \"checks\": [{\"name\", \"group\", \"about\", \"required\", \"current\", \"severity\": \"fatal\"|\"warning\"|\"info\",
                      \"passed\", \"why\", \"fix\"}]}
`passed` is null where nothing is required. A node starts on a machine without failed fatal checks.

Exit codes: 0 fit, 2 usage, 3 settings invalid, 4 a fatal check failed.";

/// Check whether this machine is fit for a node.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(crate) struct Doctor {
    #[command(flatten)]
    from: From,
    /// Where clients would connect [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Measure small durable writes for so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    disk_probe: Option<Duration>,
    /// Only this check, in full
    #[arg(long, value_name = "NAME")]
    explain: Option<String>,
    /// Print the commands that would help, to be run as root; nothing is run
    #[arg(long)]
    script: bool,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Report {
    fit: bool,
    checks: Vec<Check>,
}

impl Doctor {
    pub(crate) fn run(self) -> Exit {
        let flags = [("--listen", "listen.kafka", self.listen.clone())];
        match self.from.load(&flags) {
            Ok(loaded) => finish(self.outcome(&loaded)),
            Err(exit) => exit,
        }
    }

    fn outcome(&self, loaded: &Loaded) -> Result<Outcome, Failure> {
        let mut checks = kernel::checks();
        checks.extend(limits::checks(&loaded.settings));
        checks.extend(storage::checks(loaded, self.disk_probe));
        checks.extend(cpu::checks());
        checks.extend(network::checks(&loaded.settings));
        if let Some(name) = &self.explain {
            let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
            if !names.contains(&name.as_str()) {
                let known = format!("there are {}", names.join(", "));
                let what = format!("there is no check `{name}`");
                return Err(Failure::input(what, &known, "name one of these"));
            }
            checks.retain(|check| check.name == *name);
        }
        let fatal = |check: &Check| check.severity == Severity::Fatal && check.failed();
        let fit = !checks.iter().any(fatal);
        let report = Report { fit, checks };
        let text = match self.script {
            true => script(&report.checks),
            false => show(&report, self.format, |report, wide| {
                text_of(report, wide || self.explain.is_some())
            }),
        };
        Ok(Outcome {
            text,
            exit: if fit { Exit::Done } else { Exit::Machine },
            failures: Vec::new(),
        })
    }
}

fn text_of(report: &Report, wide: bool) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("CHECK", Align::Left),
        ("REQUIRED", Align::Left),
        ("CURRENT", Align::Left),
        ("SEVERITY", Align::Left),
    ]);
    for check in &report.checks {
        let mark = match (check.passed, check.severity) {
            (Some(true), _) => "ok",
            (None, _) => "",
            (Some(false), Severity::Fatal) => "BAD",
            (Some(false), _) => "!",
        };
        table.row(vec![
            mark.to_owned(),
            check.name.to_owned(),
            check.required.clone(),
            check.current.clone(),
            check.severity.word().to_owned(),
        ]);
    }
    let mut text = table.text();
    for check in report.checks.iter().filter(|check| wide || check.failed()) {
        let _ = writeln!(text, "\n{}: {}", check.name, check.about);
        let _ = writeln!(text, "  why: {}", check.why);
        if !check.fix.is_empty() {
            let _ = writeln!(text, "  fix: {}", check.fix);
        }
    }
    let failed = report.checks.iter().filter(|check| check.failed()).count();
    let _ = match (report.fit, failed) {
        (true, 0) => writeln!(text, "\nfit: nothing to complain of"),
        (true, count) => writeln!(
            text,
            "\nfit: a node starts here; {count} things could be better"
        ),
        (false, _) => writeln!(text, "\nNOT fit: a node does not start here"),
    };
    text
}

/// The commands of the checks that failed, as a script to read first and to run as root.
fn script(checks: &[Check]) -> String {
    let mut text = "#!/bin/sh\n# Printed by `thalweg doctor --script`; read it before you run it as root.\nset -e\n".to_owned();
    for check in checks.iter().filter(|check| check.failed()) {
        if let Some(command) = check.command {
            let _ = writeln!(text, "\n# {}: {}\n{command}", check.name, check.why);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, severity: Severity, passed: Option<bool>) -> Check {
        Check {
            name,
            group: "kernel",
            about: "something",
            required: "1".to_owned(),
            current: "0".to_owned(),
            severity,
            passed,
            why: "because",
            fix: "do it".to_owned(),
            command: Some("doit"),
        }
    }

    #[test]
    fn a_report_in_text_and_as_a_script() {
        let report = Report {
            fit: false,
            checks: vec![
                check("a", Severity::Fatal, Some(false)),
                check("b", Severity::Warning, Some(true)),
                check("c", Severity::Info, None),
            ],
        };
        let text = text_of(&report, false);
        assert!(text.contains("BAD  a"), "{text}");
        assert!(
            text.contains("\na: something\n  why: because\n  fix: do it\n"),
            "{text}"
        );
        assert!(!text.contains("\nb: "), "{text}");
        assert!(
            text.ends_with("NOT fit: a node does not start here\n"),
            "{text}"
        );
        let script = script(&report.checks);
        assert!(script.ends_with("\n# a: because\ndoit\n"), "{script}");
        let json = serde_json::to_value(&report).unwrap();
        for field in json["checks"][0].as_object().unwrap().keys() {
            assert!(SHAPES.contains(&format!("\"{field}\"")), "{field}");
        }
    }
}
