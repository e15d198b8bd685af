//! The command language: text to syntax tree and back.
//!
//! [`Statement::parse`] is the front door. Nothing in this crate does I/O or waits.
//!
//! ```
//! use weft_lang::{Command, Statement};
//!
//! let statement = Statement::parse("batch Customer fabric_command='sync_instance Customer.?'")?;
//! let Command::Batch(batch) = &statement.command else { unreachable!("it is BATCH") };
//! assert_eq!(batch.lu.value, "Customer");
//! assert_eq!(statement.to_string(), "BATCH Customer FABRIC_COMMAND=\"sync_instance Customer.?\";");
//! # Ok::<(), weft_lang::Diagnostic>(())
//! ```

pub mod ast;
pub mod bind;
pub mod commands;
pub mod complete;
mod cursor;
pub mod diagnostic;
pub mod documentation;
pub mod help;
pub mod job_types;
mod lexer;
pub mod names;
pub mod options;
mod print;
mod scan;
mod schedule;
pub mod span;
pub mod split;

pub use ast::{
    Argument, Assignment, Batch, BatchDetails, BatchList, Broadway, CancelSpelling, CdcRepublish,
    Command, DeployTarget, EntitySource, EntityTemplate, Family, Get, GetVerb, Instance,
    JobCommand, JobFilter, JobVerb, ListTarget, Pattern, Statement, Text, Trace, TraceScope,
};
pub use bind::{Literal, bind};
pub use commands::{COMMANDS, CommandSpec, MAX_STATEMENT_BYTES, ValueKind};
pub use complete::{Candidate, Completions, ValueSource, complete};
pub use diagnostic::Diagnostic;
pub use options::{BatchOptions, JobOptions, OptionSpec, OptionValue, ValueType};
pub use scan::MAX_NESTING;
pub use span::{Span, Spanned};
pub use split::{Completeness, is_complete, split_statements};
