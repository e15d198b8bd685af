//! What happened, in order: a hash to compare runs by, and the last lines to read.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

const LINES_KEPT: usize = 4_000;

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hasher: DefaultHasher,
    lines: VecDeque<String>,
    count: u64,
    keep: bool,
    keep_all: bool,
}

impl Trace {
    /// Empty. `keep` also keeps the last lines.
    pub fn new(keep: bool) -> Self {
        Self {
            // Its keys are fixed, so equal traces have equal hashes in every process.
            hasher: DefaultHasher::new(),
            lines: VecDeque::new(),
            count: 0,
            keep,
            keep_all: keep && std::env::var_os("WEFT_SIM_READS").is_some(),
        }
    }

    /// Something happened at `now`, in simulated milliseconds, that is only counted and hashed.
    pub fn count(&mut self, now: u64, who: &str, what: &str, detail: &str) {
        self.count += 1;
        self.hasher.write_u64(now);
        for part in [who, what, detail] {
            self.hasher.write(part.as_bytes());
            self.hasher.write_u8(0xff);
        }
        if self.keep_all {
            self.keep(now, who, what, detail);
        }
    }

    /// Something happened at `now`, in simulated milliseconds, that people want to read.
    pub fn note(&mut self, now: u64, who: &str, what: &str, detail: &str) {
        let kept = std::mem::replace(&mut self.keep_all, false);
        self.count(now, who, what, detail);
        self.keep_all = kept;
        self.keep(now, who, what, detail);
    }

    fn keep(&mut self, now: u64, who: &str, what: &str, detail: &str) {
        if self.keep {
            if self.lines.len() >= LINES_KEPT {
                self.lines.pop_front();
            }
            self.lines.push_back(format!(
                "{:>9.3} {who:<6} {what:<18} {detail}",
                f64::from(u32::try_from(now).unwrap_or(u32::MAX)) / 1_000.0
            ));
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How much happened.
    pub fn steps(&self) -> u64 {
        self.count
    }

    /// The last lines.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
