//! GENERATE_IID: ids stream from the source into chunks.
//!
//! Numbers are reserved in the batch row before they are filled. So the node that takes the batch over knows where a late
//! chunk could still appear, and seals those numbers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};
use weft_model::{Bug, ChunkContent, ChunkEntry, ChunkHead, ChunkState, FilledChunks, chunk_entry};
use weft_project::source::{IdPage, IdStream, SourceError};
use weft_store::{OpenChunk, Settled};

use super::chunk_size::size_of;
use super::id_source;
use super::known_ids::KnownIds;
use super::owned::{Owned, OwnerError};
use super::progress::Progress;
use super::source_trial::{self, Trial};
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
    /// The numbers below it were filled or sealed.
    pub chunks: i64,
    /// Ids in chunks.
    pub total: i64,
    /// Ids that were dropped as duplicates.
    pub duplicates: i64,
}

/// A place in the source. A generation that resumes here reads every id after it, known or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    /// The position that the source gave; none is its start.
    position: Option<String>,
    /// The number of ids that the source had given up to it, duplicates included.
    read: i64,
}

/// The generation of one list of ids.
#[derive(Debug)]
pub struct Generation<'a> {
    owned: &'a mut Owned,
    progress: &'a mut Progress,
    offers: &'a Offers,
    trial: Trial,
    known: KnownIds,
    next_number: i64,
    /// The ids in chunks.
    total: i64,
    /// The ids that an earlier generation had in chunks and the store has lost, as far as they were not found again.
    lost: i64,
    /// The ids that the source has given, those that were known included.
    read: i64,
    filling: Vec<String>,
    filling_since: Duration,
    /// Behind the last whole page.
    place: Place,
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
    if let Some(total) = owned.row.total_entities {
        return Ok(IdList {
            chunks: owned.row.chunks,
            total,
            duplicates: owned.row.duplicates,
        });
    }
    let scratch = owned.session.context.config.data.join("scratch");
    let checked_at = owned.session.context.clock.monotonic();
    let mut generation = Generation {
        owned,
        progress,
        offers,
        trial: Trial::default(),
        known: KnownIds::new(scratch),
        next_number: 0,
        total: 0,
        lost: 0,
        read: 0,
        filling: Vec::new(),
        filling_since: Duration::ZERO,
        place: Place::default(),
        checked_at,
    };
    generation.take_over().await?;
    generation.trial = source_trial::begin(generation.owned, offers).await?;
    let after = generation.place.position.clone();
    let source = id_source::open(generation.owned, after).await?;
    generation.run(source).await
}

