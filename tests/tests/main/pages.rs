//! The pages of the repository: what they point to is there, and nothing points to what is elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Not ours, or made by builds and runs.
const PASSED_OVER: [&str; 4] = ["target", ".git", ".weft", ".work"];
/// Kinds of files whose text points to pages.
const TEXTS: [&str; 9] = ["rs", "md", "toml", "sql", "cql", "yaml", "yml", "js", "sh"];
/// How comments used to name pages that are not in the repository. In two halves, so that this file names none.
const ELSEWHERE: [(&str, &str); 10] = [
    ("design ", "section"),
    ("design\n", "section"),
    ("`reliability` ", "section"),
    ("`fabric` ", "reference"),
    ("`reference", "/"),
    ("reliability", ".md"),
    ("fabric", ".md"),
    ("style", ".md"),
    ("anchors", ".md"),
    ("ux", ".md"),
];

/// Every text file, relative to the repository, with its content.
fn texts() -> BTreeMap<PathBuf, String> {
    let mut texts = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = Path::new(REPOSITORY).join(&folder).read_dir();
        for entry in entries.expect("a folder of the repository") {
            let entry = entry.expect("an entry of a folder");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let kind = entry.file_type().expect("a type of an entry");
            if kind.is_dir() && !PASSED_OVER.contains(&name.as_str()) {
                folders.push(path);
            } else if kind.is_file() && is_text(&path) {
                let content = std::fs::read_to_string(entry.path());
                texts.insert(path, content.expect("a text in UTF-8"));
            }
        }
    }
    texts
}

fn is_text(path: &Path) -> bool {
    match path.extension() {
        Some(extension) => TEXTS.iter().any(|known| extension == *known),
        None => path.starts_with("scripts"),
    }
}

fn pages() -> Vec<(PathBuf, String)> {
    let pages = texts().into_iter();
    pages
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// The lines of a page outside of its code blocks, each with its number.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    page.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((index + 1, line))
    })
}

/// The texts between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Where the links of a line lead to.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1);
    targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The path that a quoted text names, up to its first placeholder; none where it names no path of the repository.
fn path_of(quoted: &str) -> Option<&Path> {
    let first = quoted.split_whitespace().next()?;
    let (top, _) = first.split_once('/')?;
    let is_top = !top.is_empty() && Path::new(REPOSITORY).join(top).is_dir();
    if !is_top || PASSED_OVER.contains(&top) {
        return None;
    }
    let fixed = match first.find(['<', '*', '…', '{']) {
        Some(at) => &first[..first[..at].rfind('/')?],
        None => first,
    };
    Some(Path::new(fixed))
}

fn exists(path: &Path) -> bool {
    Path::new(REPOSITORY).join(path).exists()
}

