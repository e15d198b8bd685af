//! The offers of chunks that this node has just generated, on their way from the generator to the dispatcher.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc};
use weft_model::{Batch, BatchId};

use super::choose::participants;
use super::slots::{HeldSlots, WorkerSlots};
use crate::Membership;
use crate::lock::lock;

/// A chunk that this node has just generated, so that it does not have to be found and read.
#[derive(Debug)]
pub struct Offer {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// Its ids.
    pub ids: Arc<Vec<String>>,
    /// Set if it was created claimed by this node session.
    pub announcement: Option<Announcement>,
}

pub(super) type ChunkKey = (BatchId, i64);

/// The announcement of a chunk that is created claimed by this node session. Until its offer arrives, the dispatcher does not
/// treat the chunk as one whose claim was lost.
#[derive(Debug)]
pub struct Announcement {
    place: ChunkKey,
    announced: Arc<Mutex<BTreeSet<ChunkKey>>>,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        lock(&self.announced).remove(&self.place);
    }
}

/// The queue for offers of the generator. It has a size: chunks that do not fit are found in the store later.
#[derive(Clone, Debug)]
pub struct Offers {
    pub(super) sender: mpsc::Sender<Offer>,
    pub(super) slots: Arc<WorkerSlots>,
    pub(super) entity_times: Arc<Mutex<BTreeMap<BatchId, Duration>>>,
    pub(super) announced: Arc<Mutex<BTreeSet<ChunkKey>>>,
    pub(super) membership: Arc<Membership>,
    pub(super) source_gate: Arc<tokio::sync::Mutex<()>>,
}

/// While it exists, no chunk starts on this node, and no source is opened.
#[derive(Debug)]
pub struct Alone {
    _gate: OwnedMutexGuard<()>,
    _held: HeldSlots,
}

impl Offers {
    /// Announces an offer, before the chunk can be found in the store.
    pub fn announce(&self, batch: BatchId, number: i64) -> Announcement {
        let place = (batch, number);
        lock(&self.announced).insert(place);
        Announcement {
            place,
            announced: Arc::clone(&self.announced),
        }
    }

    /// Sends an offer. A chunk that was created claimed waits for room, because other nodes would not find it soon.
    pub async fn send(&self, offer: Offer) {
        if offer.announcement.is_some() {
            // The receiver ends with this node session. Then the next session takes the chunk.
            let _ = self.sender.send(offer).await;
        } else {
            let _ = self.sender.try_send(offer);
        }
    }

    /// The mean time of an entity of the batch on this node, if it is known.
    pub fn entity_time(&self, batch: BatchId) -> Option<Duration> {
        lock(&self.entity_times).get(&batch).copied()
    }

    /// Whether this node may handle entities of the batch.
    pub fn can_work_on(&self, batch: &Batch) -> bool {
        participants(batch.id, &batch.spec, &self.membership.live())
            .contains(&self.membership.me().node)
    }

    /// Waits until this node is [`Alone`] for the caller: for others that are, and this long for chunks that run.
    pub async fn alone(&self, patience: Duration) -> Alone {
        let gate = Arc::clone(&self.source_gate).lock_owned().await;
        let held = self.slots.hold();
        // Workers that run for long are not waited for.
        let _ = tokio::time::timeout(patience, self.slots.idle()).await;
        Alone {
            _gate: gate,
            _held: held,
        }
    }

    /// Waits while this node is [`Alone`] for another.
    pub async fn beside_others(&self) {
        drop(self.source_gate.lock().await);
    }

    /// Whether a worker is free.
    pub fn has_free_worker(&self) -> bool {
        self.slots.free() > 0
    }
}
