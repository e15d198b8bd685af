//! What every source of the configuration is read into.

use super::problem::Origin;

/// A key and a value as some source wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub section: String,
    pub key: String,
    pub value: String,
    pub origin: Origin,
}
