//! The values that links can use at one position of a run: inputs, outputs of actors, rows of enclosing loops.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use super::expression::Lookup;
use super::value::json_bytes;

/// The most JSON that a run may keep at once, loops included, in bytes.
pub(crate) const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// Counts the bytes that a run keeps.
#[derive(Debug, Default)]
pub(crate) struct KeptBytes(AtomicUsize);

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub(crate) struct CountedBytes<'a> {
    kept: &'a KeptBytes,
    bytes: usize,
}

impl KeptBytes {
    /// Counts bytes that are kept from now on. They count even if they exceed the limit.
    ///
    /// # Errors
    /// The run keeps too much.
    pub(crate) fn count(&self, bytes: usize) -> (CountedBytes<'_>, Result<(), String>) {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let fits = match before + bytes > KEPT_BYTES {
            true => Err(format!(
                "the flow keeps more than {} MiB of outputs at a time",
                KEPT_BYTES / 1024 / 1024
            )),
            false => Ok(()),
        };
        (CountedBytes { kept: self, bytes }, fits)
    }
}

impl Drop for CountedBytes<'_> {
    fn drop(&mut self) {
        self.kept.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Values by name, inside an enclosing scope.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    enclosing: Option<&'a Scope<'a>>,
    values: BTreeMap<String, Value>,
    kept: &'a KeptBytes,
    counted: Vec<CountedBytes<'a>>,
}

impl<'a> Scope<'a> {
    /// An empty outermost scope.
    pub(crate) fn new(kept: &'a KeptBytes) -> Self {
        Self {
            enclosing: None,
            values: BTreeMap::new(),
            kept,
            counted: Vec::new(),
        }
    }

    /// An empty scope inside another.
    pub(crate) fn within(enclosing: &'a Scope<'_>) -> Scope<'a> {
        Scope {
            enclosing: Some(enclosing),
            values: BTreeMap::new(),
            kept: enclosing.kept,
            counted: Vec::new(),
        }
    }

    /// Keeps a value.
    ///
    /// # Errors
    /// The run keeps too much.
    pub(crate) fn keep(&mut self, name: &str, value: Value) -> Result<(), String> {
        let (counted, fits) = self.kept.count(json_bytes(&value));
        self.counted.push(counted);
        fits?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Keeps several values.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub(crate) fn keep_all(&mut self, values: Map<String, Value>) -> Result<(), String> {
        values
            .into_iter()
            .try_for_each(|(name, value)| self.keep(&name, value))
    }

    /// Takes the values of this scope, without those of enclosing scopes.
    pub(crate) fn take(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.values).into_iter().collect()
    }
}

impl Lookup for Scope<'_> {
    fn find(&self, name: &str) -> Option<&Value> {
        match (self.values.get(name), self.enclosing) {
            (Some(value), _) => Some(value),
            (None, Some(enclosing)) => enclosing.find(name),
            (None, None) => None,
        }
    }
}
