//! The one integration-test binary: each subject is a module of it.

mod cassandra_conformance;
mod chaos;
mod cluster;
mod compatibility;
mod conformance;
mod flows;
mod module_graph;
mod packages;
mod pages;
mod readme;
mod requirements;
mod simulation;
mod sqlite;
mod transcripts;
