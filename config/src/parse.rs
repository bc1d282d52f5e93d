//! Files to entries: our TOML and Kafka's server.properties. Pure.
//!
//! Dotted keys under `[kafka]` and `[topic."x"]` are nested tables to TOML and are flattened again here.
//! Deliberately absent: TOML date values: no setting is one.

use toml::de::{DeTable, DeValue};

use crate::merge::{self, Entry, Key};
use crate::report::{Origin, Report};

/// A file's text and the name to report it by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Text<'a> {
    /// As given on the command line.
    pub path: &'a str,
    /// The content.
    pub text: &'a str,
}

impl Text<'_> {
    fn line_at(&self, byte: usize) -> usize {
        let before = self.text.as_bytes().iter().take(byte);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn file(&self, line: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line,
        }
    }
}

/// The entries of a TOML file.
pub(crate) fn toml(source: Text<'_>, report: &mut Report) -> Vec<Entry> {
    let (document, errors) = DeTable::parse_recoverable(source.text);
    for error in &errors {
        let line = source.line_at(error.span().map_or(0, |span| span.start));
        let fix = syntax_fix(source.text, line).unwrap_or_default();
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        report.error(&source.file(line), "", message, fix);
    }
    if !errors.is_empty() {
        return Vec::new();
    }
    let mut walk = Walk {
        source,
        report,
        entries: Vec::new(),
    };
    for (name, value) in document.get_ref() {
        let path = vec![name.get_ref().to_string()];
        walk.value(path, value.get_ref(), name.span().start);
    }
    walk.entries
}

/// Kafka has keys that begin with other keys (`log.dir`, `log.dirs.x`): bare, TOML refuses the pair.
fn syntax_fix(text: &str, line: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let section = lines
        .iter()
        .rev()
        .find(|text| text.trim_start().starts_with('['))?;
    let section = section.trim_start().trim_start_matches('[').trim_start();
    if !section.starts_with("kafka") && !section.starts_with("topic") {
        return None;
    }
    let name = lines.last()?.split('=').next()?.trim();
    if name.starts_with('"') || !name.contains('.') {
        return None;
    }
    Some(format!(
        "quote it, and every key that begins like it: \"{name}\" = ..."
    ))
}

struct Walk<'a> {
    source: Text<'a>,
    report: &'a mut Report,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn value(&mut self, path: Vec<String>, value: &DeValue<'_>, at: usize) {
        let table = match value {
            DeValue::Table(table) => table,
            scalar => return self.scalar(&path, scalar, at),
        };
        for (name, value) in table {
            let mut path = path.clone();
            path.push(name.get_ref().to_string());
            self.value(path, value.get_ref(), name.span().start);
        }
    }

    fn scalar(&mut self, path: &[String], value: &DeValue<'_>, at: usize) {
        let origin = self.source.file(self.source.line_at(at));
        let Some(key) = self.key(path, &origin) else {
            return;
        };
        match scalar_text(value) {
            Some(text) => self.entries.push(Entry { key, text, origin }),
            None => {
                let message = format!("a {} is no value for it", value.type_str());
                let fix = "write a string, a number, true, false or a list of them".to_owned();
                self.report.error(&origin, &key.to_string(), message, fix);
            }
        }
    }

    fn key(&mut self, path: &[String], origin: &Origin) -> Option<Key> {
        match path {
            [section, rest @ ..] if section == "kafka" && !rest.is_empty() => {
                merge::kafka(&rest.join("."), origin, self.report)
            }
            [section, topic, rest @ ..] if section == "topic" && !rest.is_empty() => {
                merge::topic(topic, &rest.join("."), origin, self.report)
            }
            path => merge::own(&path.join("."), origin, self.report),
        }
    }
}

