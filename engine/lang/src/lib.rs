//! The command language: text to syntax tree and back.
//!
//! [`Statement::parse`] is the front door. Nothing in here reads, writes or waits.
//!
//! ```
//! use weft_lang::{Command, Statement};
//!
//! let statement = Statement::parse("batch Customer fabric_command='sync_instance Customer.?'")?;
//! let Command::Batch(batch) = &statement.command else { unreachable!("it says batch") };
//! assert_eq!(batch.lu.value, "Customer");
//! assert_eq!(statement.to_string(), "BATCH Customer FABRIC_COMMAND=\"sync_instance Customer.?\";");
//! # Ok::<(), weft_lang::Diagnostic>(())
//! ```

pub mod ast;
pub mod bind;
pub mod complete;
pub mod diagnostic;
pub mod help;
pub mod job_types;
pub mod keywords;
mod lexer;
pub mod names;
mod parser;
mod printer;
mod scan;
mod schedule;
pub mod span;
pub mod split;
pub mod template;

pub use ast::{
    Argument, Assignment, Batch, BatchDetails, BatchList, BatchOptions, Broadway, CancelSpelling,
    CdcRepublish, Command, DeployTarget, EntitySource, Family, Get, GetVerb, Instance, JobCommand,
    JobFilter, JobPolicyOptions, JobVerb, ListTarget, Statement, Text, Trace, TraceScope,
};
pub use bind::{Literal, bind};
pub use complete::{Candidate, Completions, ValueSource, complete};
pub use diagnostic::Diagnostic;
pub use keywords::{COMMANDS, CommandSpec, OptionSpec, ValueKind};
pub use parser::MAX_STATEMENT_BYTES;
pub use scan::MAX_NESTING;
pub use span::{Span, Spanned};
pub use split::{Completeness, is_complete, split_statements};
pub use template::{EntityTemplate, Pattern};
