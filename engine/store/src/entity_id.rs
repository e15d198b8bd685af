//! The last check of ids in front of a store, which uses them as keys.

use weft_model::{MAX_ID_BYTES, UnfitId};

use super::{FlushChunk, OpenChunk, StoreError, StoreResult};

/// The most bytes of a key in Cassandra. A longer one is not refused by every server, and destroys rows of its neighbours.
pub const KEY_BYTES: usize = 65_535;

/// Checks an id that is to be stored. The limit is the one that no configuration exceeds.
///
/// # Errors
/// A refusal for good; nothing was stored.
pub fn check_stored_id(id: &str) -> StoreResult<()> {
    check(id, MAX_ID_BYTES)
}

/// Checks an id that is only looked up. Versions before this one stored ids up to [`KEY_BYTES`].
///
/// # Errors
/// A refusal for good.
pub fn check_sought_id(id: &str) -> StoreResult<()> {
    check(id, KEY_BYTES)
}

fn check(id: &str, limit: usize) -> StoreResult<()> {
    let bytes = id.len();
    let unfit = match bytes {
        0 => UnfitId::Empty,
        _ if bytes > limit => UnfitId::TooLong { bytes, limit },
        _ => return Ok(()),
    };
    Err(StoreError::Refused(unfit.to_string()))
}

impl OpenChunk {
    /// Checks the entries of its list.
    ///
    /// # Errors
    /// A refusal for good.
    pub fn check_ids(&self) -> StoreResult<()> {
        self.ids.iter().try_for_each(|id| check_stored_id(id))
    }
}

impl FlushChunk {
    /// Checks the ids of its rows and instances.
    ///
    /// # Errors
    /// A refusal for good.
    pub fn check_ids(&self) -> StoreResult<()> {
        let rows = self.rows.iter().map(|row| &row.id);
        let instances = self.instances.iter().map(|instance| &instance.head.id);
        rows.chain(instances).try_for_each(|id| check_stored_id(id))
    }
}
