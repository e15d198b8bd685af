//! The rows of a stored instance.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension};
use weft_model::Instance;
use weft_model::Value;

use super::image::{ImageError, open_image};
use super::shape::quoted;
use crate::sqlite_value::from_sqlite;

/// A stored instance, opened for reading. Reading blocks.
#[derive(Debug)]
pub struct Contents(Connection);

impl Contents {
    /// Opens an instance.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn open(instance: &Instance) -> Result<Self, ImageError> {
        open_image(instance).map(Self)
    }

    /// Calls `visit` with the column names and cells of each row of a table, in key order, until it breaks. The columns
    /// are the columns of the table at the last sync. A table that the instance lacks has no rows.
    ///
    /// # Errors
    /// The image is damaged.
    pub fn each_row(
        &self,
        table: &str,
        mut visit: impl FnMut(&[String], &[Value]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ImageError> {
        let exists = "select 1 from sqlite_schema where type = 'table' and name = ?";
        let exists = self.0.query_row(exists, [table], |_| Ok(())).optional()?;
        if exists.is_none() {
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
                let cell = from_sqlite(row.get_ref(at)?);
                cells.push(cell.map_err(|error| rusqlite::Error::Utf8Error(at, error))?);
            }
            if visit(&columns, &cells).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
