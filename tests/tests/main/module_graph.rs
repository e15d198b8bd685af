//! Which top module of a package uses which, read from the text of its sources.
//!
//! What a package's `lib.rs` itself defines belongs to no module: a module may use its parent. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

/// The top modules of one package and the uses between them.
pub struct ModuleGraph {
    modules: BTreeSet<String>,
    /// User, used, and one place where it shows.
    uses: BTreeMap<String, BTreeMap<String, String>>,
}

impl ModuleGraph {
    /// Reads the sources below `folder`, which holds `lib.rs` or `main.rs`.
    pub fn read(folder: &Path) -> Self {
        let root = ["lib.rs", "main.rs"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("{} has no root", folder.display()));
        let root = production_code(&read(&root));
        let files = sources(folder).into_iter().map(|path| {
            let text = read(&path);
            let name = path
                .strip_prefix(folder)
                .expect("it lies there")
                .with_extension("");
            let mut module: Vec<String> = name
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            module.pop_if(|last| last == "mod");
            (module, production_code(&text))
        });
        Self::new(&root, files)
    }

    fn new(root: &str, files: impl Iterator<Item = (Vec<String>, String)>) -> Self {
        let declared = regex(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?mod (\w+);");
        let modules: BTreeSet<String> = declared
            .captures_iter(root)
            .map(|found| found[1].to_owned())
            .collect();
        // Names that the root takes from its modules, such as `pub use job::Job`.
        let mut homes: BTreeMap<String, String> = BTreeMap::new();
        for path in paths(root) {
            let path = match path.first().map(String::as_str) {
                Some("crate" | "self") => &path[1..],
                _ => &path[..],
            };
            if let [module, .., name] = path
                && modules.contains(module)
            {
                homes.insert(name.clone(), module.clone());
            }
        }
        let mut uses: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (module, text) in files {
            let Some(user) = module.first() else { continue };
            for path in paths(&text) {
                let Some(used) = absolute(&module, &path)
                    .first()
                    .map(|first| homes.get(first).unwrap_or(first).clone())
                    .filter(|used| used != user && modules.contains(used))
                else {
                    continue;
                };
                let place = format!("{}: {}", module.join("::"), path.join("::"));
                uses.entry(user.clone())
                    .or_default()
                    .entry(used)
                    .or_insert(place);
            }
        }
        Self { modules, uses }
    }

    /// How many top modules there are.
    pub fn module_count(&self) -> usize {
        self.modules.len()
    }

    /// The groups of modules that use each other, each with the uses within it.
    pub fn cycles(&self) -> Vec<String> {
        let reach: BTreeMap<&str, BTreeSet<&str>> = self
            .modules
            .iter()
            .map(|module| (module.as_str(), self.reachable(module)))
            .collect();
        let mut seen = BTreeSet::new();
        let mut cycles = Vec::new();
        for module in self.modules.iter().map(String::as_str) {
            if !reach[module].contains(module) || !seen.insert(module) {
                continue;
            }
            let group: BTreeSet<&str> = reach[module]
                .iter()
                .copied()
                .filter(|other| reach[other].contains(module))
                .collect();
            seen.extend(&group);
            let mut lines = vec![format!("{group:?} use each other")];
            for user in &group {
                let within = self.uses[*user]
                    .iter()
                    .filter(|(used, _)| group.contains(used.as_str()));
                lines.extend(within.map(|(used, place)| format!("  {user} → {used} ({place})")));
            }
            cycles.push(lines.join("\n"));
        }
        cycles
    }

    fn reachable(&self, from: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![from];
        while let Some(module) = open.pop() {
            for used in self.uses.get(module).into_iter().flatten() {
                if found.insert(used.0.as_str()) {
                    open.push(used.0);
                }
            }
        }
        found
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// The modules below a folder, apart from the root, tests and programs.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !matches!(&*stem, "tests" | "bin") {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !matches!(&*stem, "lib" | "main")
            && !stem.ends_with("tests")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A text without comments and without the tests at its end.
fn production_code(text: &str) -> String {
    let comment = regex(r"(?m)//.*$");
    let tests = regex(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod \w+ \{");
    let text = comment.replace_all(text, "");
    match tests.find(&text) {
        Some(found) => text[..found.start()].to_owned(),
        None => text.into_owned(),
    }
}

/// The paths of a text: those of `use` with its groups taken apart, and those that begin with `crate`, `super` or `self`.
fn paths(text: &str) -> Vec<Vec<String>> {
    let imports = regex(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use ([^;]*);");
    let inline = regex(r"\b(?:crate|super|self)(?:::\w+)+");
    let mut found = Vec::new();
    for import in imports.captures_iter(text) {
        found.extend(members(&import[1]));
    }
    let rest = imports.replace_all(text, "");
    found.extend(inline.find_iter(&rest).map(|path| segments(path.as_str())));
    found
}

/// `a::{b, c::{d, e}}` → `a::b`, `a::c::d`, `a::c::e`.
fn members(import: &str) -> Vec<Vec<String>> {
    let Some((head, group)) = import.split_once('{') else {
        let path = import.split(" as ").next().unwrap_or_default();
        return vec![segments(path)];
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let mut depth = 0;
    let parts = group.split(|character| {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => (),
        }
        character == ',' && depth == 0
    });
    let head = segments(head);
    parts
        .filter(|part| !part.trim().is_empty())
        .flat_map(members)
        .map(|member| head.iter().cloned().chain(member).collect())
        .collect()
}

fn segments(path: &str) -> Vec<String> {
    path.split("::")
        .map(str::trim)
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A path from the root of the package; empty for one that leads out of it.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let mut home = module.to_vec();
    match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("self") => home.into_iter().chain(path[1..].iter().cloned()).collect(),
        Some("super") => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            home.truncate(module.len().saturating_sub(ups));
            home.extend(path[ups..].iter().cloned());
            home
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(root: &str, files: &[(&str, &str)]) -> ModuleGraph {
        let files = files
            .iter()
            .map(|(module, text)| (segments(module), production_code(text)));
        ModuleGraph::new(&production_code(root), files)
    }

    #[test]
    fn a_cycle_is_found_however_a_path_is_written() {
        let root = "mod a;\npub(crate) mod b;\nmod c;\npub use b::{Inner, Other as Another};\n";
        let writings = [
            "use crate::b::thing;",
            "use super::{c::{x, y}, b};",
            "fn f() { crate::b::thing() }",
            "use super::Inner;",
            "pub(crate) use crate::{\n    c::x,\n    b::{self, thing},\n};",
        ];
        for writing in writings {
            let found = graph(
                root,
                &[("a", writing), ("b::deep", "use super::super::a::f;")],
            );
            let cycles = found.cycles();
            assert_eq!(cycles.len(), 1, "{writing}");
            assert!(cycles[0].contains("a → b"), "{}", cycles[0]);
        }
    }

    #[test]
    fn parents_comments_and_tests_are_no_cycle() {
        let root = "mod a;\nmod b;\nfn own() {}\n";
        let files = [
            ("a", "use super::own;\n// crate::b::x\n"),
            ("a::deep", "use super::f;"),
            (
                "b",
                "use crate::a::f;\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n",
            ),
        ];
        assert!(graph(root, &files).cycles().is_empty());
        let files = [
            (
                "a",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::b::g;\n}\n",
            ),
            ("b", "use crate::a::f;"),
        ];
        assert!(graph(root, &files).cycles().is_empty());
    }
}
