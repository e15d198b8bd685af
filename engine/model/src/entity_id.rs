//! Which ids entities may have, and how a chunk lists one that may not.
//!
//! Both stores use ids as keys. Cassandra takes keys of at most 65,535 bytes, and a longer one destroys rows of its
//! neighbours, so the limit is far below. An id of a source that does not fit becomes a FAILED record under a name of its
//! own. The chunk lists it with that name and the reason, so that any worker can write the record.

use std::fmt;

use sha2::{Digest, Sha256};

/// The most bytes of an id that any configuration allows and that the stores write.
pub const MAX_ID_BYTES: usize = 8 * 1_024;
/// The most bytes of an id by default.
pub const DEFAULT_MAX_ID_BYTES: usize = 1_024;

/// Begins an entry of a chunk that is no id. No id may begin like this.
const UNFIT: &str = "\u{1}unfit\u{1}";
/// Between the name and the reason of such an entry.
const SEPARATOR: char = '\u{1}';
/// The bytes of an unfit id that its name begins with.
const SHOWN_BYTES: usize = 64;
/// The hex digits of its hash.
const HASH_DIGITS: usize = 32;

/// Why a text cannot be the id of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfitId {
    /// It is empty.
    Empty,
    /// It is too long.
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The most bytes.
        limit: usize,
    },
    /// It begins like an entry that is no id.
    Reserved,
}

impl fmt::Display for UnfitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an entity id is not empty"),
            Self::TooLong { bytes, limit } => {
                write!(f, "an entity id has at most {limit} bytes, not {bytes}")
            }
            Self::Reserved => f.write_str("an entity id does not begin with \\u{1}unfit\\u{1}"),
        }
    }
}

impl std::error::Error for UnfitId {}

/// Checks a text that is to be the id of an entity of at most `limit` bytes.
///
/// # Errors
/// Why it cannot be one.
pub fn check_id(id: &str, limit: usize) -> Result<(), UnfitId> {
    let limit = limit.min(MAX_ID_BYTES);
    if id.is_empty() {
        return Err(UnfitId::Empty);
    }
    if id.len() > limit {
        let bytes = id.len();
        return Err(UnfitId::TooLong { bytes, limit });
    }
    match id.starts_with(UNFIT) {
        true => Err(UnfitId::Reserved),
        false => Ok(()),
    }
}

/// An entry in the list of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEntry<'a> {
    /// The id of an entity.
    Id(&'a str),
    /// An id that does not fit.
    Unfit {
        /// The id of its record: its first bytes and its hash.
        name: &'a str,
        /// The error of its record.
        reason: &'a str,
    },
}

impl<'a> ChunkEntry<'a> {
    /// Reads an entry.
    pub fn read(entry: &'a str) -> Self {
        let unfit = entry.strip_prefix(UNFIT);
        match unfit.and_then(|unfit| unfit.rsplit_once(SEPARATOR)) {
            Some((name, reason)) => Self::Unfit { name, reason },
            None => Self::Id(entry),
        }
    }

    /// The id of the record of this entry.
    pub fn name(self) -> &'a str {
        match self {
            Self::Id(id) => id,
            Self::Unfit { name, .. } => name,
        }
    }
}

/// The entry by which a chunk lists an id of a source: the id itself, or its name and the reason why it does not fit.
pub fn chunk_entry(id: String, limit: usize) -> String {
    match check_id(&id, limit) {
        Ok(()) => id,
        Err(unfit) => format!("{UNFIT}{}{SEPARATOR}{unfit}", unfit_name(&id)),
    }
}

/// The id of the record of an id that does not fit. The same id has the same name on every node.
fn unfit_name(id: &str) -> String {
    if id.is_empty() {
        return "(empty id)".to_owned();
    }
    let shown = &id[..id.floor_char_boundary(SHOWN_BYTES)];
    let hash = Sha256::digest(id.as_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = id.len();
    format!("{shown}… ({bytes} bytes, sha256 {})", &hash[..HASH_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_byte_to_the_limit() {
        let check = |id: &str, limit, expected| assert_eq!(check_id(id, limit), expected);
        let too_long = |bytes, limit| Err(UnfitId::TooLong { bytes, limit });
        check("", 4, Err(UnfitId::Empty));
        check("a", 4, Ok(()));
        check("aaaa", 4, Ok(()));
        check("aaaaa", 4, too_long(5, 4));
        // Bytes, not characters.
        check("äää", 4, too_long(6, 4));
        check(&"a".repeat(8_192), usize::MAX, Ok(()));
        check(&"a".repeat(8_193), usize::MAX, too_long(8_193, 8_192));
        check("\u{1}unfit\u{1}", 100, Err(UnfitId::Reserved));
    }

    #[test]
    fn an_entry_is_the_id_or_a_short_name_with_the_reason() {
        let long = "ä".repeat(40_000);
        let forged = "\u{1}unfit\u{1}x\u{1}y".to_owned();
        for (id, begins, reason) in [
            (String::new(), "(empty id)", "an entity id is not empty"),
            (
                long.clone(),
                "ääää",
                "an entity id has at most 1024 bytes, not 80000",
            ),
            (
                forged,
                "\u{1}unfit\u{1}x\u{1}y… (10 bytes",
                "an entity id does not begin with \\u{1}unfit\\u{1}",
            ),
        ] {
            let entry = chunk_entry(id, 1_024);
            let ChunkEntry::Unfit {
                name,
                reason: found,
            } = ChunkEntry::read(&entry)
            else {
                panic!("{entry:?} is no id")
            };
            assert!(name.starts_with(begins), "{name:?}");
            assert_eq!(found, reason);
            assert_eq!(check_id(name.trim_start_matches('\u{1}'), 1_024), Ok(()));
            assert!(entry.len() < 512);
        }
        assert_eq!(ChunkEntry::read("a").name(), "a");
        assert_eq!(chunk_entry("a".to_owned(), 1_024), "a");
        // Ids that begin alike keep apart.
        let other = chunk_entry(format!("{long}x"), 1_024);
        assert_ne!(chunk_entry(long, 1_024), other);
    }
}
