//! The file `config.ini`: sections of `KEY=value`, each with its line number.

use std::collections::BTreeMap;
use std::path::Path;

use ini::{Ini, ParseOption};

use super::entry::Entry;
use super::problem::{Origin, Problem};

/// The entries of a config.ini, and the problems in it.
pub(super) fn parse(path: &Path, text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let at = |line| Origin::File {
        path: path.to_owned(),
        line,
    };
    let options = ParseOption {
        enabled_escape: false,
        enabled_quote: true,
        ..ParseOption::default()
    };
    let ini = match Ini::load_from_str_opt(text, options) {
        Ok(ini) => ini,
        Err(error) => {
            let problem = Problem {
                origin: at(error.line),
                key: String::new(),
                message: format!("cannot be read: {}", error.msg),
                hint: Some("write `[section]` and `KEY=value`".to_owned()),
            };
            return (Vec::new(), vec![problem]);
        }
    };
    let lines = lines_of(text);
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for (section, properties) in &ini {
        let section = section.unwrap_or_default().trim();
        let mut seen = BTreeMap::new();
        for (key, value) in properties {
            let nth = seen.entry(folded(key)).or_insert(0_usize);
            let found = lines.get(&(folded(section), folded(key)));
            let line = found
                .and_then(|lines| lines.get(*nth))
                .copied()
                .unwrap_or(0);
            *nth += 1;
            if *nth > 1 {
                problems.push(Problem {
                    origin: at(line),
                    key: super::keys::label(section, key),
                    message: "is given twice".to_owned(),
                    hint: Some("keep one of the lines".to_owned()),
                });
                continue;
            }
            entries.push(Entry {
                section: section.to_owned(),
                key: key.to_owned(),
                value: value.trim().to_owned(),
                origin: at(line),
            });
        }
    }
    (entries, problems)
}

/// The line numbers of each key, because the parser keeps only values.
fn lines_of(text: &str) -> BTreeMap<(String, String), Vec<usize>> {
    let mut lines: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    let mut section = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = folded(name.split(']').next().unwrap_or_default().trim());
        } else if let Some((key, _)) = line.split_once(['=', ':']) {
            let key = folded(key.trim());
            lines
                .entry((section.clone(), key))
                .or_default()
                .push(index + 1);
        }
    }
    lines
}

fn folded(text: &str) -> String {
    text.to_ascii_uppercase()
}
