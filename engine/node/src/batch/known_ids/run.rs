//! Sorted hashes in an unnamed file.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

const HASH_BYTES: usize = 16;
/// A look-up reads one page.
const PAGE_HASHES: usize = 256;
const PAGE_BYTES: usize = PAGE_HASHES * HASH_BYTES;
const BUFFER_BYTES: usize = 64 * 1024;

/// Different hashes in their order. The file has no name, so it goes with the process, however that ends.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
    count: u64,
    /// The first hash of each page.
    page_starts: Vec<u128>,
    /// How many merges made it.
    tier: u32,
}

impl Run {
    /// Writes a run to a file in `folder`.
    pub(super) fn write(
        folder: &Path,
        tier: u32,
        sorted: impl Iterator<Item = io::Result<u128>>,
    ) -> io::Result<Self> {
        let mut writer = BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(folder)?);
        let mut page_starts = Vec::new();
        let mut count = 0;
        for hash in sorted {
            let hash = hash?;
            if count % PAGE_HASHES as u64 == 0 {
                page_starts.push(hash);
            }
            writer.write_all(&hash.to_le_bytes())?;
            count += 1;
        }
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(Self {
            file,
            count,
            page_starts,
            tier,
        })
    }

    pub(super) fn tier(&self) -> u32 {
        self.tier
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn has(&self, hash: u128) -> io::Result<bool> {
        let after = self.page_starts.partition_point(|start| *start <= hash);
        let Some(page) = after.checked_sub(1) else {
            return Ok(false);
        };
        let left = self.count - (page * PAGE_HASHES) as u64;
        let used =
            usize::try_from(left).map_or(PAGE_BYTES, |left| left.min(PAGE_HASHES) * HASH_BYTES);
        let mut bytes = [0; PAGE_BYTES];
        self.file
            .read_exact_at(&mut bytes[..used], (page * PAGE_BYTES) as u64)?;
        let (hashes, _) = bytes[..used].as_chunks::<HASH_BYTES>();
        let found = hashes.binary_search_by_key(&hash, |bytes| u128::from_le_bytes(*bytes));
        Ok(found.is_ok())
    }

    /// All hashes, in their order. Only one iterator at a time gives right answers.
    pub(super) fn hashes(&self) -> io::Result<impl Iterator<Item = io::Result<u128>>> {
        let mut file = &self.file;
        file.rewind()?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok((0..self.count).map(move |_| {
            let mut bytes = [0; HASH_BYTES];
            reader.read_exact(&mut bytes)?;
            Ok(u128::from_le_bytes(bytes))
        }))
    }

    /// One run with the hashes of several, which have none in common.
    pub(super) fn merge(folder: &Path, runs: &[Self]) -> io::Result<Self> {
        let tier = runs.iter().map(Self::tier).max().unwrap_or(0) + 1;
        let mut sources = Vec::new();
        for run in runs {
            sources.push(run.hashes()?.peekable());
        }
        let sorted = std::iter::from_fn(move || {
            let next = |source: &mut std::iter::Peekable<_>| match source.peek() {
                Some(Ok(hash)) => Some(*hash),
                // An error comes first.
                Some(Err(_)) => Some(0),
                None => None,
            };
            let heads = sources.iter_mut().enumerate();
            let (_, from) = heads
                .filter_map(|(at, source)| Some((next(source)?, at)))
                .min()?;
            sources[from].next()
        });
        Self::write(folder, tier, sorted)
    }
}
