//! Transcripts: what a user types and what the console prints, word for word, the same on every store.
//!
//! A file of `tests/transcripts` starts with header lines `name: value` (`about`, `ids`, `node-ip`, `set`) and an
//! empty line. Steps follow, each with its expected output below it:
//!
//! * `weft> STATEMENT`: runs a statement, which continues on lines that start with `   -> `
//! * `$ until TEXT`: repeats the next statement until its output contains TEXT
//! * `$ run STATEMENT`: runs a statement without showing its output, which depends on timing
//! * `$ garage SQL`: changes the data that the example project reads
//! * `$ ids ["…", …]`: replaces the list of ids that the example project reads
//! * `$ arguments <id 1>`: shows the column `arguments` of a batch as it is stored
//! * `# …`: a comment
//!
//! In a step, `<id 1>` stands for the first id that was printed, `<node>` for the address of the node, and `<folder>`
//! for the folder it runs in. `UPDATE_TRANSCRIPTS=1` rewrites the files.

mod bench;
mod node;
mod place;
mod redact;
mod run;
mod script;

pub use bench::Bench;
pub use node::{Node, binary, weft};
pub use place::{CassandraPlace, Place, SqlitePlace};
pub use run::run_all;
