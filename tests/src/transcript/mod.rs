//! Transcripts: what a person types and what the console answers, word for word, the same on every store.
//!
//! A file of `tests/transcripts` begins with `name: value` lines (`ids`, `node-ip`, `set`) and an empty line. Then come
//! steps, each followed by what it printed:
//!
//! * `weft> STATEMENT`, gone on with in lines that begin with `   -> `; the answer as the console writes it
//! * `$ until TEXT`: the next statement is repeated until its answer has TEXT
//! * `$ run STATEMENT`: a statement whose answer depends on the moment and is not shown
//! * `$ garage SQL`: changes the data that the example project reads
//! * `$ ids ["…", …]`: writes another list of ids
//! * `$ arguments <id 1>`: the column `arguments` of a batch, as the store has it
//! * `# …`: what the reader should know
//!
//! `<id 1>` in a step is the first id that was printed, `<node>` the address of the node, `<folder>` where it runs. `UPDATE_TRANSCRIPTS=1` writes the files anew.

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
