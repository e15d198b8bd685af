//! Placeholders for what differs from run to run: ids, times, durations, paces and folders.

use std::path::Path;

use regex::{Captures, Regex};
use serde_json::{Value, json};

const UUID: &str = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
const TIME: &str = r"\b[12]\d{3}[- ]\d\d[- ]\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d{4}|Z)?";
/// A duration in milliseconds in a line of a trace.
const MILLIS: &str = r"\b(\w*ms)=\d+";
/// Prefixes of ids that are the same in every run: the one in the help, and those invented in transcripts.
const FIXED: [&str; 2] = ["35408af6-b26a-4243-bc95-f114335bfa5e", "00000000-"];
/// How JOBSTATUS writes "never".
const EPOCH: &str = "1970 01 01 00:00:00";

/// Columns whose values differ in each run, with their placeholders.
const COLUMNS: [(&str, &str); 12] = [
    ("Duration", "<duration>"),
    ("Remaining dur.", "<duration>"),
    ("Ent./sec (pace)", "<pace>"),
    ("Ent./sec (avg.)", "<pace>"),
    ("Time at work (ms)", "<ms>"),
    ("Duration (ms)", "<ms>"),
    ("For (ms)", "<ms>"),
    ("Process time (ms)", "<ms>"),
    ("Entity time p50 (ms)", "<ms>"),
    ("Entity time p90 (ms)", "<ms>"),
    ("Entity time p99 (ms)", "<ms>"),
    ("Entity time max (ms)", "<ms>"),
];
/// Columns that describe the machine or the version, with their placeholders.
const MACHINE: [(&str, &str); 2] = [("IPs", "<ips>"), ("Version", "<version>")];

/// Replaces what differs from run to run. Ids are numbered in the order of their first appearance, from `<id 1>`.
#[derive(Clone, Debug)]
pub struct Redactor {
    uuid: Regex,
    time: Regex,
    millis: Regex,
    ids: Vec<String>,
    folders: Vec<(String, String)>,
}

impl Redactor {
    /// A redactor that has seen no id and replaces each of `folders` by its placeholder.
    pub fn new(folders: &[(&Path, &str)]) -> Self {
        Self {
            uuid: Regex::new(UUID).expect("a sound pattern"),
            time: Regex::new(TIME).expect("a sound pattern"),
            millis: Regex::new(MILLIS).expect("a sound pattern"),
            ids: Vec::new(),
            folders: folders
                .iter()
                .map(|(path, name)| (path.display().to_string(), (*name).to_owned()))
                .collect(),
        }
    }

    /// Redacts a text.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (path, name) in &self.folders {
            text = text.replace(path, name);
        }
        let ids = &mut self.ids;
        let text = self.uuid.replace_all(&text, |found: &Captures<'_>| {
            let id = &found[0];
            if FIXED.iter().any(|fixed| id.starts_with(fixed)) {
                return id.to_owned();
            }
            let known = ids.iter().position(|known| known == id);
            let index = known.unwrap_or_else(|| {
                ids.push(id.to_owned());
                ids.len() - 1
            });
            format!("<id {}>", index + 1)
        });
        let text = self.millis.replace_all(&text, "$1=<ms>");
        self.time
            .replace_all(&text, |found: &Captures<'_>| match &found[0] {
                EPOCH => EPOCH.to_owned(),
                _ => "<time>".to_owned(),
            })
            .into_owned()
    }

    /// Redacts a row of a table with these columns.
    pub fn row(&mut self, columns: &[String], row: &[Value]) -> Vec<Value> {
        let mut redacted = Vec::new();
        for (index, value) in row.iter().enumerate() {
            // BATCH_INFO has the column names in its first column.
            let name = match (columns, row) {
                ([first, _], [Value::String(name), _]) if first == "Name" => name.as_str(),
                _ => columns.get(index).map_or("", String::as_str),
            };
            let is_value = columns.get(index).is_none_or(|column| column != "Name");
            let known = COLUMNS
                .iter()
                .chain(&MACHINE)
                .find(|(column, _)| *column == name);
            redacted.push(match (known, value) {
                (Some((_, shown)), value) if is_value && !value.is_null() && value != "--" => {
                    json!(shown)
                }
                (_, Value::String(text)) => json!(self.text(text)),
                (_, value) => value.clone(),
            });
        }
        redacted
    }

    /// Replaces the placeholders in the text of a step by the ids and folders that they stand for.
    ///
    /// # Errors
    /// The text refers to an id that has not been printed.
    pub fn fill(&self, text: &str) -> anyhow::Result<String> {
        let mut text = text.to_owned();
        for (path, name) in &self.folders {
            text = text.replace(name, path);
        }
        for (index, id) in self.ids.iter().enumerate().rev() {
            text = text.replace(&format!("<id {}>", index + 1), id);
        }
        anyhow::ensure!(!text.contains("<id "), "not printed before: {text}");
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ids_stay_equal_and_never_stays_never() {
        let mut redactor = Redactor::new(&[(Path::new("/tmp/x"), "<project>")]);
        let (one, two) = (
            "25408af6-b26a-4243-bc95-f114335bfa5e",
            "45408af6-b26a-4243-bc95-f114335bfa5e",
        );
        let text = format!(
            "{one} {two} {one} /tmp/x/a 2026-01-02 03:04:05.678 {EPOCH} 1999-01-01 late_ms=17"
        );
        let expected =
            format!("<id 1> <id 2> <id 1> <project>/a <time> {EPOCH} 1999-01-01 late_ms=<ms>");
        assert_eq!(redactor.text(&text), expected);
        assert_eq!(
            redactor.fill("'<id 2>'").expect("known"),
            format!("'{two}'")
        );
    }
}
