//! The ids that a batch already has, as 128-bit hashes: a limited number of them in memory, the rest in a scratch file of
//! fixed buckets.
//!
//! New hashes gather in memory and go to the file many at a time, in the order of its buckets. A filter says of
//! most ids that they are not in the file, so a list without duplicates is hardly ever read back.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The most hashes in memory: 2 MiB, and as much for the filter once there is a file.
const IN_MEMORY: usize = 2 * 1024 * 1024 / 16;
/// A bucket of the file: a page of 256 hashes, filled from the front. Zero is a free place.
const BUCKET_BYTES: usize = 4096;
const PER_BUCKET: usize = BUCKET_BYTES / 16;
/// The file grows when it has this many hashes per bucket on average.
const FULL_AT: u64 = (PER_BUCKET as u64) * 7 / 10;
/// Enough for 180,000 ids before the first growth. Growing writes the file once more in order, which costs less
/// than many writes to pages that hold little.
const FIRST_BUCKETS: u64 = 1024;

/// A set of ids that can only grow.
#[derive(Debug)]
pub struct KnownIds {
    scratch: PathBuf,
    /// All hashes; once there is a file, those since the last spill.
    memory: Vec<u128>,
    in_memory: usize,
    limit: usize,
    first_buckets: u64,
    spilled: Option<Spilled>,
}

/// The hashes that did not fit in memory.
#[derive(Debug)]
struct Spilled {
    filter: Filter,
    file: Buckets,
}

impl KnownIds {
    /// An empty set whose overflow goes to a file at `scratch`.
    pub fn new(scratch: PathBuf) -> Self {
        Self::with_sizes(scratch, IN_MEMORY, FIRST_BUCKETS)
    }

    fn with_sizes(scratch: PathBuf, limit: usize, first_buckets: u64) -> Self {
        Self {
            scratch,
            memory: Vec::new(),
            in_memory: 0,
            limit,
            first_buckets,
            spilled: None,
        }
    }

    /// Adds an id. Returns whether it is new.
    ///
    /// # Errors
    /// The scratch file cannot be read or written.
    pub fn insert(&mut self, id: &str) -> io::Result<bool> {
        // Zero marks a free place.
        let hash = weft_model::hash::wide(id).max(1);
        // Make room first: hashes that are spilled now must be looked up in the file.
        if self.in_memory * 4 >= self.memory.len() * 3 {
            self.make_room()?;
        }
        if let Some(spilled) = &self.spilled
            && spilled.filter.may_have(hash)
            && spilled.file.has(hash)?
        {
            return Ok(false);
        }
        let new = insert_hash(&mut self.memory, hash);
        self.in_memory += usize::from(new);
        Ok(new)
    }

    /// Grows the table, or spills it to the file.
    fn make_room(&mut self) -> io::Result<()> {
        if self.spilled.is_none() && self.memory.len() < self.limit {
            self.grow();
            return Ok(());
        }
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled {
                filter: Filter::with_bytes(self.limit * 16),
                file: Buckets::create(&self.scratch, self.first_buckets)?,
            }),
        };
        // In the order of the buckets; free places come first.
        self.memory.sort_unstable();
        let from = self.memory.partition_point(|hash| *hash == 0);
        for hash in &self.memory[from..] {
            spilled.filter.add(*hash);
        }
        spilled.file.add(&self.memory[from..])?;
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

impl Drop for KnownIds {
    fn drop(&mut self) {
        if self.spilled.take().is_some() {
            // The file is of no use after this: a takeover rebuilds it from the chunks.
            let _ = std::fs::remove_file(&self.scratch);
        }
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

/// Two bits for each hash. If one of them is missing, the hash was never added.
#[derive(Debug)]
struct Filter(Vec<u64>);

impl Filter {
    fn with_bytes(bytes: usize) -> Self {
        Self(vec![0; (bytes / 8).max(1)])
    }

    /// The places of a hash: (word, bit) from each half of its low half.
    fn places(&self, hash: u128) -> [(usize, u64); 2] {
        let place = |part: u128| {
            let part = usize::try_from(part & 0xffff_ffff).unwrap_or(0);
            (part / 64 % self.0.len(), 1 << (part % 64))
        };
        [place(hash), place(hash >> 32)]
    }

    fn add(&mut self, hash: u128) {
        for (word, bit) in self.places(hash) {
            self.0[word] |= bit;
        }
    }

    fn may_have(&self, hash: u128) -> bool {
        self.places(hash)
            .iter()
            .all(|(word, bit)| self.0[*word] & bit != 0)
    }
}

#[derive(Debug)]
struct Buckets {
    file: File,
    path: PathBuf,
    buckets: u64,
    count: u64,
}

/// A bucket in memory.
struct Page {
    bucket: u64,
    bytes: [u8; BUCKET_BYTES],
    used: usize,
    changed: bool,
}

impl Page {
    /// Adds a hash if the page has room. Returns whether it did.
    fn add(&mut self, hash: u128) -> bool {
        let Some(place) = self.bytes[self.used * 16..].first_chunk_mut() else {
            return false;
        };
        *place = hash.to_le_bytes();
        self.used += 1;
        self.changed = true;
        true
    }

    fn is_full(&self) -> bool {
        self.used == PER_BUCKET
    }
}

impl Buckets {
    fn create(path: &Path, buckets: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.set_len(buckets * BUCKET_BYTES as u64)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            buckets,
            count: 0,
        })
    }

