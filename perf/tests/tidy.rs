//! What no compiler checks: the shape of the tree, as `docs/architecture.md` and the README state it.
//!
//! Each rule is a function from a tree of texts to complaints, so that its own test below shows on
//! a small made-up tree that it can fail. Only `std` is used. Rules that read a table (arrows,
//! folders) hold the table here: it is the one place where it is enforced.
//!
//! Deliberately absent: exemption lists of files. What must break a rule changes the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Repository-relative path to content, for every text file that git would see.
type Tree = BTreeMap<String, String>;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Who may use whom among our own crates.
const ARROWS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("config", &[]),
    ("storage", &["wire"]),
    ("coordinator", &["wire"]),
    (
        "node",
        &["wire", "config", "storage", "coordinator", "bench"],
    ),
    ("bench", &["wire"]),
    ("perf", &["wire", "storage", "coordinator", "bench"]),
];

const GLOMMIO_FOLDERS: &[&str] = &[
    "storage/src/disk/",
    "node/src/net/",
    "node/src/shard/",
    "node/src/runtime/",
    "node/tests/",
    "bench/src/client/",
];
const UNSAFE_PLACES: &[&str] = &["storage/src/disk/", "node/src/net/send_file.rs"];
/// Pure crates: no file, no socket, no clock. An address as a value is neither.
const PURE_FOLDERS: &[&str] = &["wire/src/", "config/src/", "coordinator/src/"];
const IMPURE_NAMES: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "ToSocketAddrs",
    "Instant::now",
    "SystemTime::now",
    "std::thread::sleep",
];
const BANNED_FILE_NAMES: &[&str] = &["utils", "util", "common", "misc", "impls", "helpers"];
const TOP_FOLDERS: &[&str] = &[
    "wire/",
    "config/",
    "storage/",
    "coordinator/",
    "node/",
    "bench/",
    "perf/",
    "docs/",
    "fuzz/",
    ".ci/",
    ".cargo/",
];

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tree = read_tree(root).unwrap();
    assert!(tree.len() > 20, "the tree was not found");
    let rules: &[fn(&Tree) -> Vec<String>] = &[
        file_length,
        function_length,
        file_heads,
        arrows,
        dependencies_have_a_reason,
        glommio_has_its_places,
        unsafe_has_its_places,
        pure_crates_stay_pure,
        file_names,
        every_api_is_whole,
        open_ends_have_an_issue,
        paths_in_prose_exist,
    ];
    let complaints: Vec<String> = rules.iter().flat_map(|rule| rule(&tree)).collect();
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

// ---- the rules ----

fn file_length(tree: &Tree) -> Vec<String> {
    rust(tree)
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| (path, product_lines(text).count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} non-test lines (at most {FILE_LINES_MAX})"))
        .collect()
}

fn function_length(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in rust(tree) {
        for (name, lines) in functions(text) {
            if lines > FUNCTION_LINES_MAX {
                let most = FUNCTION_LINES_MAX;
                complaints.push(format!(
                    "{path}: fn {name} has {lines} lines (at most {most})"
                ));
            }
        }
    }
    complaints
}

fn file_heads(tree: &Tree) -> Vec<String> {
    rust(tree)
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| format!("{path}: no `//!` head that tells its job"))
        .collect()
}

fn arrows(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (krate, allowed) in ARROWS {
        let Some(manifest) = tree.get(&format!("{krate}/Cargo.toml")) else {
            complaints.push(format!("{krate}/Cargo.toml is missing"));
            continue;
        };
        for name in dependencies(manifest) {
            if let Some(used) = name
                .strip_prefix("thalweg-")
                .filter(|used| !allowed.contains(used))
            {
                complaints.push(format!("{krate}/Cargo.toml: {krate} may not use {used}"));
            }
        }
    }
    complaints
}

fn dependencies_have_a_reason(tree: &Tree) -> Vec<String> {
    let readme = tree.get("README.md").map_or("", String::as_str);
    let used: BTreeSet<String> = ARROWS
        .iter()
        .filter_map(|(krate, _)| tree.get(&format!("{krate}/Cargo.toml")))
        .flat_map(|manifest| dependencies(manifest))
        .filter(|name| !name.starts_with("thalweg-"))
        .collect();
    let listed: BTreeSet<String> = readme.lines().filter_map(first_cell).collect();
    used.difference(&listed)
        .map(|name| format!("README.md: the table of further crates lacks `{name}` and its reason"))
        .collect()
}

