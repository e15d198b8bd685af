//! PS and KILL: the tasks at work.

pub(crate) mod kill;
pub(crate) mod ps;
