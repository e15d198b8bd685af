//! The ids that a batch already has, as 128-bit hashes: a limited number of them in memory, the rest in scratch files.
//!
//! When the memory is full, its hashes become a sorted run in a file. Of every four runs of about the same size one is
//! made, so each hash is written a few times and a look-up has few runs to read. A filter says of most ids that they are
//! in no run.

mod filter;
mod run;

use std::io;
use std::path::{Path, PathBuf};

use filter::Filter;
use run::Run;

use crate::tasks::block_on_file;

/// The most hashes in memory: 2 MiB.
const IN_MEMORY: usize = 2 * 1024 * 1024 / 16;
/// So many runs of one tier become one of the next.
const RUNS_TO_MERGE: usize = 4;
/// The filter doubles until it has this size. It has 6.7 bits for each of 10 million ids, and then reads a run for about
/// one new id in fifteen.
const MAX_FILTER_BYTES: usize = 8 * 1024 * 1024;
/// The filter doubles when it has fewer bits per hash.
const FILTER_BITS: u64 = 8;

/// A set of ids that can only grow.
#[derive(Debug)]
pub struct KnownIds {
    scratch: PathBuf,
    /// All hashes; once there are runs, those since the last one.
    memory: Vec<u128>,
    in_memory: usize,
    limit: usize,
    spilled: Option<Spilled>,
}

/// The hashes that did not fit in memory.
#[derive(Debug)]
struct Spilled {
    filter: Filter,
    /// From the largest tier to the smallest.
    runs: Vec<Run>,
}

impl KnownIds {
    /// An empty set whose overflow goes to files in the folder `scratch`.
    pub fn new(scratch: PathBuf) -> Self {
        Self::with_limit(scratch, IN_MEMORY)
    }

    fn with_limit(scratch: PathBuf, limit: usize) -> Self {
        Self {
            scratch,
            memory: Vec::new(),
            in_memory: 0,
            limit,
            spilled: None,
        }
    }

    /// Adds an id. Returns whether it is new.
    ///
    /// # Errors
    /// A scratch file cannot be read or written.
    pub fn insert(&mut self, id: &str) -> io::Result<bool> {
        // Zero marks a free place.
        let hash = weft_model::hash::wide(id).max(1);
        // Make room first: hashes that are spilled now must be looked up in the file.
        if self.in_memory * 4 >= self.memory.len() * 3 {
            self.make_room()?;
        }
        // A look-up reads one page of a file that was just written, so it holds its thread for less time than handing
        // over the other tasks would take. With a hand-over for each, a batch of 6 million ids had 51 threads instead of 14.
        if let Some(spilled) = &self.spilled
            && spilled.filter.may_have(hash)
            && spilled.has(hash)?
        {
            return Ok(false);
        }
        let new = insert_hash(&mut self.memory, hash);
        self.in_memory += usize::from(new);
        Ok(new)
    }

    /// Grows the table, or spills it to a file.
    fn make_room(&mut self) -> io::Result<()> {
        if self.spilled.is_none() && self.memory.len() < self.limit {
            self.grow();
            return Ok(());
        }
        block_on_file(|| self.spill())
    }

    fn spill(&mut self) -> io::Result<()> {
        std::fs::create_dir_all(&self.scratch)?;
        let spilled = self.spilled.get_or_insert_with(|| Spilled {
            filter: Filter::with_bytes(self.limit * 16),
            runs: Vec::new(),
        });
        // Free places come first.
        self.memory.sort_unstable();
        let from = self.memory.partition_point(|hash| *hash == 0);
        spilled.add(&self.scratch, &self.memory[from..])?;
        self.memory.fill(0);
        self.in_memory = 0;
        Ok(())
    }

    fn grow(&mut self) {
        let size = (self.memory.len() * 2).clamp(1024.min(self.limit), self.limit);
        let old = std::mem::replace(&mut self.memory, vec![0; size]);
        for hash in old.into_iter().filter(|hash| *hash != 0) {
            insert_hash(&mut self.memory, hash);
        }
    }
}

