//! `docs/compatibility.md` says what each topic config does here: it is held against the keys that the
//! node answers from.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use thalweg_coordinator::configs::keys::TOPIC_KEYS;

#[test]
fn the_page_says_what_the_node_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## Topic configs\n").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let found: Vec<&str> = rows.skip(1).collect();
    let expected = TOPIC_KEYS
        .iter()
        .map(|key| format!("| {} | {} | {} |", key.name, key.default, key.doc));
    assert_eq!(found, expected.collect::<Vec<_>>());
}
