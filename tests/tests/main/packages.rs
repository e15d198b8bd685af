//! The packages and what each may use: `lang ← engine ← {connect, cql, web} ← console`, and the tests anything.

use std::collections::BTreeMap;
use std::path::Path;

/// Each folder with the packages of ours that it may use.
const ARROWS: [(&str, &[&str]); 7] = [
    ("engine/lang", &[]),
    ("engine", &["weft-lang"]),
    ("engine/connect", &["weft-lang", "weft-engine"]),
    ("cql", &["weft-lang", "weft-engine"]),
    ("console/web", &["weft-lang", "weft-engine"]),
    (
        "console",
        &[
            "weft-lang",
            "weft-engine",
            "weft-connect",
            "weft-cql",
            "weft-web",
        ],
    ),
    (
        "tests",
        &[
            "weft-lang",
            "weft-engine",
            "weft-connect",
            "weft-cql",
            "weft-web",
            "weft",
        ],
    ),
];

fn manifest(folder: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(folder).join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The packages of ours that a manifest names as dependencies, whether for use, tests or building.
fn used(manifest: &str) -> Vec<String> {
    let mut is_dependencies = false;
    let mut used = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_matches(['[', ']']);
            is_dependencies = table.ends_with("dependencies");
            // `[dependencies.weft-engine]`
            if let Some((_, name)) = table.rsplit_once("dependencies.") {
                used.push(name.to_owned());
            }
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if is_dependencies {
            used.push(name.trim_matches('"').to_owned());
        }
    }
    used.retain(|name| name == "weft" || name.starts_with("weft-"));
    used
}

#[test]
fn package_arrows_hold() {
    let allowed: BTreeMap<_, _> = ARROWS.into_iter().collect();
    let workspace = manifest(".");
    let members = workspace
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(members, _)| members)
        .expect("the workspace has members");
    let members: Vec<_> = members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .filter(|member| !member.is_empty())
        .collect();
    assert_eq!(members.len(), allowed.len(), "{members:?}");
    for folder in members {
        let may_use = allowed
            .get(folder)
            .unwrap_or_else(|| panic!("{folder} is a package that nobody has thought of"));
        for name in used(&manifest(folder)) {
            assert!(
                may_use.contains(&name.as_str()),
                "{folder} uses {name}, it may use {may_use:?}"
            );
        }
    }
}

#[test]
fn every_form_of_a_dependency_is_seen() {
    let text = "[dependencies]\nweft-a.workspace = true\nweft-b = { path = \"b\" }\nserde = \"1\"\n\n[dev-dependencies.weft-c]\npath = \"c\"\n[features]\nweft-d = []\n";
    assert_eq!(used(text), ["weft-a", "weft-b", "weft-c"]);
}
