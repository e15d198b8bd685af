//! Statements on the embedded store and a small project, mostly without a node: the tests check the rows.

mod fixture;
mod job_fixture;

mod batches;
mod deployments;
mod flows;
mod instances;
mod job_calls;
mod jobs;
mod looking;
mod node_groups;
mod refusals;
mod submission;
mod traces;
mod triggers;
mod with_a_node;