fn glommio_has_its_places(tree: &Tree) -> Vec<String> {
    code_lines(tree, |path| !under(path, GLOMMIO_FOLDERS))
        .filter(|(_, _, line)| line.contains("glommio::"))
        .map(|(path, number, _)| format!("{path}:{number}: glommio has no place here"))
        .collect()
}

fn unsafe_has_its_places(tree: &Tree) -> Vec<String> {
    code_lines(tree, |path| !under(path, UNSAFE_PLACES))
        .filter(|(_, _, line)| has_word(line, concat!("un", "safe")))
        .map(|(path, number, _)| format!("{path}:{number}: unsafe has no place here"))
        .collect()
}

fn pure_crates_stay_pure(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, number, line) in code_lines(tree, |path| under(path, PURE_FOLDERS)) {
        for name in IMPURE_NAMES.iter().filter(|name| line.contains(**name)) {
            complaints.push(format!(
                "{path}:{number}: {name} in a crate without I/O and clock"
            ));
        }
    }
    complaints
}

fn file_names(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, _) in rust(tree) {
        let stem = stem(path);
        let twin = stem
            .strip_suffix('2')
            .map(|first| path.replace(&format!("{stem}.rs"), &format!("{first}.rs")));
        let banned =
            BANNED_FILE_NAMES.contains(&stem) || twin.is_some_and(|twin| tree.contains_key(&twin));
        if banned {
            complaints.push(format!("{path}: a name that says nothing"));
        }
    }
    complaints
}

/// What `wire/src/api.rs` lists has a schema, a handler and a golden test, all named by key.
fn every_api_is_whole(tree: &Tree) -> Vec<String> {
    let Some(table) = tree.get("wire/src/api.rs") else {
        return vec!["wire/src/api.rs is missing".to_owned()];
    };
    let mut complaints = Vec::new();
    for stem in api_stems(table) {
        for (what, folder) in [
            ("schema", "wire/schema/"),
            ("handler", "node/src/handlers/"),
            ("golden test", "wire/tests/golden/"),
        ] {
            if !tree
                .keys()
                .any(|path| path.starts_with(folder) && path.contains(&stem))
            {
                complaints.push(format!("wire/src/api.rs: {stem} has no {what} in {folder}"));
            }
        }
    }
    complaints
}

fn open_ends_have_an_issue(tree: &Tree) -> Vec<String> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    let mut complaints = Vec::new();
    for (path, text) in tree {
        for (index, line) in text.lines().enumerate() {
            let marked = marks.iter().any(|mark| has_word(line, mark));
            if marked && !names_an_issue(line) {
                complaints.push(format!(
                    "{path}:{}: an open end without an issue number",
                    index + 1
                ));
            }
        }
    }
    complaints
}

/// Maps rot unless checked: a path in prose has to be there.
fn paths_in_prose_exist(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    let prose =
        |path: &str| path == "README.md" || (path.starts_with("docs/") && path.ends_with(".md"));
    for (path, text) in tree.iter().filter(|(path, _)| prose(path)) {
        for named in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| is_path(word))
        {
            let named = named.trim_end_matches('/');
            let inside = format!("{named}/");
            if !tree
                .keys()
                .any(|known| known == named || known.starts_with(&inside))
            {
                complaints.push(format!("{path}: names `{named}`, which does not exist"));
            }
        }
    }
    complaints
}

// ---- reading texts ----

fn rust(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| (path.as_str(), text.as_str()))
}

fn under(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

fn stem(path: &str) -> &str {
    path.rsplit('/')
        .next()
        .unwrap_or(path)
        .trim_end_matches(".rs")
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// The lines outside of inline test modules.
fn product_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut in_tests = false;
    let mut armed = false;
    text.lines().filter(move |line| {
        if in_tests {
            in_tests = *line != "}";
            return false;
        }
        if armed && line.starts_with("mod ") && line.ends_with('{') {
            in_tests = true;
        }
        armed = *line == "#[cfg(test)]" || (armed && line.starts_with("#["));
        !in_tests && !armed
    })
}

/// Name and length of each function. rustfmt ends a function with a brace at its own indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(String, String, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some((closing, name, first)) = open.last().cloned()
            && line == closing
        {
            open.pop();
            found.push((name, code_lines_between(text, first, number)));
        }
        if let Some(name) = function_name(line).filter(|_| !line.ends_with(['}', ';'])) {
            let indent: String = line.chars().take_while(|letter| *letter == ' ').collect();
            open.push((format!("{indent}}}"), name, number));
        }
    }
    found
}

