//! `thalweg config show`: what holds after all sources were merged, and who set it.

use clap::Args;
use serde::Serialize;
use thalweg_config::effective::Row;
use thalweg_config::{Key, explain};

use super::super::Exit;
use super::super::failure::Failure;
use super::super::outcome::{Outcome, finish, show};
use super::super::output::{Align, Format, Table, cell};
use super::super::settings::From;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Show {
    /// Only these keys
    keys: Vec<String>,
    /// Also Kafka's keys that nobody set
    #[arg(short, long)]
    all: bool,
    /// Also what would hold if nobody had set it
    #[arg(long)]
    source: bool,
    #[command(flatten)]
    from: From,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    settings: Vec<Setting>,
}

#[derive(Serialize)]
struct Setting {
    key: String,
    /// Null if it is secret, or Kafka's null.
    value: Option<String>,
    default: Option<String>,
    source: String,
    sensitive: bool,
    #[serde(skip)]
    text: String,
}

impl Show {
    pub(super) fn run(&self) -> Exit {
        let loaded = match self.from.load(&[]) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        finish(self.outcome(loaded.rows()))
    }

    fn outcome(&self, mut rows: Vec<Row>) -> Result<Outcome, Failure> {
        let names: Vec<String> = rows.iter().map(|row| row.key.to_string()).collect();
        if let Some(wrong) = self.keys.iter().find(|key| !names.contains(key)) {
            return Err(unknown(wrong));
        }
        rows.retain(|row| match self.keys.as_slice() {
            [] => self.all || row.is_set() || matches!(row.key, Key::Own(_)),
            keys => keys.contains(&row.key.to_string()),
        });
        let shown = Shown {
            settings: rows.into_iter().map(setting).collect(),
        };
        let text = show(&shown, self.format, |shown, wide| {
            table_of(&shown.settings, wide || self.source)
        });
        Ok(Outcome::done(text))
    }
}

/// A key that there is not, with the nearest that there is.
pub(super) fn unknown(key: &str) -> Failure {
    let fix = match explain::nearest_key(key) {
        Some(near) => format!("did you mean {near}?"),
        None => "`thalweg config show --all` names every key".to_owned(),
    };
    Failure::input(
        format!("there is no key `{key}`"),
        "it is no setting of this program, and no key of Kafka 4.3",
        &fix,
    )
}

fn setting(row: Row) -> Setting {
    Setting {
        text: row.shown(),
        key: row.key.to_string(),
        value: row.value.filter(|_| !row.secret),
        default: row.default,
        source: row.origin.to_string(),
        sensitive: row.secret,
    }
}

fn table_of(settings: &[Setting], with_defaults: bool) -> String {
    let mut head = vec![("KEY", Align::Left), ("VALUE", Align::Left)];
    if with_defaults {
        head.push(("DEFAULT", Align::Left));
    }
    head.push(("SOURCE", Align::Left));
    let mut table = Table::new(&head);
    for setting in settings {
        let mut row = vec![setting.key.clone(), setting.text.clone()];
        if with_defaults {
            row.push(cell(setting.default.as_ref()));
        }
        row.push(setting.source.clone());
        table.row(row);
    }
    table.text()
}
