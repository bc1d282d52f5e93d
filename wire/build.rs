//! Generates the protocol's messages from the facts in `schema/`.
//!
//! The output goes to `OUT_DIR` and never into the tree: `messages.rs` (owned types and views),
//! and `catalogue.rs` (a table over all messages, for the tests).

#[path = "build/check.rs"]
mod check;
#[path = "build/encode.rs"]
mod encode;
#[path = "build/facts.rs"]
mod facts;
#[path = "build/family.rs"]
mod family;
#[path = "build/names.rs"]
mod names;
#[path = "build/view.rs"]
mod view;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

use facts::Message;

fn main() {
    if let Err(problem) = generate() {
        // Cargo shows a build script's standard error when it fails.
        eprintln!("wire/schema: {problem}");
        process::exit(1);
    }
}

fn generate() -> Result<(), String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?);
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|e| e.to_string())?);
    let messages = read_facts(&root.join("schema"))?;
    check::check(&messages)?;

    let mut code = String::new();
    for message in messages.iter().filter(|m| !m.versions.is_empty()) {
        let _ = writeln!(code, "{}", module(message));
    }
    code += &family::metadata(&messages);
    write(&out.join("messages.rs"), &code)?;
    write(&out.join("catalogue.rs"), &family::catalogue(&messages))?;
    write(&out.join("throttles.rs"), &family::throttles(&messages))?;
    write(&out.join("ranges.rs"), &family::ranges(&messages))
}

fn write(path: &Path, code: &str) -> Result<(), String> {
    fs::write(path, code).map_err(|e| format!("{}: {e}", path.display()))
}

/// All messages, by folder, then file.
fn read_facts(schema: &Path) -> Result<Vec<Message>, String> {
    println!("cargo::rerun-if-changed={}", schema.display());
    println!("cargo::rerun-if-changed=build");
    let mut messages = Vec::new();
    for folder in sorted(schema)?.iter().filter(|path| path.is_dir()) {
        for file in sorted(folder)? {
            let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let family = folder.file_name().unwrap_or_default().to_string_lossy();
            let found = facts::parse(&text, &family)
                .map_err(|problem| format!("{}: {problem}", file.display()))?;
            messages.extend(found);
        }
    }
    Ok(messages)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let problem = |e: std::io::Error| format!("{}: {e}", folder.display());
    let entries = fs::read_dir(folder).map_err(problem)?;
    let mut paths = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(problem)?;
    paths.sort();
    Ok(paths)
}

/// One module: the owned types and the views of one schema.
fn module(message: &Message) -> String {
    let mut code = format!(
        "/// {} {}, versions {}.\npub mod {} {{\n    #[allow(unused_imports, reason = \"not every message has text\")]\n    use std::borrow::Cow;\n    use crate::bytes as w;\n    use crate::ids::Uuid;\n    const _: Uuid = Uuid::ZERO;\n\n",
        message.role.word(),
        message.name,
        message.versions,
        names::snake(&message.name),
    );
    for record in &message.structs {
        code += &encode::owned(message, record);
        code += &view::view(message, record);
    }
    code += &encode::message(message);
    code += "}\n";
    code
}
