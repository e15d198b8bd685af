//! A SQLite file as a source. Every query reads the file itself, so that changes are visible at once.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

use super::guard::{self, Failure};
use super::pool::{Fingerprint, Source};

/// A SQLite file.
#[derive(Debug)]
pub(super) struct SqliteFile {
    pub(super) path: PathBuf,
}

impl Source for SqliteFile {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    /// Identifies the file, not its content: only a replaced file has another fingerprint.
    fn fingerprint(&self) -> Result<Fingerprint, Failure> {
        let path = self.path.display();
        let metadata = std::fs::metadata(&self.path)
            .map_err(|error| Failure::Unavailable(format!("{path}: {error}")))?;
        if !metadata.is_file() {
            return Err(Failure::Unavailable(format!("{path} is not a file")));
        }
        Ok(Fingerprint(vec![format!(
            "{}:{}",
            metadata.dev(),
            metadata.ino()
        )]))
    }

    fn open(&self) -> Result<Connection, Failure> {
        // No URI flag, so that a name such as file:x?mode=rw is a plain name.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&self.path, flags);
        let mut connection = opened.map_err(|error| {
            let path = self.path.display();
            match Failure::from(error) {
                Failure::Query(message) | Failure::Unavailable(message) => {
                    Failure::Unavailable(format!("{path}: {message}"))
                }
                failure @ Failure::Store(_) => failure,
            }
        })?;
        guard::lock_down(&mut connection)?;
        Ok(connection)
    }
}
