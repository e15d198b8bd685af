//! Reads the fields of a YAML map by name and type, and reports unknown ones.

use std::borrow::Cow;

use super::finding::{Findings, Spot, nearest};
use super::yaml::{Entry, Node, Yaml};

/// A reader of one map.
#[derive(Debug)]
pub struct Fields<'a> {
    findings: &'a Findings,
    spot: Spot,
    entries: &'a [Entry],
    known: Vec<Cow<'static, str>>,
}

impl<'a> Fields<'a> {
    /// The fields of `node`. If it is not a map, that is an error and there are no fields.
    pub fn new(node: &'a Node, spot: Spot, findings: &'a Findings) -> Self {
        let entries = match &node.value {
            Yaml::Map(entries) => entries.as_slice(),
            Yaml::Null => &[],
            other => {
                findings.add(&spot, format!("must be a map, not {}", other.kind()));
                &[]
            }
        };
        Self {
            findings,
            spot,
            entries,
            known: Vec::new(),
        }
    }

    /// The location of a field; of the map if it lacks the field.
    pub fn spot(&self, name: &str) -> Spot {
        let found = self.entries.iter().find(|entry| entry.key == name);
        let line = found.map_or(self.spot.line, |entry| entry.line);
        inner(&self.spot, name, line)
    }

    /// Reads a field of any type.
    pub fn node(&mut self, name: impl Into<Cow<'static, str>>) -> Option<&'a Node> {
        let name = name.into();
        let found = self.entries.iter().find(|entry| entry.key == name);
        self.known.push(name);
        let found = found?;
        (found.node.value != Yaml::Null).then_some(&found.node)
    }

    /// Reads a text.
    pub fn text(&mut self, name: impl Into<Cow<'static, str>>) -> Option<&'a str> {
        let name = name.into();
        match &self.node(name.clone())?.value {
            Yaml::Text(text) => Some(text),
            other => {
                let message = format!("must be a text, not {}", other.kind());
                self.findings.add(&self.spot(&name), message);
                None
            }
        }
    }

    /// Reads a required text.
    pub fn required(&mut self, name: &'static str) -> Option<&'a str> {
        if self.node(name).is_none() {
            self.findings.add(&self.spot(name), "is missing");
            return None;
        }
        self.text(name)
    }

    /// Reads a whole number from `from` to `to`.
    pub fn number(&mut self, name: &'static str, from: u64, to: u64) -> Option<u64> {
        let text = self.text(name)?;
        let number = text
            .parse()
            .ok()
            .filter(|number| (from..=to).contains(number));
        if number.is_none() {
            let message = format!("must be a whole number from {from} to {to}, not `{text}`");
            self.findings.add(&self.spot(name), message);
        }
        number
    }

    /// Reads a list of texts. A single text is a list with one element.
    pub fn texts(&mut self, name: &'static str) -> Vec<(&'a str, Spot)> {
        let Some(node) = self.node(name) else {
            return Vec::new();
        };
        let spot = self.spot(name);
        let items = match &node.value {
            Yaml::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut texts = Vec::new();
        for item in items {
            let spot = Spot {
                line: item.line,
                ..spot.clone()
            };
            match &item.value {
                Yaml::Text(text) => texts.push((text.as_str(), spot)),
                other => {
                    let message = format!("must be a list of texts, not {}", other.kind());
                    self.findings.add(&spot, message);
                }
            }
        }
        texts
    }

    /// Reads a map whose keys the project chooses.
    pub fn entries(&mut self, name: &'static str) -> Vec<(&'a Entry, Spot)> {
        let Some(node) = self.node(name) else {
            return Vec::new();
        };
        let spot = self.spot(name);
        match &node.value {
            Yaml::Map(entries) => entries
                .iter()
                .map(|entry| (entry, inner(&spot, &entry.key, entry.line)))
                .collect(),
            other => {
                let message = format!("must be a map, not {}", other.kind());
                self.findings.add(&spot, message);
                Vec::new()
            }
        }
    }

    /// Reports the fields that were not read as unknown.
    pub fn finish(self) {
        for entry in self.entries {
            let key = entry.key.as_str();
            if !self.known.iter().any(|known| known == key) {
                let spot = inner(&self.spot, key, entry.line);
                let nearest = nearest(key, self.known.iter().map(AsRef::as_ref));
                self.findings.add_near(&spot, "unknown field", nearest);
            }
        }
    }
}

fn inner(spot: &Spot, name: &str, line: usize) -> Spot {
    let field = if spot.field.is_empty() {
        name.to_owned()
    } else {
        format!("{}.{name}", spot.field)
    };
    Spot {
        file: spot.file.clone(),
        line,
        field,
    }
}
