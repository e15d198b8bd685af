//! Statements against the embedded store and a small project, without a node: rows are what is looked at.

mod fixture;
mod flows;

mod batches;
mod deployments;
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
