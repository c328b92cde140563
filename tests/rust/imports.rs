//! Imports point one way: `python → writer, query, ship, cli → segment, spool → json, redact, sample → config, stats, error`.
//!
//! Read from the source text: every `crate::room` (also in groups and through `super`), and every mention of pyo3.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the ground up. A room may import those of the floors below its own, and what `BESIDE` adds. A room that is
/// not here fails the test: decide on which floor it belongs and add it.
const FLOORS: &[&[&str]] = &[
    // How native threads start, and the points at which tests kill: they know nothing of logging.
    &["thread", "failpoint", "sync", "memtrap"],
    // Reads text, and knows nothing of what it is about.
    &["config_file"],
    &["config", "stats", "error", "fork", "mapping", "wake"],
    &["json"],
    &[
        "redact", "sample", "collapse", "console", "cut", "payload", "decimal", "recent", "skim",
    ],
    &["report"],
    &["segment", "spool"],
    // Writes what was counted to the spool.
    &["noise"],
    &["writer", "query", "ship", "cli", "janitor", "engine"],
    &["python", "tracing"],
];

/// Imports on one floor: the spool's consumer appends to segments, the engine starts the writer and the janitor, the commands
/// query. Query and ship never import each other, and nothing but python/ imports cli.
const BESIDE: &[(&str, &str)] = &[
    ("config", "error"),
    ("stats", "error"),
    ("spool", "segment"),
    // Without the feature `failpoints` it does not.
    ("sync", "failpoint"),
    ("writer", "janitor"),
    ("engine", "writer"),
    ("engine", "janitor"),
    ("cli", "query"),
];

/// Whether `room` may import `other`; `None` for a room without a floor.
fn may_import(room: &str, other: &str) -> Option<bool> {
    let floor = |name: &str| FLOORS.iter().position(|rooms| rooms.contains(&name));
    let (mine, others) = (floor(room)?, floor(other)?);
    Some(others < mine || BESIDE.contains(&(room, other)))
}

#[test]
fn every_import_points_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 5, "the source tree is here: {files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let module = file.strip_prefix(&src).unwrap().to_owned();
        wrong.extend(violations(&module, &fs::read_to_string(&file).unwrap()));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn rooms_on_one_floor_do_not_import_in_circles() {
    let floor = |name: &str| FLOORS.iter().position(|rooms| rooms.contains(&name));
    for &(from, to) in BESIDE {
        assert!(
            floor(from).is_some() && floor(from) == floor(to),
            "{from} {to}"
        );
        // Whatever can be reached from `to` is not `from`.
        let mut reached = vec![to];
        let mut next = 0;
        while let Some(&room) = reached.get(next) {
            let further = BESIDE
                .iter()
                .filter(|(room_from, _)| *room_from == room)
                .map(|(_, room_to)| *room_to);
            reached.extend(
                further
                    .filter(|room_to| !reached.contains(room_to))
                    .collect::<Vec<_>>(),
            );
            next += 1;
        }
        assert!(
            !reached.contains(&from),
            "{from} imports itself through {to}"
        );
    }
}

