//! Micro-databases: instances of logical units are read from their sources, compared with the stored ones, and stored
//! as one SQLite image each.

mod command;
mod contents;
mod image;
mod mode;
mod read;
mod row;
mod shape;

pub use command::SyncCommand;
pub use contents::Contents;
pub use image::{ImageError, export, image_bytes, open_image};
pub use mode::SyncMode;

#[cfg(test)]
mod tests;
