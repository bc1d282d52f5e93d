//! `thalweg explain`: an error code in full, this program's or Kafka's.
//!
//! What a command says when it fails has the values of that failure; here stands what the code means
//! always, for those who find it in a log.

use serde::Serialize;
use thalweg_wire::error_code::ErrorCode;

use super::Exit;
use super::advice::advice;
use super::failure::Failure;
use super::outcome::{Outcome, finish, show};
use super::output::Format;

/// The shape, for the help of the command.
const SHAPES: &str = "\
JSON shape:
  {\"codes\": [{\"code\", \"number\", \"what\", \"cause\", \"fix\", \"retriable\"}]}
`number` and `retriable` are null for codes that are not Kafka's.

Exit codes: 0 done, 1 failed, 2 usage, 6 some of the codes are not known.";

/// Code, what it says, likely cause, fix.
type Own = (&'static str, &'static str, &'static str, &'static str);

/// The codes that commands put in brackets.
const OWN: &[Own] = &[
    (
        "T0501",
        "no broker was reached, or none answered in time",
        "the node is not running or listens elsewhere, or the network is in between",
        "start it with `thalweg serve`, or name the address with `--brokers HOST:PORT`",
    ),
    (
        "T0502",
        "what answered does not speak as a broker should",
        "another kind of server listens there, or one that is too old",
        "check the port; brokers from Apache Kafka 2.4 on are understood",
    ),
    (
        "T0503",
        "a broker refused what was asked of it; Kafka's code stands beside it",
        "see `thalweg explain` of Kafka's code",
        "the third line of the error names it",
    ),
    (
        "T0504",
        "the result could not be printed",
        "standard output is full or closed",
        "look at where the output goes",
    ),
    (
        "T0505",
        "a broker was reached, but not by the address that it names to its clients",
        "its advertised address is not one that can be dialled from here",
        "set listen.advertise (advertised.listeners) to an address that clients can dial",
    ),
    (
        "T0506",
        "a file could not be read or written",
        "it is not there, is there already, or this user may not",
        "check the path and its permissions",
    ),
    (
        "T0507",
        "the input, or a combination of options, makes no sense for what the cluster is",
        "the second line of the error says why",
        "the third line of the error says what to write instead",
    ),
    (
        "T0508",
        "the broker does not serve a call that the command needs",
        "it is of another age than this program, or does without that feature",
        "`thalweg cluster api-versions` shows what it serves",
    ),
];

/// Explain error codes
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[command(after_long_help = SHAPES)]
pub(super) struct Explain {
    /// Codes: T0501, UNKNOWN_TOPIC_OR_PARTITION, 3
    #[arg(required = true, value_name = "CODE", allow_negative_numbers = true)]
    codes: Vec<String>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Serialize)]
struct Explained {
    codes: Vec<Meaning>,
}

#[derive(Debug, Serialize)]
struct Meaning {
    code: &'static str,
    number: Option<i16>,
    what: &'static str,
    cause: &'static str,
    fix: &'static str,
    retriable: Option<bool>,
}

impl Explain {
    pub(super) fn run(&self) -> Exit {
        let (mut codes, mut failures) = (Vec::new(), Vec::new());
        for code in &self.codes {
            match meaning(code) {
                Some(meaning) => codes.push(meaning),
                None => failures.push(Failure::input(
                    format!("there is no error code `{code}`"),
                    "codes are this program's (T and four digits), or Kafka's by name or number",
                    "copy it from the brackets of the error, or from the log",
                )),
            }
        }
        let done = codes.len();
        let text = match done {
            0 => String::new(),
            _ => show(&Explained { codes }, self.format, |explained, _| {
                let told = explained.codes.iter().map(text_of);
                told.collect::<Vec<_>>().join("\n")
            }),
        };
        finish(Ok(Outcome::of(text, done, failures)))
    }
}

fn meaning(code: &str) -> Option<Meaning> {
    let own = OWN.iter().find(|own| own.0.eq_ignore_ascii_case(code));
    if let Some((code, what, cause, fix)) = own {
        return Some(Meaning {
            code,
            number: None,
            what,
            cause,
            fix,
            retriable: None,
        });
    }
    let error = match code.parse() {
        Ok(number) => ErrorCode::from_code(number),
        Err(_) => {
            let mut all = ErrorCode::ALL.iter();
            all.find(|error| error.name().eq_ignore_ascii_case(code))
                .copied()
        }
    }?;
    let (cause, fix) = advice(error);
    Some(Meaning {
        code: error.name(),
        number: Some(error.code()),
        what: "a broker answered with this code of Kafka's",
        cause,
        fix,
        retriable: Some(error.retriable()),
    })
}

fn text_of(told: &Meaning) -> String {
    let number = told.number.map(|number| format!(" ({number})"));
    let again = match told.retriable {
        Some(true) => "; clients ask again by themselves",
        _ => "",
    };
    format!(
        "{}{}: {}{again}\n  cause: {}\n  fix:   {}\n",
        told.code,
        number.unwrap_or_default(),
        told.what,
        told.cause,
        told.fix
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_a_failure_is_explained() {
        let source = include_str!("failure.rs");
        let mut codes = source.split('"').filter(|word| {
            let digits = word.strip_prefix('T').unwrap_or_default();
            digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        let mut found = 0;
        assert!(codes.all(|code| {
            found += 1;
            meaning(code).is_some()
        }));
        assert_eq!(found, OWN.len());
    }

    #[test]
    fn codes_of_kafka_are_known_by_name_and_number() {
        let named = meaning("unknown_topic_or_partition").unwrap();
        assert_eq!(named.number, Some(3));
        assert_eq!(meaning("3").unwrap().code, named.code);
        assert_eq!(named.retriable, Some(true));
        assert!(meaning("-1").is_some());
        assert!(meaning("T9999").is_none() && meaning("30000").is_none());
    }
}
