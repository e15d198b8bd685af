//! Instances of logical units: read from their sources, compared with what is stored, kept as one SQLite
//! image each.

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
