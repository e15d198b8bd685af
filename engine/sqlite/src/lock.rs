//! One process per file: an OS lock on a sidecar file, which names the process that has it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A process that is ending, or one that checks who has the lock, may hold it briefly.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// The process that has a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOwner {
    /// Its process id.
    pub pid: u32,
    /// Where its HTTP API listens, once it does.
    pub address: Option<String>,
}

/// The lock, held until dropped; the operating system ends it with the process.
#[derive(Debug)]
pub(super) struct FileLock(Mutex<File>);

impl FileLock {
    /// Takes the lock of the store at `path`; `Ok(Err(owner))` where another process has it.
    pub(super) fn take(path: &Path) -> io::Result<Result<Self, LockOwner>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock_path(path))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < TRIES => {
                    std::thread::park_timeout(PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Ok(Err(read_owner(&file)?)),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let lock = Self(Mutex::new(file));
        lock.write(None)?;
        Ok(Ok(lock))
    }

    /// Says where this process can be reached.
    pub(super) fn set_address(&self, address: &str) -> io::Result<()> {
        self.write(Some(address))
    }

    fn write(&self, address: Option<&str>) -> io::Result<()> {
        let mut text = format!("pid {}\n", std::process::id());
        if let Some(address) = address {
            text.push_str("address ");
            text.push_str(address);
            text.push('\n');
        }
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    }
}

/// The process that has the store at `path` open; none where no process has.
///
/// # Errors
/// Where the lock file cannot be read.
pub fn lock_owner(path: &Path) -> io::Result<Option<LockOwner>> {
    let file = match File::open(lock_path(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => read_owner(&file).map(Some),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn read_owner(mut file: &File) -> io::Result<LockOwner> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(4_096).read_to_string(&mut text)?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    Ok(LockOwner {
        pid: field("pid")
            .and_then(|pid| pid.parse().ok())
            .unwrap_or_default(),
        address: field("address").map(str::to_owned),
    })
}