    /// The high half says which part of the file: hashes in order are buckets in order, and doubling
    /// splits each bucket into two neighbours.
    fn bucket_of(&self, hash: u128) -> u64 {
        let scaled = ((hash >> 64) * u128::from(self.buckets)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    fn load(&self, bucket: u64) -> io::Result<Page> {
        let mut bytes = [0; BUCKET_BYTES];
        self.file
            .read_exact_at(&mut bytes, bucket * BUCKET_BYTES as u64)?;
        let used = entries(&bytes).take_while(|entry| *entry != 0).count();
        Ok(Page {
            bucket,
            bytes,
            used,
            changed: false,
        })
    }

    fn store(&self, page: &Page) -> io::Result<()> {
        if page.changed {
            let offset = page.bucket * BUCKET_BYTES as u64;
            self.file
                .write_all_at(&page.bytes[..page.used * 16], offset)?;
        }
        Ok(())
    }

    fn has(&self, hash: u128) -> io::Result<bool> {
        let mut bucket = self.bucket_of(hash);
        // The file is never full, so a bucket with a free place comes.
        loop {
            let page = self.load(bucket)?;
            if entries(&page.bytes)
                .take(page.used)
                .any(|entry| entry == hash)
            {
                return Ok(true);
            }
            if !page.is_full() {
                return Ok(false);
            }
            bucket = (bucket + 1) % self.buckets;
        }
    }

    /// Adds hashes that it does not have, in their order.
    fn add(&mut self, hashes: &[u128]) -> io::Result<()> {
        while self.count + hashes.len() as u64 > self.buckets * FULL_AT {
            self.double()?;
        }
        self.append(hashes)
    }

    fn append(&mut self, hashes: &[u128]) -> io::Result<()> {
        let Some(first) = hashes.first() else {
            return Ok(());
        };
        let mut page = self.load(self.bucket_of(*first))?;
        for &hash in hashes {
            let mut bucket = self.bucket_of(hash);
            loop {
                if page.bucket != bucket {
                    self.store(&page)?;
                    page = self.load(bucket)?;
                }
                if page.add(hash) {
                    break;
                }
                bucket = (bucket + 1) % self.buckets;
            }
            self.count += 1;
        }
        self.store(&page)
    }

    fn double(&mut self) -> io::Result<()> {
        let path = self.path.with_extension("growing");
        let mut larger = Self::create(&path, self.buckets * 2)?;
        for bucket in 0..self.buckets {
            let page = self.load(bucket)?;
            let mut hashes: Vec<u128> = entries(&page.bytes).take(page.used).collect();
            hashes.sort_unstable();
            larger.append(&hashes)?;
        }
        std::fs::rename(&path, &self.path)?;
        self.file = larger.file;
        self.buckets = larger.buckets;
        self.count = larger.count;
        Ok(())
    }
}

fn entries(page: &[u8; BUCKET_BYTES]) -> impl Iterator<Item = u128> + '_ {
    page.chunks_exact(16).map(|entry| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(entry);
        u128::from_le_bytes(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_in_memory_and_in_the_file() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("known");
        // A memory of 1,024 places, so that the file is used and doubles several times.
        let mut known = KnownIds::with_sizes(path.clone(), 1_024, 256);
        for id in 0..200_000 {
            assert!(
                known.insert(&format!("id-{id}")).expect("insert"),
                "id-{id} is new"
            );
            if id % 7 == 0 {
                assert!(!known.insert(&format!("id-{}", id / 2)).expect("insert"));
            }
        }
        assert!(
            known
                .spilled
                .as_ref()
                .is_some_and(|spilled| spilled.file.buckets > 256)
        );
        for id in (0..200_000).step_by(1_013) {
            assert!(!known.insert(&format!("id-{id}")).expect("insert"));
        }
        assert!(path.exists());
        drop(known);
        assert!(!path.exists(), "the scratch file goes with the set");
    }

    #[test]
    fn an_id_that_comes_again_at_once_is_known_also_when_memory_is_just_spilled() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let mut known = KnownIds::with_sizes(folder.path().join("known"), 1_024, 256);
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
