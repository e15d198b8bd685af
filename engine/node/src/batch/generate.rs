//! GENERATE_IID: ids stream from the source into chunks.
//!
//! Numbers are reserved in the batch row before they are filled, so that a takeover knows where a late
//! chunk could still appear, and seals those places.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;
use weft_model::{ChunkHead, ChunkState};
use weft_project::source::{IdPage, IdStream};
use weft_store::{OpenChunk, Settled};

use super::chunk_size::size_of;
use super::id_source;
use super::known_ids::KnownIds;
use super::owned::{Owned, OwnerError};
use super::progress::Progress;
use crate::worker::{Offer, Offers};

/// Numbers reserved at once; what a takeover has to seal at most.
const RESERVED_AT_ONCE: i64 = 64;
/// A chunk is closed this long after its first id, so that a slow stream does not stall.
const LONGEST_FILL: Duration = Duration::from_millis(200);
/// The row is looked at for wishes this often, and the chunks are summed up.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// The complete list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Ids in chunks.
    pub total: i64,
    /// Ids dropped because they had come before.
    pub duplicates: i64,
}

/// One making of the list.
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

/// Makes the list, or goes on where an earlier owner stopped.
///
/// # Errors
/// See [`OwnerError`]; `Failed` where the source fails.
pub async fn generate(
    owned: &mut Owned,
    progress: &mut Progress,
    offers: &Offers,
) -> Result<List, OwnerError> {
    let scratch = owned
        .life
        .context
        .config
        .data
        .join("scratch")
        .join(format!("{}-{}", owned.row.id, owned.row.fence));
    let checked_at = owned.life.context.clock.monotonic();
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
    /// What an earlier owner left: seals the places where a late chunk of his could appear, learns the ids
    /// of the chunks that are there, and answers where to read on.
    async fn take_over(&mut self) -> Result<Option<String>, OwnerError> {
        let chunks = self.owned.row.chunks;
        self.next_number = chunks;
        if chunks == 0 {
            return Ok(None);
        }
        metrics::counter!("takeovers_total", "kind" => "generation").increment(1);
        seal(self.owned).await?;
        let store = Arc::clone(&self.owned.life.context.store);
        let mut position = None;
        let mut unbroken = true;
        for number in 0..chunks {
            self.look_around().await?;
            let content = store.chunk(self.owned.row.id, number).await?;
            let content = content.filter(|content| content.head.state != ChunkState::Void);
            let Some(content) = content else {
                // What the source gave behind this place may never have arrived.
                unbroken = false;
                continue;
            };
            if unbroken {
                position.clone_from(&content.head.source_position);
            }
            for id in &content.ids {
                self.total += i64::from(self.remember(id)?);
            }
        }
        debug!(
            batch.id = %self.owned.row.id,
            "Took over the list of batch {} with {} ids", self.owned.row.id, self.total
        );
        Ok(position)
    }

    async fn run(mut self, mut source: IdStream) -> Result<List, OwnerError> {
        loop {
            let wait = self.patience();
            let next = tokio::select! {
                biased;
                () = self.owned.life.trust.ended() => {
                    return Err(OwnerError::Replaced(self.owned.row.id));
                }
                page = source.recv() => Some(page),
                () = tokio::time::sleep(wait) => None,
            };
            match next {
                Some(Some(Ok(page))) => self.take(page).await?,
                Some(Some(Err(error))) => return Err(OwnerError::Failed(error.to_string())),
                Some(None) => break,
                None => (),
            }
            if self.is_ripe() {
                self.close_chunk().await?;
            }
            self.look_around().await?;
        }
        self.close_chunk().await?;
        Ok(List {
            total: self.total,
            duplicates: self.duplicates,
        })
    }

    fn now(&self) -> Duration {
        self.owned.life.context.clock.monotonic()
    }

    fn patience(&self) -> Duration {
        let until_check = CHECK_EVERY.saturating_sub(self.now().saturating_sub(self.checked_at));
        if self.filling.is_empty() {
            return until_check;
        }
        let until_ripe = LONGEST_FILL.saturating_sub(self.now().saturating_sub(self.filling_since));
        until_check.min(until_ripe)
    }

    fn is_ripe(&self) -> bool {
        !self.filling.is_empty() && self.now().saturating_sub(self.filling_since) >= LONGEST_FILL
    }

    async fn take(&mut self, page: IdPage) -> Result<(), OwnerError> {
        let last = page.ids.len().saturating_sub(1);
        for (index, id) in page.ids.into_iter().enumerate() {
            if !self.remember(&id)? {
                self.duplicates += 1;
                continue;
            }
            if self.filling.is_empty() {
                self.filling_since = self.now();
            }
            self.filling.push(id);
            if self.filling.len() >= self.target() {
                // Within a page the source has no position of its own: a chunk that ends here carries the
                // one of the page before, and a takeover skips what it knows.
                if index == last {
                    self.position.clone_from(&page.position);
                }
                self.close_chunk().await?;
                self.look_around().await?;
            }
        }
        self.position = page.position;
        Ok(())
    }

    fn remember(&mut self, id: &str) -> Result<bool, OwnerError> {
        self.known.insert(id).map_err(|error| {
            OwnerError::Failed(format!(
                "the scratch file of known ids cannot be used: {error}"
            ))
        })
    }

    fn target(&self) -> usize {
        let config = &self.owned.life.context.config;
        size_of(
            self.next_number,
            self.offers.entity_time(self.owned.row.id),
            config.max_chunk_size,
        )
    }

    /// Writes what was gathered into the next number.
    async fn close_chunk(&mut self) -> Result<(), OwnerError> {
        if self.filling.is_empty() {
            return Ok(());
        }
        if self.next_number >= self.owned.row.chunks {
            let to = self.next_number + RESERVED_AT_ONCE;
            self.owned.reserve(to).await?;
        }
        let life = self.owned.life.clone();
        let number = self.next_number;
        let ids = std::mem::take(&mut self.filling);
        // The first chunk is born claimed by its generator, so that work begins with one write less.
        let born_mine = self.total == 0
            && number == 0
            && !self.owned.row.spec.generate_entities_first
            && self.offers.has_free_worker()
            && self.offers.works_on(&self.owned.row);
        let born = born_mine.then(|| self.offers.announce(self.owned.row.id, number));
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let open = OpenChunk {
            batch: self.owned.row.id,
            number,
            state: if born_mine {
                ChunkState::InProgress
            } else {
                ChunkState::New
            },
            holder: born_mine.then(|| life.me.clone()),
            ids,
            source_position: self.position.clone(),
            token: life.context.ids.token(),
        };
        match life.settle(&open).await? {
            Settled::Applied => (),
            Settled::Lost(found) => self.opened_before(found)?,
            Settled::StillUnknown => return Err(OwnerError::Replaced(self.owned.row.id)),
        }
        self.total += count;
        self.next_number += 1;
        if !self.owned.row.spec.generate_entities_first {
            let offer = Offer {
                batch: self.owned.row.id,
                number,
                ids: Arc::new(open.ids),
                born,
            };
            self.offers.leave(offer).await;
        }
        Ok(())
    }

    /// A number that I reserved was not empty: sealed means that I was replaced; anything else is my own
    /// earlier attempt, which a worker may hold by now.
    fn opened_before(&self, found: Option<ChunkHead>) -> Result<(), OwnerError> {
        match found.map(|head| head.state) {
            Some(ChunkState::Void) | None => Err(OwnerError::Replaced(self.owned.row.id)),
            Some(
                ChunkState::New | ChunkState::InProgress | ChunkState::Done | ChunkState::Closed,
            ) => Ok(()),
        }
    }

    /// Every so often: has somebody wished something, and how far are the chunks?
    async fn look_around(&mut self) -> Result<(), OwnerError> {
        if self.now().saturating_sub(self.checked_at) < CHECK_EVERY {
            return Ok(());
        }
        self.owned.check().await?;
        self.progress.advance(self.owned).await?;
        self.checked_at = self.now();
        Ok(())
    }
}

/// Makes sure that no reserved and empty number can be filled any more.
///
/// # Errors
/// What the store said.
pub async fn seal(owned: &mut Owned) -> Result<(), OwnerError> {
    let life = owned.life.clone();
    let chunks = owned.row.chunks;
    // Numbers are filled in order with one opening under way, so only the last reservation can have holes
    // that are still open; reading all of them costs no more than reading the heads once.
    let mut number = 0;
    while number < chunks {
        let to = (number + RESERVED_AT_ONCE).min(chunks);
        let heads = life
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
                token: life.context.ids.token(),
            };
            match life.settle(&void).await? {
                // Lost: the old chunk arrived after all, and counts.
                Settled::Applied | Settled::Lost(_) => (),
                Settled::StillUnknown => return Err(OwnerError::Replaced(owned.row.id)),
            }
        }
        number = to;
    }
    Ok(())
}
