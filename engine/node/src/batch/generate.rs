//! GENERATE_IID: ids stream from the source into chunks.
//!
//! Numbers are reserved in the batch row before they are filled. So the node that takes the batch over knows where a late
//! chunk could still appear, and seals those numbers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use weft_model::{ChunkEntry, ChunkHead, ChunkState, chunk_entry};
use weft_project::source::{IdPage, IdStream, SourceError};
use weft_store::{OpenChunk, Settled};

use super::chunk_size::size_of;
use super::id_source;
use super::known_ids::KnownIds;
use super::owned::{Owned, OwnerError};
use super::progress::Progress;
use crate::worker::{Offer, Offers};

/// How many numbers to reserve at once. A takeover seals at most this many.
const RESERVED_AT_ONCE: i64 = 64;
/// A chunk is closed this long after its first id, so that a slow stream does not stall.
const LONGEST_FILL: Duration = Duration::from_millis(200);
/// How often to read the row for requests and to sum up the chunks.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// The complete list of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdList {
    /// Ids in chunks.
    pub total: i64,
    /// Ids that were dropped as duplicates.
    pub duplicates: i64,
}

/// The generation of one list of ids.
#[derive(Debug)]
pub struct Generation<'a> {
    owned: &'a mut Owned,
    progress: &'a mut Progress,
    offers: &'a Offers,
    known: KnownIds,
    next_number: i64,
    total: i64,
    duplicates: i64,
    filling: Vec<String>,
    filling_since: Duration,
    position: Option<String>,
    checked_at: Duration,
}

/// Generates the list, or resumes where an earlier owner stopped.
///
/// # Errors
/// See [`OwnerError`]; `Failed` if the source fails.
pub async fn generate(
    owned: &mut Owned,
    progress: &mut Progress,
    offers: &Offers,
) -> Result<IdList, OwnerError> {
    let scratch = owned.session.context.config.data.join("scratch");
    let checked_at = owned.session.context.clock.monotonic();
    let mut generation = Generation {
        owned,
        progress,
        offers,
        known: KnownIds::new(scratch),
        next_number: 0,
        total: 0,
        duplicates: 0,
        filling: Vec::new(),
        filling_since: Duration::ZERO,
        position: None,
        checked_at,
    };
    let after = generation.take_over().await?;
    let source = id_source::open(generation.owned, after).await?;
    generation.run(source).await
}

