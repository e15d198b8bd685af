//! A SQLite file as a source. Every query reads the file itself, so that changes are visible at once: any change of the file,
//! of its times or of its write-ahead log opens it anew.

use std::fs::Metadata;
use std::io;
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

/// What identifies one version of the file and of its write-ahead log.
struct Version {
    file: String,
    /// None if the database has no write-ahead log.
    log: Option<String>,
}

impl SqliteFile {
    /// Without opening the file: closing it again would release the locks that SQLite holds on it for this process.
    fn version(&self) -> Result<Version, Failure> {
        let failed =
            |error: io::Error| Failure::Unavailable(format!("{}: {error}", self.path.display()));
        let metadata = std::fs::metadata(&self.path).map_err(failed)?;
        if !metadata.is_file() {
            let path = self.path.display();
            return Err(Failure::Unavailable(format!("{path} is not a file")));
        }
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let log = std::fs::metadata(log).ok();
        Ok(Version {
            file: stamp(&metadata),
            log: log.as_ref().map(stamp),
        })
    }
}

fn stamp(metadata: &Metadata) -> String {
    format!(
        "{}:{}:{}:{}.{}:{}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}

impl Source for SqliteFile {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn fingerprint(&self) -> Result<Fingerprint, Failure> {
        let version = self.version()?;
        Ok(Fingerprint(vec![
            version.file,
            version.log.unwrap_or_default(),
        ]))
    }

    /// SQLite's locks protect a query from writers that use them. A copy over the file uses none: pages of both versions would be
    /// mixed. With a write-ahead log a checkpoint may change the file at any time, while the query reads from the log.
    fn check_version(&self, seen: &Fingerprint) -> Result<(), Failure> {
        let version = self.version()?;
        if version.log.is_some() || seen.0.first() == Some(&version.file) {
            return Ok(());
        }
        Err(Failure::Unavailable(format!(
            "{} was replaced or overwritten while it was read",
            self.path.display()
        )))
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