fn scalar_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Array(list) => {
            let entries: Option<Vec<String>> = list
                .iter()
                .map(|entry| scalar_text(entry.get_ref()))
                .collect();
            Some(entries?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The entries of a server.properties, in the format of Java's `Properties`.
pub(crate) fn properties(source: Text<'_>, report: &mut Report) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (line, logical) in logical_lines(source.text) {
        let (name, text) = split_property(&logical);
        let origin = Origin::Properties {
            path: source.path.to_owned(),
            line,
        };
        if let Some(key) = merge::kafka(&name, &origin, report) {
            entries.push(Entry { key, text, origin });
        }
    }
    entries
}

/// Lines without comments and blank ones; a backslash at the end joins the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut joining = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if !joining && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let slashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
        let joins = slashes % 2 == 1;
        let content = if joins {
            line.strip_suffix('\\').unwrap_or(line)
        } else {
            line
        };
        match lines.last_mut() {
            Some((_, last)) if joining => last.push_str(content),
            _ => lines.push((index + 1, content.to_owned())),
        }
        joining = joins;
    }
    lines
}

/// Name and value: the first `=`, `:` or blank that is not escaped ends the name.
fn split_property(line: &str) -> (String, String) {
    let mut escaped = false;
    let mut end = line.len();
    for (at, letter) in line.char_indices() {
        if !escaped && matches!(letter, '=' | ':' | ' ' | '\t') {
            end = at;
            break;
        }
        escaped = letter == '\\' && !escaped;
    }
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
    (unescape(name), unescape(value))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32);
                out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Report) {
        let mut report = Report::default();
        let entries = toml(
            Text {
                path: "t.toml",
                text,
            },
            &mut report,
        );
        let shown = entries
            .iter()
            .map(|e| format!("{}={} @{}", e.key, e.text, e.origin));
        (shown.collect(), report)
    }

    #[test]
    fn dotted_kafka_keys_are_flattened() {
        let text = "[kafka]\nnum.partitions = 3\n\"log.retention.ms\" = 0x10\n\
                    [topic.\"a.b\"]\nretention.ms = 5\n[node]\ndata = [\"x\"]\n";
        let (mut entries, report) = read(text);
        entries.sort();
        assert_eq!(report, Report::default());
        let wanted = [
            "log.retention.ms=16 @t.toml:3",
            "node.data=x @t.toml:7",
            "num.partitions=3 @t.toml:2",
            "topic.\"a.b\".retention.ms=5 @t.toml:5",
        ];
        assert_eq!(entries, wanted);
    }

    #[test]
    fn a_clash_of_dotted_keys_says_quote_it() {
        let text = "[kafka]\nmax.connections = 1\nmax.connections.per.ip = 2\n";
        let (_, report) = read(text);
        let problem = &report.problems[0];
        assert!(problem.fix.contains("quote it"), "{report}");
        assert_eq!(problem.origin.to_string(), "t.toml:3");
        let quoted = "[kafka]\n\"max.connections\" = 1\n\"max.connections.per.ip\" = 2\n";
        assert_eq!(read(quoted).1, Report::default());
    }

    #[test]
    fn every_unknown_name_is_reported_with_its_line() {
        let text = "[shards]\ncuont = 1\n[kafka]\nnum.partition = 1\n[topic.x]\nretention.m = 1\n";
        let (_, report) = read(text);
        let shown = report.to_string();
        for part in [
            "t.toml:2",
            "shards.count",
            "t.toml:4",
            "num.partitions",
            "t.toml:6",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert_eq!(report.problems.len(), 3);
    }

    #[test]
    fn properties_as_java_reads_them() {
        let text = "# c\n! c\nnum.partitions = 3\nlog.dirs:/a,\\\n   /b\nbroker.rack r\\u0041\n";
        let mut report = Report::default();
        let entries = properties(
            Text {
                path: "s.properties",
                text,
            },
            &mut report,
        );
        let shown: Vec<String> = entries
            .iter()
            .map(|e| format!("{}={} @{}", e.key, e.text, e.origin))
            .collect();
        let wanted = [
            "num.partitions=3 @s.properties:3",
            "log.dirs=/a,/b @s.properties:4",
            "broker.rack=rA @s.properties:6",
        ];
        assert_eq!(shown, wanted);
        assert_eq!(report, Report::default());
    }
}