/// As clippy counts: the body, without blank lines and comments.
fn code_lines_between(text: &str, first: usize, last: usize) -> usize {
    let whole = text.lines().skip(first).take(last - first);
    let body = whole
        .skip_while(|line| !line.ends_with('{'))
        .skip(1)
        .map(str::trim);
    body.filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

fn function_name(line: &str) -> Option<String> {
    let code = line.trim_start();
    let (before, after) = code.split_once("fn ")?;
    let head = before.split_whitespace().all(|word| {
        word.starts_with("pub") || ["async", "const", "extern", "in", "crate)"].contains(&word)
    });
    let name: String = after
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (head && !name.is_empty()).then_some(name)
}

/// Lines of code with comments and simple string literals taken out.
fn code_lines<'a>(
    tree: &'a Tree,
    wanted: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = (&'a str, usize, String)> {
    rust(tree)
        .filter(move |(path, _)| wanted(path))
        .flat_map(|(path, text)| {
            text.lines()
                .enumerate()
                .map(move |(index, line)| (path, index + 1, code_of(line)))
        })
}

fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let mut before = ' ';
    for letter in line.split("//").next().unwrap_or("").chars() {
        if letter == '"' && before != '\\' && before != '\'' {
            in_string = !in_string;
        } else if !in_string {
            code.push(letter);
        }
        before = letter;
    }
    code
}

fn has_word(line: &str, word: &str) -> bool {
    let bound = |letter: Option<char>| !letter.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (
            line.get(..at).unwrap_or(""),
            line.get(at + word.len()..).unwrap_or(""),
        );
        bound(before.chars().next_back()) && bound(after.chars().next())
    })
}

fn names_an_issue(line: &str) -> bool {
    line.split('#')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}

/// The names in all dependency sections of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').ends_with("dependencies");
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or("");
            names.push(name.trim_matches('"').to_owned());
        }
    }
    names
}

/// The first cell of a table row, when it is a name in backquotes.
fn first_cell(line: &str) -> Option<String> {
    let cell = line.strip_prefix("| `")?;
    Some(cell.split_once('`')?.0.to_owned())
}

fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "._/-".contains(c);
    word.chars().all(plain) && under(word, TOP_FOLDERS)
}

/// `k00_produce` for each row of the API table; the key comes from the list of all keys beside it.
fn api_stems(table: &str) -> BTreeSet<String> {
    let keys: BTreeMap<&str, &str> = table
        .lines()
        .filter_map(|line| line.trim().strip_suffix(';')?.split_once(' '))
        .filter(|(_, key)| key.chars().all(|c| c.is_ascii_digit()))
        .collect();
    product_lines(table)
        .filter_map(|line| line.split_once("row(ApiKey::")?.1.split_once(','))
        .map(|(name, _)| {
            let key = keys.get(name).unwrap_or(&"??");
            format!("k{key:0>2}{}", snake(name))
        })
        .collect()
}

/// `_describe_log_dirs` from `DescribeLogDirs`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn read_tree(root: &Path) -> std::io::Result<Tree> {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            let ignored = ["target", ".git", ".x", "data", "fuzz/target", "fuzz/corpus"];
            if ignored.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                // Captured bytes count by their path; their content is nobody's prose.
                tree.insert(name, std::fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    Ok(tree)
}

// ---- each rule can fail ----

