//! Cells of files that cannot be read, such as text that is not UTF-8.
//!
//! A virtual table cannot fail for one row: an error of a cell ends the whole query. So a bad cell is passed through SQLite as a
//! blob that stands for the reason. Where the blob comes out of the query unchanged, only that row is bad. Where it does not, an
//! expression has used the cell, and the query fails as a whole.
//!
//! A query runs on one thread, and so do the callbacks of its tables: the state is thread-local.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// The most bad cells of one query; the next one ends it.
const MOST: usize = 10_000;
/// Begins the blobs. Random for each process, so that no source has them by chance.
const PREFIX_BYTES: usize = 16;

#[derive(Default)]
struct BadCells {
    reasons: Vec<String>,
    /// The cells that must come out of the query.
    open: BTreeSet<usize>,
}

thread_local! {
    static BAD_CELLS: RefCell<BadCells> = RefCell::default();
}

fn prefix() -> &'static [u8; PREFIX_BYTES] {
    static PREFIX: OnceLock<[u8; PREFIX_BYTES]> = OnceLock::new();
    PREFIX.get_or_init(|| {
        // The standard library seeds each of these at random.
        let half = || RandomState::new().build_hasher().finish();
        (u128::from(half()) << 64 | u128::from(half())).to_le_bytes()
    })
}

/// Forgets the cells of the previous query of this thread.
pub(super) fn begin() {
    BAD_CELLS.with_borrow_mut(|cells| *cells = BadCells::default());
}

/// Notes a bad cell, and returns the blob that stands for it. `is_compared` says that the query only compares the column for
/// equality: a bad cell equals nothing, so its row may be left out.
///
/// # Errors
/// The reason, if there are too many.
pub(super) fn note(reason: String, is_compared: bool) -> Result<Vec<u8>, String> {
    BAD_CELLS.with_borrow_mut(|cells| {
        let number = cells.reasons.len();
        if number == MOST {
            return Err(reason);
        }
        cells.reasons.push(reason);
        if !is_compared {
            cells.open.insert(number);
        }
        Ok([prefix().as_slice(), &number.to_le_bytes()].concat())
    })
}

/// The reason that a blob stands for.
pub(super) fn reason_of(blob: &[u8]) -> Option<String> {
    let number = blob.strip_prefix(prefix())?;
    let number = usize::from_le_bytes(number.try_into().ok()?);
    BAD_CELLS.with_borrow_mut(|cells| {
        cells.open.remove(&number);
        cells.reasons.get(number).cloned()
    })
}

/// The reason of a cell that an expression of the query has used.
pub(super) fn used() -> Option<String> {
    BAD_CELLS.with_borrow(|cells| {
        let first = cells.open.first()?;
        cells.reasons.get(*first).cloned()
    })
}
