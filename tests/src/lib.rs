//! What the tests of this project share: code that more than one test binary or store runs.

pub mod chaos;
pub mod chronos;
pub mod cluster;
pub mod conformance;
pub mod sim;
pub mod transcript;