fn made_up(files: &[(&str, &str)]) -> Tree {
    files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

fn complaints(rule: fn(&Tree) -> Vec<String>, files: &[(&str, &str)]) -> usize {
    rule(&made_up(files)).len()
}

#[test]
fn long_files_are_found_and_tests_do_not_count() {
    let long = "let x = 1;\n".repeat(501);
    let tested = format!("fn a() {{}}\n\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(complaints(file_length, &[("wire/src/a.rs", &long)]), 1);
    assert_eq!(complaints(file_length, &[("wire/src/a.rs", &tested)]), 0);
    assert_eq!(complaints(file_length, &[("wire/tests/a.rs", &long)]), 0);
}

#[test]
fn long_functions_are_found_also_when_nested() {
    let body = "        x();\n".repeat(71);
    let long = format!("impl A {{\n    pub async fn a(&self) {{\n{body}    }}\n}}\n");
    assert_eq!(complaints(function_length, &[("a.rs", &long)]), 1);
    let short = long.replacen("        x();\n", "", 1);
    assert_eq!(complaints(function_length, &[("a.rs", &short)]), 0);
}

#[test]
fn a_missing_head_is_found() {
    assert_eq!(complaints(file_heads, &[("a.rs", "use b;\n")]), 1);
    assert_eq!(
        complaints(file_heads, &[("a.rs", "//! Does a.\nuse b;\n")]),
        0
    );
}

#[test]
fn a_wrong_arrow_is_found() {
    let files: Vec<(String, &str)> = ARROWS
        .iter()
        .map(|(krate, _)| {
            (
                format!("{krate}/Cargo.toml"),
                "[dependencies]\nthalweg-node.workspace = true\n",
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), *text))
        .collect();
    assert_eq!(complaints(arrows, &files), ARROWS.len());
    assert_eq!(complaints(arrows, &[]), ARROWS.len(), "missing manifests");
}

#[test]
fn a_crate_without_a_reason_is_found() {
    let manifest = (
        "wire/Cargo.toml",
        "[dev-dependencies]\nleft-pad = \"1\"\n[lints]\nworkspace = true\n",
    );
    assert_eq!(
        complaints(
            dependencies_have_a_reason,
            &[manifest, ("README.md", "| `snap` | x |")]
        ),
        1
    );
    assert_eq!(
        complaints(
            dependencies_have_a_reason,
            &[manifest, ("README.md", "| `left-pad` | x |")]
        ),
        0
    );
}

#[test]
fn glommio_and_raw_memory_outside_their_folders_are_found() {
    let glommio = "use glommio::Latency;\n";
    assert_eq!(
        complaints(
            glommio_has_its_places,
            &[("node/src/cli/serve.rs", glommio)]
        ),
        1
    );
    assert_eq!(
        complaints(
            glommio_has_its_places,
            &[("node/src/net/listener.rs", glommio)]
        ),
        0
    );
    let raw = concat!("let a = un", "safe { b() };\n");
    assert_eq!(
        complaints(unsafe_has_its_places, &[("wire/src/lib.rs", raw)]),
        1
    );
    assert_eq!(
        complaints(unsafe_has_its_places, &[("storage/src/disk/ring.rs", raw)]),
        0
    );
    let word = concat!(
        "#![forbid(un",
        "safe_code)] // un",
        "safe\nlet a = \"un",
        "safe\";\n"
    );
    assert_eq!(
        complaints(unsafe_has_its_places, &[("wire/src/lib.rs", word)]),
        0
    );
}

#[test]
fn a_clock_in_a_pure_crate_is_found() {
    let clock = "let now = std::time::Instant::now();\n";
    assert_eq!(
        complaints(pure_crates_stay_pure, &[("coordinator/src/a.rs", clock)]),
        1
    );
    assert_eq!(
        complaints(pure_crates_stay_pure, &[("node/src/a.rs", clock)]),
        0
    );
}

#[test]
fn empty_names_are_found() {
    assert_eq!(complaints(file_names, &[("node/src/utils.rs", "")]), 1);
    assert_eq!(
        complaints(
            file_names,
            &[("node/src/log.rs", ""), ("node/src/log2.rs", "")]
        ),
        1
    );
    assert_eq!(complaints(file_names, &[("wire/src/batch/lz42.rs", "")]), 0);
}

#[test]
fn an_api_without_handler_is_found() {
    let table = (
        "wire/src/api.rs",
        "keys! {\n    Produce 0;\n    Fetch 1;\n}\n    row(ApiKey::Produce, 0, 13),\n",
    );
    let schema = ("wire/schema/client/k00_produce", "");
    let golden = ("wire/tests/golden/k00_produce_v9.bin", "");
    let handler = ("node/src/handlers/k00_produce.rs", "");
    assert_eq!(
        complaints(every_api_is_whole, &[table, schema, golden, handler]),
        0
    );
    assert_eq!(complaints(every_api_is_whole, &[table, schema, golden]), 1);
    assert_eq!(complaints(every_api_is_whole, &[]), 1);
}

#[test]
fn an_open_end_is_found() {
    let open = concat!("// TO", "DO: later\n");
    let known = concat!("// TO", "DO (#12): later\n");
    assert_eq!(complaints(open_ends_have_an_issue, &[("a.rs", open)]), 1);
    assert_eq!(complaints(open_ends_have_an_issue, &[("a.rs", known)]), 0);
}

#[test]
fn a_path_that_is_gone_is_found() {
    let readme = ("README.md", "see `docs/gone.md`, `wire/src` and `a b/c`\n");
    assert_eq!(
        complaints(paths_in_prose_exist, &[readme, ("wire/src/lib.rs", "")]),
        1
    );
}
