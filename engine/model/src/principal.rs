//! Who a request comes from.

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's name, stored as `owner` and shown as `Created by`.
    pub name: String,
}
