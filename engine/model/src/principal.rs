//! The user behind a request.

/// An authenticated user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user name, stored as `owner` and shown as `Created by`.
    pub name: String,
}
