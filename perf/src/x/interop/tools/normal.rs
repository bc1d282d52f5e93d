//! What differs from run to run is replaced before two outputs are compared.
//!
//! Ids of topics, clusters and directories (the word behind a label), ids of members (UUIDs), times
//! in milliseconds (13 digits), and, where a step measures, every number. Columns are squeezed to
//! one blank, since their width follows the longest value.

/// The word behind one of these is an id.
const LABELS: [&str; 6] = [
    " Epoch: ",
    "TopicId: ",
    "ClusterId: ",
    "\"directoryId\": \"",
    "DirectoryId: ",
    "CurrentEpoch: ",
];
const TIME_DIGITS: usize = 13;
const ID_LENGTH: usize = 22;

pub(super) fn normal(text: &str, numbers: bool) -> String {
    let lines = text.lines().map(|line| {
        let words = line.split_whitespace().map(|one| word(one, numbers));
        let line = words.collect::<Vec<_>>().join(" ");
        let line = members(&labelled(line));
        digits(&line, numbers)
    });
    let kept = lines.filter(|line| !line.is_empty() && !noise(line));
    kept.map(|line| format!("{line}\n")).collect()
}

/// Loggers and stack traces: they name lines of Kafka's sources.
fn noise(line: &str) -> bool {
    line.starts_with("at ")
        || line.contains(" main ERROR ")
        || line.starts_with("... ")
        || line.contains("SLF4J")
        || line.starts_with("WARNING:")
}

/// Where a step measures, a word of the length of an id is one.
fn word(word: &str, numbers: bool) -> &str {
    let letter = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    match numbers && word.len() == ID_LENGTH && word.chars().all(letter) {
        true => "ID",
        false => word,
    }
}

fn labelled(mut line: String) -> String {
    for label in LABELS {
        let Some(start) = line.find(label).map(|at| at + label.len()) else {
            continue;
        };
        let rest = line.get(start..).unwrap_or("");
        let end = rest
            .find(|letter: char| !letter.is_alphanumeric() && letter != '-' && letter != '_')
            .unwrap_or(rest.len());
        line.replace_range(start..start + end, "ID");
    }
    line
}

/// A UUID in a member's or a client's id.
fn members(line: &str) -> String {
    const SHAPE: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let uuid = rest.get(..LENGTH).is_some_and(|word| {
            let parts: Vec<&str> = word.split('-').collect();
            parts.iter().map(|part| part.len()).eq(SHAPE)
                && parts
                    .iter()
                    .all(|part| part.chars().all(|c| c.is_ascii_hexdigit()))
        });
        if uuid {
            out.push_str("UUID");
            rest = rest.get(LENGTH..).unwrap_or("");
        } else {
            let mut letters = rest.chars();
            out.extend(letters.next());
            rest = letters.as_str();
        }
    }
    out
}

fn digits(line: &str, numbers: bool) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        let end = from
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        out.push_str(before);
        match () {
            () if numbers => out.push('N'),
            () if run.len() == TIME_DIGITS => out.push_str("TIME"),
            () => out.push_str(run),
        }
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let text = "Topic: a\tTopicId: x_Y-9  1700000000000 12\n\n";
        assert_eq!(normal(text, false), "Topic: a TopicId: ID TIME 12\n");
        let text = "c-01234567-89ab-cdef-0123-456789abcdef 1.5";
        assert_eq!(normal(text, true), "c-UUID N.N\n");
    }
}
