//! Which part of core uses which, read off its sources: the arrows of ARCHITECTURE.md, and none upwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each part, and what it may use besides itself.
const LAYERS: [(&str, &[&str]); 13] = [
    ("options", &[]),
    ("formats", &[]),
    ("text", &[]),
    ("kernels", &["formats"]),
    ("device", &["kernels"]),
    ("model", &["formats", "kernels"]),
    ("load", &["formats", "text", "device", "model"]),
    ("decoding", &["options", "kernels", "model", "text"]),
    (
        "session",
        &[
            "options", "formats", "text", "kernels", "device", "model", "load", "decoding",
        ],
    ),
    (
        "reward",
        &["options", "text", "model", "decoding", "session"],
    ),
    ("tpo", &["options", "text", "decoding", "session", "reward"]),
    ("persona", &["decoding", "session", "reward"]),
    (
        "contract",
        &[
            "options", "text", "device", "model", "decoding", "session", "reward", "tpo", "persona",
        ],
    ),
];

/// The crate's root gives these on from where they are.
const FROM_SESSION: [&str; 2] = ["Session", "Error"];

fn sources(at: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// The parts that a source names behind `crate::`, outside comments; its own tests may use anything.
fn used(source: &str) -> BTreeSet<&str> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let mut names = BTreeSet::new();
    for line in lines {
        for after in line.split("crate::").skip(1) {
            // One name, or a group of them on this line; a group that goes on below is seen as the name "".
            let items: Vec<&str> = match after.strip_prefix('{') {
                Some(group) => group.split('}').next().unwrap().split(',').collect(),
                None => vec![after],
            };
            let end = |c: char| !c.is_alphanumeric() && c != '_';
            names.extend(
                items
                    .iter()
                    .map(|item| item.trim().split(end).next().unwrap()),
            );
        }
    }
    names
}

/// What is wrong with a source of the part `from`.
fn upward(from: &str, source: &str) -> Vec<String> {
    let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == from).unwrap();
    used(source)
        .into_iter()
        .map(|name| match FROM_SESSION.contains(&name) {
            true => "session",
            false => name,
        })
        .filter(|name| *name != from && !allowed.contains(name))
        .map(|name| format!("{from} uses {name}"))
        .collect()
}

#[test]
fn no_part_of_core_uses_one_above_it() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut files = Vec::new();
    sources(&core, &mut files);
    let mut wrong = Vec::new();
    let mut parts = BTreeSet::new();
    for path in files {
        let inner = path.strip_prefix(&core).unwrap();
        let part = inner.iter().next().unwrap().to_str().unwrap();
        let part = part.strip_suffix(".rs").unwrap_or(part);
        let is_test = inner
            .iter()
            .any(|name| name == "tests" || name == "tests.rs");
        if part == "lib" || is_test || path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        parts.insert(part.to_owned());
        for what in upward(part, &fs::read_to_string(&path).unwrap()) {
            wrong.push(format!("{}: {what}", inner.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // None is left out of the table, and none of it is gone.
    let known: BTreeSet<String> = LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(parts, known);
    // A part stands below all that use it.
    for (at, (name, allowed)) in LAYERS.iter().enumerate() {
        for below in *allowed {
            assert!(
                LAYERS[..at].iter().any(|(name, _)| name == below),
                "{name} uses {below}, which stands above it"
            );
        }
    }
}

#[test]
fn an_upward_arrow_is_found() {
    let source =
        "//! [`crate::session`]\nuse crate::formats::gguf::Gguf;\nuse crate::{Error, session};\n";
    assert_eq!(
        upward("model", source),
        ["model uses session", "model uses session"]
    );
    assert!(upward("session", source).is_empty());
    assert_eq!(
        upward("formats", "fn f() -> crate::text::Message {}"),
        ["formats uses text"]
    );
}