impl Spilled {
    fn has(&self, hash: u128) -> io::Result<bool> {
        for run in &self.runs {
            if run.has(hash)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds hashes that it does not have, in their order.
    fn add(&mut self, folder: &Path, sorted: &[u128]) -> io::Result<()> {
        for hash in sorted {
            self.filter.add(*hash);
        }
        self.runs
            .push(Run::write(folder, 0, sorted.iter().copied().map(Ok))?);
        while let Some(tier) = self.full_tier() {
            let from = self.runs.partition_point(|run| run.tier() > tier);
            let merged = Run::merge(folder, &self.runs[from..])?;
            self.runs.truncate(from);
            self.runs.push(merged);
        }
        self.widen_filter()
    }

    /// The tier of the smallest runs, if there are enough of them to merge.
    fn full_tier(&self) -> Option<u32> {
        let tier = self.runs.last()?.tier();
        let runs = self.runs.iter().filter(|run| run.tier() == tier);
        (runs.count() >= RUNS_TO_MERGE).then_some(tier)
    }

    fn widen_filter(&mut self) -> io::Result<()> {
        let count: u64 = self.runs.iter().map(Run::count).sum();
        let bytes = self.filter.bytes();
        if bytes >= MAX_FILTER_BYTES || count * FILTER_BITS <= bytes as u64 * 8 {
            return Ok(());
        }
        let mut wider = Filter::with_bytes(bytes * 2);
        for run in &self.runs {
            for hash in run.hashes()? {
                wider.add(hash?);
            }
        }
        self.filter = wider;
        Ok(())
    }
}

/// Inserts a hash by linear probing, and returns whether it is new. The table always has a free place.
fn insert_hash(table: &mut [u128], hash: u128) -> bool {
    // Any part of the hash will do.
    let mut at = hash as usize % table.len();
    loop {
        if table[at] == hash {
            return false;
        }
        if table[at] == 0 {
            table[at] = hash;
            return true;
        }
        at = (at + 1) % table.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_in_memory_and_in_every_run() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("known");
        // A memory of 1,024 places, so that runs are merged several times and the filter doubles.
        let mut known = KnownIds::with_limit(path.clone(), 1_024);
        for id in 0..200_000 {
            assert!(
                known.insert(&format!("id-{id}")).expect("insert"),
                "id-{id} is new"
            );
            if id % 7 == 0 {
                assert!(!known.insert(&format!("id-{}", id / 2)).expect("insert"));
            }
        }
        let spilled = known.spilled.as_ref().expect("spilled");
        assert!(spilled.filter.bytes() > 1_024 * 16);
        let tiers: Vec<u32> = spilled.runs.iter().map(Run::tier).collect();
        assert!(tiers.is_sorted_by(|a, b| a >= b), "{tiers:?}");
        assert!(tiers[0] >= 3, "{tiers:?}");
        for tier in &tiers {
            let runs = tiers.iter().filter(|other| *other == tier).count();
            assert!(runs < RUNS_TO_MERGE, "{tiers:?}");
        }
        for id in (0..200_000).step_by(1_013) {
            assert!(!known.insert(&format!("id-{id}")).expect("insert"));
        }
        let left = std::fs::read_dir(&path).expect("the folder").count();
        assert_eq!(left, 0, "scratch files have no names");
    }

    #[test]
    fn an_id_that_comes_again_at_once_is_known_also_when_memory_is_just_spilled() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut known = KnownIds::with_limit(folder.path().join("known"), 1_024);
        for id in 0..20_000 {
            let id = format!("id-{id}");
            assert!(known.insert(&id).expect("insert"), "{id} is new");
            assert!(!known.insert(&id).expect("insert"), "{id} is known");
        }
    }

    #[test]
    fn a_small_set_needs_no_file() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("known");
        let mut known = KnownIds::new(path.clone());
        assert!(known.insert("a").expect("insert"));
        assert!(!known.insert("a").expect("insert"));
        assert!(known.insert("").expect("insert"), "the empty id is an id");
        assert!(!path.exists());
    }
}
