//! The weft command as users run it: as a process, with its exit codes and its output.

mod common;
mod console;
mod nodes;
mod process;
mod scripts;