#[test]
fn every_path_and_link_of_a_page_exists() {
    let mut missing = Vec::new();
    for (page, text) in pages() {
        let folder = page.parent().unwrap_or(Path::new(""));
        for (number, line) in prose(&text) {
            let mut check = |path: &Path| {
                if !exists(path) {
                    missing.push(format!("{}:{number}: {}", page.display(), path.display()));
                }
            };
            quoted(line).filter_map(path_of).for_each(&mut check);
            for target in links(line).filter(|target| !target.contains("://")) {
                let file = target.split('#').next().unwrap_or_default();
                check(&folder.join(file));
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn links_lead_to_headings_that_are_there() {
    let headings = |text: &str| -> Vec<String> {
        let lines = prose(text).filter(|(_, line)| line.starts_with('#'));
        lines
            .map(|(_, line)| anchor(line.trim_start_matches('#').trim()))
            .collect()
    };
    let mut missing = Vec::new();
    for (page, text) in pages() {
        let folder = page.parent().unwrap_or(Path::new(""));
        for (number, line) in prose(&text) {
            for target in links(line).filter(|target| !target.contains("://")) {
                let Some((file, wanted)) = target.split_once('#') else {
                    continue;
                };
                let other = match file {
                    "" => text.clone(),
                    file => std::fs::read_to_string(Path::new(REPOSITORY).join(folder).join(file))
                        .unwrap_or_default(),
                };
                if !headings(&other).iter().any(|heading| heading == wanted) {
                    missing.push(format!("{}:{number}: {target}", page.display()));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no such heading:\n{}",
        missing.join("\n")
    );
}

/// The anchor of a heading, as renderers of Markdown make it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn nothing_points_to_pages_that_are_elsewhere() {
    let names: Vec<String> = ELSEWHERE
        .iter()
        .map(|(start, end)| format!("{start}{end}"))
        .collect();
    let mut found = Vec::new();
    for (path, text) in texts() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            // A comment may be broken between the two words.
            let next = lines.get(index + 1).copied().unwrap_or_default();
            let next = next.trim_start_matches(['/', '!', '#', '-', ' ']);
            let both = format!("{line}\n{next}");
            if names
                .iter()
                .any(|name| line.contains(name) || (name.contains('\n') && both.contains(name)))
            {
                found.push(format!("{}:{}: {line}", path.display(), index + 1));
            }
        }
    }
    assert!(found.is_empty(), "elsewhere:\n{}", found.join("\n"));
}

#[test]
fn the_architecture_fits_its_page() {
    let page = std::fs::read_to_string(Path::new(REPOSITORY).join("ARCHITECTURE.md"))
        .expect("ARCHITECTURE.md");
    assert!(page.lines().count() <= 200, "at most 200 lines");
    for (index, line) in page.lines().enumerate() {
        let length = line.chars().count();
        assert!(length <= 120, "line {} has {length} characters", index + 1);
    }
    let manifest =
        std::fs::read_to_string(Path::new(REPOSITORY).join("Cargo.toml")).expect("Cargo.toml");
    let members = manifest
        .split_once("members = [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(members, _)| members)
        .expect("the workspace has members");
    for member in members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
    {
        let is_named = page.contains(&format!("{member}/"));
        assert!(
            member.is_empty() || is_named,
            "the map does not have {member}"
        );
    }
}

#[test]
fn each_guide_lists_its_files_in_order() {
    let page = std::fs::read_to_string(Path::new(REPOSITORY).join("docs/contributing.md"))
        .expect("docs/contributing.md");
    let guides: Vec<&str> = page.split("\n## Add ").skip(1).collect();
    let titles: Vec<&str> = guides
        .iter()
        .filter_map(|guide| guide.lines().next())
        .collect();
    let wanted = [
        "a command",
        "a job kind",
        "an interface type",
        "an actor",
        "a store verb",
    ];
    assert_eq!(titles, wanted);
    for (title, guide) in titles.into_iter().zip(guides) {
        let guide = guide.split("\n## ").next().unwrap_or_default();
        let steps = guide
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
        let mut number = 0;
        for step in steps {
            number += 1;
            assert!(step.starts_with(&format!("{number}. `")), "{title}: {step}");
            let path = quoted(step).next().and_then(path_of);
            assert!(path.is_some(), "{title}: step {number} names no file");
        }
        assert!(number >= 3, "{title}: {number} steps");
    }
}

#[test]
fn paths_end_at_placeholders() {
    let check = |quoted: &str, expected: Option<&str>| {
        assert_eq!(path_of(quoted), expected.map(Path::new), "{quoted}");
    };
    check("docs/design/values.md", Some("docs/design/values.md"));
    check("scripts/bench --runs 2", Some("scripts/bench"));
    check("tests/transcripts/<name>.txt", Some("tests/transcripts"));
    check("docs/*.md", Some("docs"));
    check("application/json", None);
    check("settle", None);
    check("<data>/scratch/", None);
}

/// The code spans of a page.
fn spans(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

/// Those of `names` that no source file has.
fn missing_in_sources<'n>(texts: &BTreeMap<PathBuf, String>, names: &[&'n str]) -> Vec<&'n str> {
    let is_source = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let sources: Vec<&String> = texts
        .iter()
        .filter(|(path, _)| is_source(path))
        .map(|(_, text)| text)
        .collect();
    let is_missing = |name: &&&str| !sources.iter().any(|text| text.contains(**name));
    names.iter().filter(is_missing).copied().collect()
}

fn is_constant(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.len() > 3 && name.chars().all(is_part)
}

#[test]
fn the_constants_that_the_bounds_name_exist() {
    let texts = texts();
    let bounds = &texts[Path::new("docs/design/bounds.md")];
    let named: Vec<&str> = spans(bounds).filter(|name| is_constant(name)).collect();
    assert!(named.len() > 20, "{named:?}");
    assert_eq!(missing_in_sources(&texts, &named), [""; 0]);
}

/// The last cell of a row of a table on a page, if the row has three cells or more.
fn last_cell(line: &str) -> Option<&str> {
    let cells: Vec<&str> = line
        .strip_prefix('|')?
        .strip_suffix('|')?
        .split('|')
        .collect();
    cells.last().filter(|_| cells.len() > 2).copied()
}

#[test]
fn the_constants_of_a_bound_are_in_the_files_named_beside_them() {
    let texts = texts();
    let bounds = &texts[Path::new("docs/design/bounds.md")];
    let (mut missing, mut checked) = (Vec::new(), 0);
    let mut above: Vec<&String> = Vec::new();
    for (number, line) in prose(bounds) {
        let Some(cell) = last_cell(line) else {
            above.clear();
            continue;
        };
        let files: Vec<&String> = quoted(cell)
            .filter_map(|name| texts.get(path_of(name)?))
            .collect();
        // "same file" is the one of the row above.
        if !files.is_empty() && !cell.contains("same") {
            above = files;
        } else {
            above.extend(files);
        }
        for name in quoted(cell).filter(|name| is_constant(name)) {
            checked += 1;
            if !above.iter().any(|text| text.contains(&format!("{name}:"))) {
                missing.push(format!("line {number}: {name}"));
            }
        }
    }
    assert!(checked > 40, "{checked}");
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}

#[test]
fn the_tests_that_the_promises_name_exist() {
    let texts = texts();
    // The name of a test is a sentence.
    let is_sentence = |name: &&str| {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        name.matches('_').count() > 2 && name.chars().all(is_part)
    };
    for page in ["docs/guarantees.md", "docs/requirements.md"] {
        let spans = spans(&texts[Path::new(page)]);
        let names = spans.map(|span| span.rsplit("::").next().unwrap_or(span));
        let named: Vec<&str> = names.filter(is_sentence).collect();
        assert!(named.len() > 5, "{page}: {named:?}");
        assert_eq!(missing_in_sources(&texts, &named), [""; 0], "{page}");
    }
}
