//! What a stored instance has: the rows of its tables, one after another.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension};
use weft_model::Instance;
use weft_model::Value;

use super::image::{ImageError, open_image};
use super::shape::quoted;
use crate::sqlite_value::from_sqlite;

/// A stored instance, opened to read from. Reading blocks.
#[derive(Debug)]
pub struct Contents(Connection);

impl Contents {
    /// Opens an instance.
    ///
    /// # Errors
    /// Its image is damaged.
    pub fn open(instance: &Instance) -> Result<Self, ImageError> {
        open_image(instance).map(Self)
    }

    /// Shows `see` the rows of a table with the names of their columns, in the order of the key, until it has seen
    /// enough. The instance has the columns that the table had when it was synced; a table that it has not has no rows.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn each_row(
        &self,
        table: &str,
        mut see: impl FnMut(&[String], &[Value]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ImageError> {
        let there = "select 1 from sqlite_schema where type = 'table' and name = ?";
        let there = self.0.query_row(there, [table], |_| Ok(())).optional()?;
        if there.is_none() {
            return Ok(ControlFlow::Continue(()));
        }
        let sql = format!("select * from {}", quoted(table));
        let mut select = self.0.prepare(&sql)?;
        let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
        let mut rows = select.query([])?;
        let mut cells = Vec::with_capacity(columns.len());
        while let Some(row) = rows.next()? {
            cells.clear();
            for at in 0..columns.len() {
                cells.push(from_sqlite(row.get_ref(at)?));
            }
            if see(&columns, &cells).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
