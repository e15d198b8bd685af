//! The arrows of ARCHITECTURE: which package may use which, and no circle between the top modules of a package.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::module_graph::ModuleGraph;

/// Each folder with the packages of ours that it may use.
const ARROWS: [(&str, &[&str]); 12] = [
    ("engine/lang", &[]),
    ("engine/model", &["lang"]),
    ("engine/store", &["lang", "model"]),
    ("engine/sqlite", &["lang", "model", "store"]),
    ("cql", &["lang", "model", "store"]),
    ("engine/project", &["lang", "model", "store"]),
    ("engine/node", &["lang", "model", "store", "project"]),
    (
        "engine/statement",
        &["lang", "model", "store", "project", "node"],
    ),
    (
        "engine/connect",
        &["lang", "model", "store", "project", "node", "statement"],
    ),
    (
        "console/web",
        &["lang", "model", "store", "project", "node", "statement"],
    ),
    (
        "console",
        &[
            "lang",
            "model",
            "store",
            "sqlite",
            "cql",
            "project",
            "node",
            "statement",
            "connect",
            "web",
        ],
    ),
    (
        "tests",
        &[
            "lang",
            "model",
            "store",
            "sqlite",
            "cql",
            "project",
            "node",
            "statement",
            "connect",
            "web",
            "weft",
        ],
    ),
];
/// What a package may use besides in its own tests: a real store to run on.
const IN_TESTS: [(&str, &[&str]); 5] = [
    ("engine/project", &["sqlite"]),
    ("engine/node", &["sqlite"]),
    ("engine/statement", &["sqlite"]),
    ("engine/connect", &["sqlite"]),
    ("console/web", &["sqlite"]),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest(folder: &str) -> String {
    let path = repository().join(folder).join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The packages of ours that a manifest names as dependencies, without `weft-`, each with the kind of dependency.
fn used(manifest: &str) -> Vec<(String, String)> {
    let mut kind = String::new();
    let mut used = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_matches(['[', ']']);
            kind = match table.ends_with("dependencies") {
                true => table.to_owned(),
                false => String::new(),
            };
            // `[dependencies.weft-lang]`
            if let Some((table, name)) = table.rsplit_once('.')
                && table.ends_with("dependencies")
            {
                used.push((name.to_owned(), table.to_owned()));
            }
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if !kind.is_empty() {
            used.push((name.trim_matches('"').to_owned(), kind.clone()));
        }
    }
    used.retain(|(name, _)| name == "weft" || name.starts_with("weft-"));
    for (name, _) in &mut used {
        *name = name.trim_start_matches("weft-").to_owned();
    }
    used
}

#[test]
fn package_arrows_hold() {
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let in_tests: BTreeMap<_, _> = IN_TESTS.into_iter().collect();
    let workspace = manifest(".");
    let members = workspace
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(members, _)| members)
        .expect("the workspace has members");
    let members: BTreeSet<_> = members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .filter(|member| !member.is_empty())
        .collect();
    let known: BTreeSet<_> = allowed.keys().copied().collect();
    assert_eq!(
        members, known,
        "the packages of the workspace, and of ARROWS"
    );
    for folder in members {
        let may_use = allowed[folder];
        let tests_may_use = in_tests.get(folder).copied().unwrap_or_default();
        for (name, kind) in used(&manifest(folder)) {
            let is_allowed = may_use.contains(&name.as_str())
                || kind == "dev-dependencies" && tests_may_use.contains(&name.as_str());
            assert!(
                is_allowed,
                "{folder} names {name} in [{kind}]; it may use {may_use:?}, and in tests {tests_may_use:?}"
            );
        }
    }
}

#[test]
fn top_modules_form_no_cycle() {
    let mut cycles = Vec::new();
    for (folder, _) in ARROWS {
        let graph = ModuleGraph::read(&repository().join(folder).join("src"));
        assert!(graph.module_count() > 0, "{folder} has modules");
        cycles.extend(
            graph
                .cycles()
                .iter()
                .map(|cycle| format!("{folder}: {cycle}")),
        );
    }
    assert!(cycles.is_empty(), "{}", cycles.join("\n"));
}

#[test]
fn every_form_of_a_dependency_is_seen() {
    let text = "[dependencies]\nweft-a.workspace = true\nweft-b = { path = \"b\" }\nserde = \"1\"\n\n[dev-dependencies.weft-c]\npath = \"c\"\n[features]\nweft-d = []\n";
    let used = used(text);
    let used: Vec<_> = used
        .iter()
        .map(|(name, kind)| (name.as_str(), kind.as_str()))
        .collect();
    assert_eq!(
        used,
        [
            ("a", "dependencies"),
            ("b", "dependencies"),
            ("c", "dev-dependencies")
        ]
    );
}
