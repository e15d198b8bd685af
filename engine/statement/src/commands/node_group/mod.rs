//! Affinity rules, and the logical ids that nodes get by them.

pub(crate) mod data_centre;
pub(crate) mod node_affinity;
pub(crate) mod rules;
mod setting;
pub(crate) mod status;
