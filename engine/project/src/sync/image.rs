//! The SQLite image of an instance: building, opening and exporting it.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, MAIN_DB, params_from_iter};
use weft_model::Instance;

use super::row::Row;
use super::shape::{STAMPS, Shape};
use crate::sqlite_value::{from_sqlite, to_sqlite};

/// The zstd level of small images. Most images are a few KiB and very similar: at this level they are a tenth larger
/// than at the next one and take half the time.
const SMALL_IMAGE_LEVEL: i32 = -1;
/// Images up to this size count as small. Larger ones consist mostly of texts, which the lowest levels do not compress.
const SMALL_IMAGE: usize = 16 * 1024;
/// The zstd level of large images.
const LARGE_IMAGE_LEVEL: i32 = 1;
/// The largest image that can be opened.
const IMAGE_BYTES: u64 = 1 << 30;

/// Why an image cannot be built or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// SQLite reported an error.
    #[error("the image cannot be read or made: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The image cannot be decompressed or written.
    #[error("the image cannot be read or written: {0}")]
    File(#[from] std::io::Error),
    /// The image is too large.
    #[error("the image is larger than 1 GiB")]
    TooLarge,
}

/// Builds images of one schema, one after another, in the same in-memory database. Most of the cost of an image is the
/// creation of its tables.
pub(super) struct Builder {
    shape: Arc<Shape>,
    connection: Connection,
    compressor: zstd::bulk::Compressor<'static>,
}

/// The read time of each table, in microseconds since 1970, by table name.
pub(super) type Stamps = BTreeMap<String, i64>;

impl Builder {
    pub(super) fn new(shape: Arc<Shape>) -> Result<Self, ImageError> {
        let connection = Connection::open_in_memory()?;
        // Small pages: an image has a few rows per table, and a table has at least one page.
        connection.execute_batch("pragma page_size = 512; pragma journal_mode = memory;")?;
        connection.execute_batch(&shape.create)?;
        connection.set_prepared_statement_cache_capacity(shape.insert.len() + 8);
        Ok(Self {
            shape,
            connection,
            compressor: zstd::bulk::Compressor::new(SMALL_IMAGE_LEVEL)?,
        })
    }

    /// Builds an image of these rows, which are grouped by table.
    pub(super) fn build(
        &mut self,
        tables: &[Vec<Row>],
        stamps: &Stamps,
    ) -> Result<Vec<u8>, ImageError> {
        self.run("begin")?;
        let outcome = self.fill(tables, stamps).and_then(|()| self.compressed());
        // Rolls back to empty tables. Deleting the rows would leave free pages in the next image.
        self.run("rollback")?;
        outcome
    }

    fn fill(&self, tables: &[Vec<Row>], stamps: &Stamps) -> Result<(), ImageError> {
        for (rows, sql) in tables.iter().zip(&self.shape.insert) {
            if rows.is_empty() {
                continue;
            }
            let mut insert = self.connection.prepare_cached(sql)?;
            for row in rows {
                let cells = row
                    .iter()
                    .map(|value| ToSqlOutput::Borrowed(to_sqlite(value)));
                insert.execute(params_from_iter(cells))?;
            }
        }
        if self.shape.has_stamps {
            let sql = format!("insert into {STAMPS} values (?, ?)");
            let mut insert = self.connection.prepare_cached(&sql)?;
            for (name, read_at) in stamps {
                insert.execute((name, read_at))?;
            }
        }
        Ok(())
    }

    fn compressed(&mut self) -> Result<Vec<u8>, ImageError> {
        let image = self.connection.serialize(MAIN_DB)?;
        let level = if image.len() <= SMALL_IMAGE {
            SMALL_IMAGE_LEVEL
        } else {
            LARGE_IMAGE_LEVEL
        };
        self.compressor.set_compression_level(level)?;
        Ok(self.compressor.compress(&image)?)
    }

    fn run(&self, sql: &str) -> Result<(), ImageError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// Opens the database of a stored instance for reading.
///
/// # Errors
/// The image is damaged.
pub fn open_image(instance: &Instance) -> Result<Connection, ImageError> {
    let bytes = image_bytes(instance)?;
    let mut connection = Connection::open_in_memory()?;
    let size = bytes.len();
    connection.deserialize_read_exact(MAIN_DB, Cursor::new(bytes), size, true)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Writes a stored instance to a file that `sqlite3` can open. An existing file is replaced atomically.
///
/// # Errors
/// The image is damaged, or the file cannot be written.
pub fn export(instance: &Instance, path: &Path) -> Result<(), ImageError> {
    let bytes = image_bytes(instance)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let mut file = std::fs::File::create(&part)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(std::fs::rename(&part, path)?)
}

/// Decompresses the SQLite file of a stored instance.
///
/// # Errors
/// The image is damaged.
pub fn image_bytes(instance: &Instance) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(instance.image.as_slice())?;
    decoder.take(IMAGE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > IMAGE_BYTES {
        return Err(ImageError::TooLarge);
    }
    Ok(bytes)
}

/// The read times in an image.
pub(super) fn stamps(image: &Connection) -> Result<Stamps, ImageError> {
    let mut select = image.prepare(&format!("select name, read_at from {STAMPS}"))?;
    let stamps = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(stamps.collect::<Result<_, _>>()?)
}

/// The rows of one table of an image.
pub(super) fn rows(image: &Connection, select: &str) -> Result<Vec<Row>, ImageError> {
    let mut select = image.prepare(select)?;
    let width = select.column_count();
    let rows = select.query_map([], |row| {
        (0..width)
            .map(|at| {
                from_sqlite(row.get_ref(at)?).map_err(|error| rusqlite::Error::Utf8Error(at, error))
            })
            .collect()
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
