//! Reads one file on its own thread and sends its rows in groups.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use weft_model::{ParsedRow, ParsedTable};

use super::THREAD;
use super::rejects::RejectFile;
use super::rows::row_of;
use crate::file_roots::{FileRoots, FoundFile};
use crate::hex::hex;
use crate::records::{self, Format, Input, InputLimits, Item, Position, Reject};

/// The most rows and rejects of a group.
const GROUP_ROWS: usize = 500;
/// The approximate size of a group, in bytes.
const GROUP_BYTES: usize = 512 * 1024;
/// Groups that wait for the store.
const GROUPS_IN_FLIGHT: usize = 2;
/// The bytes at the beginning of a file whose hash identifies its content.
const HEAD: u64 = 4_096;

/// The checkpoint of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileState {
    /// In bytes.
    size: u64,
    modified: String,
    /// Hash of the first `head_bytes` bytes.
    head: String,
    head_bytes: u64,
    /// Hash of the definition of the parser.
    parser: String,
    /// After the last stored record.
    #[serde(rename = "at")]
    position: Position,
    /// Hash of the last bytes before the position, of a file that may grow; empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    tail: String,
    /// The whole file has been stored.
    #[serde(rename = "done")]
    pub(super) is_done: bool,
    /// The number of stored records.
    pub(super) records: u64,
    pub(super) rejected: u64,
    /// Why the rest of the file cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broken: Option<String>,
}

impl FileState {
    /// Whether size, time and parser are those with which the whole file was stored.
    pub(super) fn covers(&self, found: &FoundFile, parser: &str) -> bool {
        self.is_done
            && self.parser == parser
            && (self.size, &self.modified) == (found.size, &found.modified)
    }
}

/// Reads one file.
#[derive(Debug)]
pub(super) struct FileReader {
    pub(super) roots: FileRoots,
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) limits: InputLimits,
    pub(super) table: Arc<ParsedTable>,
    /// Hash of the definition of the parser.
    pub(super) parser: String,
    /// The checkpoint of the file.
    pub(super) known: Option<FileState>,
    pub(super) rejects: Arc<Mutex<RejectFile>>,
}

/// Rows, and the checkpoint to save after them.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rows: Vec<ParsedRow>,
    pub(super) rejected: u64,
    pub(super) state: FileState,
}

/// Why a file was not read to its end.
#[derive(Debug)]
pub(super) enum FileError {
    /// The file cannot be read now. Its checkpoint stays as it is.
    Unreadable(String),
    /// The run cannot continue.
    Fatal(String),
}

type Sender = mpsc::Sender<Result<Group, FileError>>;

/// Starts the thread. After the receiver is dropped it ends at its next group.
pub(super) fn start(reader: FileReader) -> mpsc::Receiver<Result<Group, FileError>> {
    let (sender, receiver) = mpsc::channel(GROUPS_IN_FLIGHT);
    let no_thread = sender.clone();
    let started = std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            if let Err(error) = reader.run(&sender) {
                // The receiver may be gone.
                let _ = sender.blocking_send(Err(error));
            }
        });
    if let Err(error) = started {
        let error = FileError::Fatal(format!("cannot start a thread: {error}"));
        // The channel is empty, so this does not fail.
        let _ = no_thread.try_send(Err(error));
    }
    receiver
}

impl FileReader {
    /// Whether the file still begins as it did when it was stored. Blocks.
    pub(super) fn has_known_head(&self) -> bool {
        let known = self.known.as_ref();
        let file = self.roots.open(&self.path).ok();
        known.zip(file).is_some_and(|(known, (mut file, _))| {
            hash_of_head(&mut file, known.head_bytes).is_ok_and(|head| head == known.head)
        })
    }

    fn run(self, sender: &Sender) -> Result<(), FileError> {
        let (input, file, mut state) = self.open()?;
        let mut group = PendingGroup::default();
        let broken = |error: records::ReadFailure| match error.is_transient {
            true => Err(FileError::Unreadable(error.to_string())),
            false => Ok(error.to_string()),
        };
        let mut records = match records::read(&self.format, input, state.position) {
            Ok(records) => records,
            Err(failure) => {
                let reason = broken(failure)?;
                return self.finish(sender, &file, group, state, Some(reason));
            }
        };
        if let Some(reason) = self.missing_column(records.names()) {
            return self.finish(sender, &file, group, state, Some(reason));
        }
        loop {
            match records.next() {
                Ok(Some(item)) => self.add(item, &mut group),
                Ok(None) => {
                    state.position = records.position();
                    return self.finish(sender, &file, group, state, None);
                }
                Err(failure) => {
                    state.position = records.position();
                    let reason = broken(failure)?;
                    return self.finish(sender, &file, group, state, Some(reason));
                }
            }
            if group.is_full() {
                state.position = records.position();
                if !self.send(sender, &file, &mut group, &mut state)? {
                    return Ok(());
                }
            }
        }
    }

    /// A column of the table that a file with this header cannot have. Its values would be NULL in all rows, also in those that
    /// an earlier file has stored.
    fn missing_column(&self, names: Option<&[Arc<str>]>) -> Option<String> {
        let names = names?;
        let is_there = |wanted: &str| names.iter().any(|name| **name == *wanted);
        let missing = self
            .table
            .columns
            .iter()
            .find(|column| !is_there(&column.from))?;
        let found: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        Some(format!(
            "line 1: the header has no column `{}`; it names {}",
            missing.from,
            found.join(", ")
        ))
    }

