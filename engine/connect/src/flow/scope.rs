//! What links may lead to at one place of a run: inputs, what actors gave, the rows of loops around.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use super::expression::{Lookup, json_bytes};

/// What a run may keep of outputs at a time, loops and everything, as JSON.
pub(crate) const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// Counts what a run keeps.
#[derive(Debug, Default)]
pub(crate) struct Kept(AtomicUsize);

/// Counts outputs that no scope keeps yet, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    kept: &'a Kept,
    bytes: usize,
}

impl Kept {
    /// Counts so many bytes.
    ///
    /// # Errors
    /// There is too much already; then they are counted all the same until what holds them is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> (Held<'_>, Result<(), String>) {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let fits = match before + bytes > KEPT_BYTES {
            true => Err(format!(
                "the flow keeps more than {} MiB of outputs at a time",
                KEPT_BYTES / 1024 / 1024
            )),
            false => Ok(()),
        };
        (Held { kept: self, bytes }, fits)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.kept.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Values by name, within those of a scope around it.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    around: Option<&'a Scope<'a>>,
    values: BTreeMap<String, Value>,
    kept: &'a Kept,
    held: Vec<Held<'a>>,
}

impl<'a> Scope<'a> {
    /// An empty one.
    pub(crate) fn new(kept: &'a Kept) -> Self {
        Self {
            around: None,
            values: BTreeMap::new(),
            kept,
            held: Vec::new(),
        }
    }

    /// An empty one within another.
    pub(crate) fn within(around: &'a Scope<'_>) -> Scope<'a> {
        Scope {
            around: Some(around),
            values: BTreeMap::new(),
            kept: around.kept,
            held: Vec::new(),
        }
    }

    /// Keeps a value.
    ///
    /// # Errors
    /// There is too much already.
    pub(crate) fn keep(&mut self, name: &str, value: Value) -> Result<(), String> {
        let (held, fits) = self.kept.hold(json_bytes(&value));
        self.held.push(held);
        fits?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Keeps all of these.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub(crate) fn keep_all(&mut self, values: Map<String, Value>) -> Result<(), String> {
        values
            .into_iter()
            .try_for_each(|(name, value)| self.keep(&name, value))
    }

    /// What it keeps itself.
    pub(crate) fn take(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.values).into_iter().collect()
    }
}

impl Lookup for Scope<'_> {
    fn find(&self, name: &str) -> Option<&Value> {
        match (self.values.get(name), self.around) {
            (Some(value), _) => Some(value),
            (None, Some(around)) => around.find(name),
            (None, None) => None,
        }
    }
}