/// The checker itself: what it must find, and what it must not.
#[test]
fn a_wrong_import_is_found_in_every_spelling() {
    for (file, text) in [
        ("segment/store.rs", "use crate::spool::Ring;"),
        ("segment/store.rs", "use crate::{config, spool::Ring};"),
        (
            "segment/store.rs",
            "use crate::{\n    config::{A, B},\n    // why\n    spool,\n};",
        ),
        ("segment/store.rs", "use super::super::spool::Ring;"),
        ("segment/mod.rs", "use super::spool;"),
        ("segment.rs", "use super::spool::Ring;"),
        (
            "segment/a/b.rs",
            "fn f() { super::super::super::spool::go() }",
        ),
        ("segment/store.rs", "fn f() { crate :: spool::go() }"),
        ("segment/store.rs", "fn f() { ::logspool::spool::go() }"),
        ("query/scan.rs", "use crate::ship::Cursor;"),
        ("engine.rs", "use crate::cli::main;"),
        ("stats.rs", "use crate::spool::Spool;"),
        ("ship/otlp.rs", "use crate::query::Scan;"),
        ("writer.rs", "use crate::cli;"),
        ("config.rs", "use crate::json;"),
        ("spool/mod.rs", "use crate::writer;"),
        ("json.rs", "use pyo3::prelude::*;"),
        ("writer.rs", "fn f() { pythonize::pythonize() }"),
        ("misc.rs", ""),
        ("lib.rs", "use pyo3::prelude::*;"),
        ("spool/mod.rs", "use crate::*;"),
    ] {
        assert!(
            !violations(Path::new(file), text).is_empty(),
            "{file}: {text}"
        );
    }
    for (file, text) in [
        (
            "spool/drain.rs",
            "use crate::segment::store::Store;\nuse crate::{json, config::Settings as config};",
        ),
        (
            "segment/store.rs",
            "use super::naming; use crate::segment::naming; // crate::spool is above\n/* crate::spool */",
        ),
        (
            "segment/store.rs",
            "const A: &str = \"crate::spool\"; const B: &str = r#\"pyo3 \"crate::spool\" \"#; const C: char = '\"';",
        ),
        (
            "segment/store.rs",
            "impl<'a> F<'a> { fn f() { self::spool() } } mod tests { use super::*; }",
        ),
        ("segment/a/b.rs", "use super::super::naming;"),
        (
            "python/mod.rs",
            "use crate::{cli, writer}; use pyo3::prelude::*;",
        ),
        (
            "lib.rs",
            "pub mod json;\n#[cfg(feature = \"python\")]\nmod python;",
        ),
    ] {
        assert_eq!(
            violations(Path::new(file), text),
            Vec::<String>::new(),
            "{file}: {text}"
        );
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What the file `src/<module>` imports and must not.
fn violations(module: &Path, text: &str) -> Vec<String> {
    let mut path: Vec<String> = module
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if path
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        path.pop();
    }
    let tokens = tokens(text);
    let mut wrong = Vec::new();
    let name = module.display();
    // `json_tests.rs` beside `json.rs` holds that room's own tests.
    let room = path.first().map_or("lib", String::as_str);
    let room = room.strip_suffix("_tests").unwrap_or(room);
    if room != "python"
        && tokens
            .iter()
            .any(|token| token == "pyo3" || token == "pythonize")
    {
        wrong.push(format!("src/{name}: only python/ names pyo3"));
    }
    if room == "lib" {
        return wrong;
    }
    if may_import(room, room).is_none() {
        wrong.push(format!(
            "src/{name}: the room {room:?} has no floor in tests/rust/imports.rs"
        ));
        return wrong;
    }
    for imported in rooms_named(&tokens, path.len()) {
        if imported == "*" {
            wrong.push(format!("src/{name}: `use crate::*` hides what is imported"));
        } else if imported != room && may_import(room, &imported) == Some(false) {
            wrong.push(format!("src/{name}: {room} must not import {imported}"));
        }
    }
    wrong
}

/// First components of all paths that begin at the crate's root, in a module `depth` levels below it.
fn rooms_named(tokens: &[String], depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut supers = 0;
        let mut next = at;
        while is(tokens, next, "super") && is(tokens, next + 1, "::") {
            supers += 1;
            next += 2;
        }
        let root = if supers > 0 {
            // In a module inside the file one `super` more is needed; the name of a room decides.
            (supers >= depth).then_some(next)
        } else {
            ((is(tokens, at, "crate") || is(tokens, at, "logspool")) && is(tokens, at + 1, "::"))
                .then_some(at + 2)
        };
        // `use super::*` is how tests inside a file see that file.
        if let Some(root) = root.filter(|&root| supers == 0 || !is(tokens, root, "*")) {
            first_names(tokens, root, &mut found);
        }
        at = next.max(at + 1);
    }
    found
}

/// The name at `at`, or the first names of all members of the group that begins there.
fn first_names(tokens: &[String], at: usize, found: &mut BTreeSet<String>) {
    if !is(tokens, at, "{") {
        found.extend(tokens.get(at).cloned());
        return;
    }
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if depth == 1 && (is(tokens, index - 1, "{") || is(tokens, index - 1, ",")) => {
                found.insert(token.clone());
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn is(tokens: &[String], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token == text)
}

/// Names and punctuation of a Rust source, without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let mut i = 0;
    while i < text.len() {
        match text[i] {
            '/' if at(i + 1) == '/' => {
                while i < text.len() && text[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= text.len() {
                        break;
                    }
                }
            }
            'r' | 'b' | 'c' if is_raw_string(&text[i..]) => {
                while at(i).is_alphabetic() {
                    i += 1;
                }
                let hashes = text[i..].iter().take_while(|&&c| c == '#').count();
                i += hashes + 1;
                while i < text.len() && !(at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#')) {
                    i += 1;
                }
                i += hashes + 1;
            }
            '"' => {
                i += 1;
                while i < text.len() && text[i] != '"' {
                    i += if text[i] == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character, or a lifetime.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < text.len() && text[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            ':' if at(i + 1) == ':' => {
                found.push("::".to_owned());
                i += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                let word: String = text[i..]
                    .iter()
                    .take_while(|c| c.is_alphanumeric() || **c == '_')
                    .collect();
                i += word.chars().count();
                found.push(word);
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                i += 1;
            }
        }
    }
    found
}

fn is_raw_string(text: &[char]) -> bool {
    let prefix: String = text.iter().take_while(|c| c.is_alphabetic()).collect();
    let rest = text[prefix.len()..].iter().find(|&&c| c != '#');
    let quoted = rest == Some(&'"');
    matches!(prefix.as_str(), "r" | "br" | "cr") && quoted
}