impl Generation<'_> {
    /// Takes over from an earlier owner: seals the numbers at which its late chunks could appear, reads the ids of the chunks
    /// that exist, and returns the position from which to read on.
    async fn take_over(&mut self) -> Result<Option<String>, OwnerError> {
        let chunks = self.owned.row.chunks;
        self.next_number = chunks;
        if chunks == 0 {
            return Ok(None);
        }
        metrics::counter!("takeovers_total", "kind" => "generation").increment(1);
        seal(self.owned).await?;
        let store = Arc::clone(&self.owned.session.context.store);
        let mut position = None;
        let mut has_no_gap = true;
        for number in 0..chunks {
            self.check_batch().await?;
            let content = store.chunk(self.owned.row.id, number).await?;
            let content = content.filter(|content| content.head.state != ChunkState::Void);
            let Some(content) = content else {
                // Ids that the source gave after this gap may not have been stored.
                has_no_gap = false;
                continue;
            };
            if has_no_gap {
                position.clone_from(&content.head.source_position);
            }
            for id in &content.ids {
                self.total += i64::from(self.add_known(id)?);
            }
        }
        debug!(
            batch.id = %self.owned.row.id,
            "Took over the list of batch {} with {} ids", self.owned.row.id, self.total
        );
        Ok(position)
    }

    async fn run(mut self, mut source: IdStream) -> Result<IdList, OwnerError> {
        loop {
            let wait = self.longest_wait();
            let next = tokio::select! {
                biased;
                () = self.owned.session.self_fence.fenced() => {
                    return Err(OwnerError::Replaced(self.owned.row.id));
                }
                page = source.recv() => Some(page),
                () = tokio::time::sleep(wait) => None,
            };
            match next {
                Some(Some(Ok(page))) => self.add_page(page).await?,
                Some(Some(Err(error))) => return Err(error_of_source(error)),
                Some(None) => break,
                None => (),
            }
            if self.is_overdue() {
                self.close_chunk().await?;
            }
            self.check_batch().await?;
        }
        self.close_chunk().await?;
        Ok(IdList {
            total: self.total,
            duplicates: self.duplicates,
        })
    }

    fn now(&self) -> Duration {
        self.owned.session.context.clock.monotonic()
    }

    fn longest_wait(&self) -> Duration {
        let until_check = CHECK_EVERY.saturating_sub(self.now().saturating_sub(self.checked_at));
        if self.filling.is_empty() {
            return until_check;
        }
        let until_overdue =
            LONGEST_FILL.saturating_sub(self.now().saturating_sub(self.filling_since));
        until_check.min(until_overdue)
    }

    fn is_overdue(&self) -> bool {
        !self.filling.is_empty() && self.now().saturating_sub(self.filling_since) >= LONGEST_FILL
    }

    async fn add_page(&mut self, page: IdPage) -> Result<(), OwnerError> {
        let last = page.ids.len().saturating_sub(1);
        let limit = self.owned.session.context.config.max_id_bytes;
        for (index, id) in page.ids.into_iter().enumerate() {
            let id = chunk_entry(id, limit);
            if !self.add_known(&id)? {
                self.duplicates += 1;
                continue;
            }
            if self.filling.is_empty() {
                self.filling_since = self.now();
            }
            self.filling.push(id);
            if self.filling.len() >= self.target_size() {
                // The source has no positions within a page. A chunk that ends within a page has the position of the page
                // before, and a takeover skips the ids that it knows.
                if index == last {
                    self.position.clone_from(&page.position);
                }
                self.close_chunk().await?;
                self.check_batch().await?;
            }
        }
        self.position = page.position;
        Ok(())
    }

    /// Whether the entry is new. Entries are told apart by the ids of their records.
    fn add_known(&mut self, entry: &str) -> Result<bool, OwnerError> {
        let id = ChunkEntry::read(entry).name();
        self.known.insert(id).map_err(|error| {
            OwnerError::Failed(format!(
                "the scratch file of known ids cannot be used: {error}"
            ))
        })
    }

    fn target_size(&self) -> usize {
        let config = &self.owned.session.context.config;
        size_of(
            self.next_number,
            self.offers.entity_time(self.owned.row.id),
            config.max_chunk_size,
        )
    }

    /// Writes the gathered ids as the next chunk.
    async fn close_chunk(&mut self) -> Result<(), OwnerError> {
        if self.filling.is_empty() {
            return Ok(());
        }
        if self.next_number >= self.owned.row.chunks {
            let to = self.next_number + RESERVED_AT_ONCE;
            self.owned.reserve(to).await?;
        }
        let session = self.owned.session.clone();
        let number = self.next_number;
        let ids = std::mem::take(&mut self.filling);
        // The first chunk is created claimed by this node, so that work starts one write earlier.
        let is_claimed_here = self.total == 0
            && number == 0
            && !self.owned.row.spec.generate_entities_first
            && self.offers.has_free_worker()
            && self.offers.can_work_on(&self.owned.row);
        let announcement = is_claimed_here.then(|| self.offers.announce(self.owned.row.id, number));
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let open = OpenChunk {
            batch: self.owned.row.id,
            number,
            state: if is_claimed_here {
                ChunkState::InProgress
            } else {
                ChunkState::New
            },
            holder: is_claimed_here.then(|| session.me.clone()),
            ids,
            source_position: self.position.clone(),
            token: session.context.ids.token(),
        };
        match session.settle(&open).await? {
            Settled::Applied => (),
            Settled::Lost(found) => self.accept_earlier_attempt(found)?,
            Settled::StillUnknown => return Err(OwnerError::Replaced(self.owned.row.id)),
        }
        self.total += count;
        self.next_number += 1;
        if !self.owned.row.spec.generate_entities_first {
            let offer = Offer {
                batch: self.owned.row.id,
                number,
                ids: Arc::new(open.ids),
                announcement,
            };
            self.offers.send(offer).await;
        }
        Ok(())
    }

    /// A number that this owner reserved was not empty. If it is sealed, another owner has replaced this one. Otherwise the
    /// chunk is from its own earlier attempt, and a worker may own it by now.
    fn accept_earlier_attempt(&self, found: Option<ChunkHead>) -> Result<(), OwnerError> {
        match found.map(|head| head.state) {
            Some(ChunkState::Void) | None => Err(OwnerError::Replaced(self.owned.row.id)),
            Some(
                ChunkState::New | ChunkState::InProgress | ChunkState::Done | ChunkState::Closed,
            ) => Ok(()),
        }
    }

    /// Checks the batch for requests and sums up its chunks, every [`CHECK_EVERY`].
    async fn check_batch(&mut self) -> Result<(), OwnerError> {
        if self.now().saturating_sub(self.checked_at) < CHECK_EVERY {
            return Ok(());
        }
        self.owned.check().await?;
        self.progress.advance(self.owned).await?;
        self.checked_at = self.now();
        Ok(())
    }
}

/// An outage of the node's own store, which may hold the source, says nothing about the batch: its owner waits and reads on.
fn error_of_source(error: SourceError) -> OwnerError {
    match error.into_outage() {
        Ok(outage) => OwnerError::Store(outage.into()),
        Err(error) => OwnerError::Failed(error.to_string()),
    }
}

/// Seals the reserved numbers that are empty, so that they cannot be filled any more.
///
/// # Errors
/// See [`OwnerError`].
pub async fn seal(owned: &mut Owned) -> Result<(), OwnerError> {
    let session = owned.session.clone();
    let chunks = owned.row.chunks;
    // Numbers are filled in order, one at a time, so only the last reservation can have empty numbers that may still be
    // filled. Reading all of them costs no more than reading the heads once.
    let mut number = 0;
    while number < chunks {
        let to = (number + RESERVED_AT_ONCE).min(chunks);
        let heads = session
            .context
            .store
            .chunk_heads(owned.row.id, number, to)
            .await?;
        let filled: BTreeSet<i64> = heads.into_iter().map(|head| head.number).collect();
        for empty in (number..to)
            .filter(|number| !filled.contains(number))
            .collect::<Vec<_>>()
        {
            let void = OpenChunk {
                batch: owned.row.id,
                number: empty,
                state: ChunkState::Void,
                holder: None,
                ids: Vec::new(),
                source_position: None,
                token: session.context.ids.token(),
            };
            match session.settle(&void).await? {
                // Lost: the late chunk has arrived, and counts.
                Settled::Applied | Settled::Lost(_) => (),
                Settled::StillUnknown => return Err(OwnerError::Replaced(owned.row.id)),
            }
        }
        number = to;
    }
    Ok(())
}
