//! The file `node.id`: lines of `key: value` that identify a node.

use std::path::Path;

use super::entry::Entry;
use super::problem::{Origin, Problem};

/// The entries of a node.id, and the lines that cannot be read.
pub(super) fn parse(path: &Path, text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for (index, written) in text.lines().enumerate() {
        let line = written.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let origin = Origin::File {
            path: path.to_owned(),
            line: index + 1,
        };
        let Some((key, value)) = line.split_once(':') else {
            problems.push(Problem {
                origin,
                key: String::new(),
                message: format!("the line `{line}` cannot be read"),
                hint: Some("write `key: value`".to_owned()),
            });
            continue;
        };
        entries.push(Entry {
            section: "node".to_owned(),
            key: key.trim().to_owned(),
            value: unquoted(value.trim()).to_owned(),
            origin,
        });
    }
    (entries, problems)
}

fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(text)
}

/// The text of a new node.id.
pub(super) fn new_text(uuid: &str) -> String {
    format!(
        "# Who this node is. Kept from start to start; never copy it to another node.\n\
         uuid: {uuid}\n\
         # effective_ip: 10.21.2.102\n\
         # dc_name: DC1\n\
         # logical_id: blue:2-4\n\
         # cluster_id: prod1\n"
    )
}