    /// Opens the file; also returns its state before anything more is read.
    fn open(&self) -> Result<(Input, File, FileState), FileError> {
        let unreadable = |error: io::Error| FileError::Unreadable(error.to_string());
        let (mut file, found) = self.roots.open(&self.path).map_err(FileError::Unreadable)?;
        let head_bytes = found.size.min(HEAD);
        let head = hash_of_head(&mut file, head_bytes).map_err(unreadable)?;
        let same_head = match &self.known {
            Some(known) => {
                let again = hash_of_head(&mut file, known.head_bytes).map_err(unreadable)?;
                again == known.head
            }
            None => false,
        };
        let again = file.try_clone().map_err(unreadable)?;
        let input = Input::from_file(file, self.limits).map_err(unreadable)?;
        let may_grow = self.format.may_grow() && !input.is_compressed();
        let known = self.known.as_ref().filter(|known| {
            same_head
                && self.can_continue(known, &found, may_grow)
                && (!may_grow || is_same_tail(&again, known))
        });
        let state = FileState {
            size: found.size,
            modified: found.modified,
            head,
            head_bytes,
            parser: self.parser.clone(),
            position: known.map(|known| known.position).unwrap_or_default(),
            records: known.map_or(0, |known| known.records),
            rejected: known.map_or(0, |known| known.rejected),
            ..FileState::default()
        };
        Ok((input, again, state))
    }

    /// Whether reading continues after the stored records: the content is the same, or something was appended.
    fn can_continue(&self, known: &FileState, found: &FoundFile, may_grow: bool) -> bool {
        let same = (known.size, &known.modified) == (found.size, &found.modified);
        let has_grown = may_grow && found.size > known.size;
        known.parser == self.parser && ((same && !known.is_done) || has_grown)
    }

    fn add(&self, item: Item, group: &mut PendingGroup) {
        match item {
            Item::Reject(reject) => group.reject(reject),
            Item::Record(record) => {
                let row = row_of(&self.table, &self.path, record.line, |name| {
                    record.get(name)
                });
                match row {
                    Ok(row) => group.row(row),
                    Err(reason) => {
                        let fields: Vec<String> = record
                            .fields
                            .iter()
                            .map(|(name, field)| format!("{name}={field:?}"))
                            .collect();
                        group.reject(Reject::new(
                            record.line,
                            reason,
                            fields.join(" ").as_bytes(),
                        ));
                    }
                }
            }
        }
    }

    /// Writes the rejects and sends the rows. False if the receiver is gone.
    fn send(
        &self,
        sender: &Sender,
        read: &File,
        group: &mut PendingGroup,
        state: &mut FileState,
    ) -> Result<bool, FileError> {
        let group = std::mem::take(group);
        let mut file = self.rejects.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(&self.path, &group.rejects)
            .map_err(FileError::Fatal)?;
        drop(file);
        state.tail = match self.format.may_grow() {
            // Without it only the beginning is compared.
            true => tail_before(read, state.position.offset).unwrap_or_default(),
            false => String::new(),
        };
        let rejected = group.rejects.len() as u64;
        state.records += group.rows.len() as u64;
        state.rejected += rejected;
        let group = Group {
            rows: group.rows,
            rejected,
            state: state.clone(),
        };
        Ok(sender.blocking_send(Ok(group)).is_ok())
    }

    /// Sends the last group.
    fn finish(
        &self,
        sender: &Sender,
        file: &File,
        mut group: PendingGroup,
        mut state: FileState,
        broken: Option<String>,
    ) -> Result<(), FileError> {
        if let Some(reason) = &broken {
            let line = state.position.line + 1;
            let reason = format!("the rest of the file was not read: {reason}");
            group.reject(Reject::new(line, reason, b""));
        }
        state.is_done = true;
        state.broken = broken;
        self.send(sender, file, &mut group, &mut state).map(drop)
    }
}

/// A group that is being filled.
#[derive(Default)]
struct PendingGroup {
    rows: Vec<ParsedRow>,
    rejects: Vec<Reject>,
    bytes: usize,
}

impl PendingGroup {
    fn row(&mut self, row: ParsedRow) {
        use weft_model::Value;
        let size = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 8,
        };
        self.bytes += row.values.iter().map(size).sum::<usize>();
        self.rows.push(row);
    }

    fn reject(&mut self, reject: Reject) {
        self.rejects.push(reject);
    }

    fn is_full(&self) -> bool {
        self.rows.len() + self.rejects.len() >= GROUP_ROWS || self.bytes >= GROUP_BYTES
    }
}

/// Hashes the first bytes of a file, and rewinds it.
fn hash_of_head(file: &mut File, bytes: u64) -> io::Result<String> {
    file.rewind()?;
    let mut head = Vec::new();
    file.by_ref().take(bytes).read_to_end(&mut head)?;
    file.rewind()?;
    let hash = Sha256::digest(&head);
    Ok(hex(&hash[..8]))
}

/// Hashes the last bytes before a position of a file.
fn tail_before(file: &File, position: u64) -> io::Result<String> {
    let length = position.min(HEAD);
    let mut tail = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut tail, position - length)?;
    Ok(hex(&Sha256::digest(&tail)[..8]))
}

/// Whether a file still has the line that was read last where it was: a file that was written anew may also be longer, and then
/// the position may lie within a line. States of older versions have no such hash.
fn is_same_tail(file: &File, known: &FileState) -> bool {
    let position = known.position.offset;
    let mut last = [b'\n'];
    let begins_a_line =
        position == 0 || (file.read_exact_at(&mut last, position - 1).is_ok() && last == [b'\n']);
    begins_a_line
        && (known.tail.is_empty()
            || tail_before(file, position).is_ok_and(|tail| tail == known.tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_checkpoints_keep_their_keys() {
        let text = r#"{"size":9,"modified":"1.5","head":"ab","head_bytes":9,"parser":"cd","at":{"offset":9,"line":2},"done":true,"records":1,"rejected":1,"broken":"no"}"#;
        let state: FileState = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&state).unwrap(), text);
    }
}