impl Generation<'_> {
    /// Takes over from an earlier generation: seals the numbers at which its late chunks could appear, reads the ids of the
    /// chunks that exist, and finds the place from which to read on.
    async fn take_over(&mut self) -> Result<(), OwnerError> {
        if self.owned.row.chunks == 0 {
            return Ok(());
        }
        metrics::counter!("takeovers_total", "kind" => "generation").increment(1);
        self.reserve_found_chunks().await?;
        if !Bug::TakeoverWithoutSeal.is_planted() {
            seal(self.owned).await?;
        }
        let chunks = self.owned.row.chunks;
        self.next_number = chunks;
        let filled = self.owned.row.filled.unwrap_or_default();
        let store = Arc::clone(&self.owned.session.context.store);
        let mut has_no_gap = true;
        let mut found = 0;
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
                self.place = place_of(&content.head);
            }
            self.add_chunk(&content)?;
            if number < filled.chunks {
                found = self.total;
            }
        }
        self.lost = (filled.entities - found).max(0);
        self.read = match Bug::DuplicatesForgotten.is_planted() {
            true => 0,
            false => self.place.read,
        };
        let (id, total, lost) = (self.owned.row.id, self.total, self.lost);
        if lost > 0 {
            warn!(batch.id = %id, "The store has lost {lost} ids of batch {id}; its source is read again");
        }
        debug!(batch.id = %id, "Took over the list of batch {id} with {total} ids");
        Ok(())
    }

    /// A store that loses its last writes can lose a reservation and keep chunks that were filled after it. Their numbers are
    /// reserved again.
    async fn reserve_found_chunks(&mut self) -> Result<(), OwnerError> {
        loop {
            let from = self.owned.row.chunks;
            let to = from + RESERVED_AT_ONCE;
            let store = &self.owned.session.context.store;
            let heads = store.chunk_heads(self.owned.row.id, from, to).await?;
            if heads.is_empty() {
                return Ok(());
            }
            let filled = self.owned.row.filled.unwrap_or_default();
            self.owned.reserve(to, filled).await?;
        }
    }

    fn add_chunk(&mut self, content: &ChunkContent) -> Result<(), OwnerError> {
        for id in &content.ids {
            self.total += i64::from(self.add_known(id)?);
        }
        Ok(())
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
        if Bug::ListBeforeRows.is_planted() {
            self.total += i64::try_from(self.filling.len()).unwrap_or(0);
        } else {
            self.close_chunk().await?;
        }
        if self.lost > 0 {
            return Err(OwnerError::Failed(format!(
                "the store has lost {} ids of the batch, and its source does not give them again",
                self.lost
            )));
        }
        Ok(IdList {
            chunks: self.next_number,
            total: self.total,
            // The source gave every id once, and the duplicates. An id that left the source since it was stored is not
            // counted, so the difference may not go below zero.
            duplicates: (self.read - self.total).max(0),
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
            self.read += 1;
            let id = chunk_entry(id, limit);
            if !self.add_known(&id)? {
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
                    self.pass(page.position.clone());
                }
                self.close_chunk().await?;
                self.check_batch().await?;
            }
        }
        self.pass(page.position);
        Ok(())
    }

    /// The source has given everything up to `position`.
    fn pass(&mut self, position: Option<String>) {
        if position.is_some() {
            self.place = Place {
                position,
                read: self.read,
            };
        }
    }

    /// Adds the entry by the id that its record will have. Returns whether it is new.
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
            let filled = FilledChunks {
                chunks: self.next_number,
                entities: self.total + self.lost,
            };
            self.owned.reserve(to, filled).await?;
            // The source has given new ids.
            std::mem::take(&mut self.trial).pass(self.owned);
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
            source_position: self.place.position.clone(),
            source_read: Some(self.place.read),
            token: session.context.ids.token(),
        };
        match session.settle(&open).await? {
            Settled::Applied => (),
            Settled::Lost(found) => self.accept_earlier_attempt(found, &open)?,
            Settled::StillUnknown => return Err(OwnerError::Replaced(self.owned.row.id)),
        }
        self.total += count;
        self.lost = (self.lost - count).max(0);
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
    /// chunk is from its own earlier attempt, and a worker may own it by now. If it is another chunk, the store has lost
    /// the reservation that it was filled under: the owner reads all chunks again.
    fn accept_earlier_attempt(
        &self,
        found: Option<ChunkHead>,
        open: &OpenChunk,
    ) -> Result<(), OwnerError> {
        let Some(head) = found.filter(|head| head.state != ChunkState::Void) else {
            return Err(OwnerError::Replaced(self.owned.row.id));
        };
        let is_same = i64::try_from(open.ids.len()) == Ok(head.total)
            && head.source_position == open.source_position
            && head.source_read == open.source_read;
        match is_same {
            true => Ok(()),
            false => Err(OwnerError::Changed(self.owned.row.id)),
        }
    }

    /// Checks the batch for requests and sums up its chunks, every [`CHECK_EVERY`].
    async fn check_batch(&mut self) -> Result<(), OwnerError> {
        if self.now().saturating_sub(self.checked_at) < CHECK_EVERY {
            return Ok(());
        }
        self.owned.check().await?;
        self.trial.end_after_long(self.owned).await?;
        self.progress.advance(self.owned).await?;
        self.checked_at = self.now();
        Ok(())
    }
}

/// The place behind a chunk. A chunk of an older version does not say how much was read up to it, so the source is read from
/// its start, and the duplicates are counted again.
fn place_of(head: &ChunkHead) -> Place {
    match (&head.source_position, head.source_read) {
        (Some(position), Some(read)) => Place {
            position: Some(position.clone()),
            read,
        },
        _ => Place::default(),
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
                source_read: None,
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
