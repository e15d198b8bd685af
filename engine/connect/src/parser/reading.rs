//! Reads one file on a thread of its own and hands its rows over in groups.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use weft_model::{ParsedRow, ParsedTable};

use super::THREAD;
use super::files::{FileRoots, Found, HEAD, hash_of_head};
use super::rejects::RejectFile;
use super::rows::row_of;
use crate::records::{self, Format, Input, InputLimits, Item, Position, Reject};

/// Rows and rejects of one group.
const GROUP_ROWS: usize = 500;
/// Bytes of one group, about.
const GROUP_BYTES: usize = 512 * 1024;
/// Groups that wait for the store.
const GROUPS_IN_FLIGHT: usize = 2;

/// What is remembered of a file, as the value of its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileState {
    /// Bytes that it had.
    size: u64,
    /// When it was changed last, as its folder says.
    modified: String,
    /// Hash of its first bytes.
    head: String,
    /// How many bytes that were.
    head_bytes: u64,
    /// The definition that it was read with.
    parser: String,
    /// Behind what has been stored.
    at: Position,
    /// Everything has been stored.
    pub(super) done: bool,
    /// Records stored.
    pub(super) records: u64,
    /// Records rejected.
    pub(super) rejected: u64,
    /// Why the rest of it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broken: Option<String>,
}

impl FileState {
    /// Nothing of this file is new.
    pub(super) fn covers(&self, found: &Found, parser: &str) -> bool {
        self.done
            && self.parser == parser
            && (self.size, &self.modified) == (found.size, &found.modified)
    }
}

/// What a thread reads.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) roots: FileRoots,
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) limits: InputLimits,
    pub(super) table: Arc<ParsedTable>,
    pub(super) parser: String,
    pub(super) known: Option<FileState>,
    pub(super) rejects: Arc<Mutex<RejectFile>>,
}

/// Some rows, and what is to be remembered once they are stored.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rows: Vec<ParsedRow>,
    pub(super) rejected: u64,
    pub(super) state: FileState,
}

/// Why a file was not read, or not on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It cannot be read now; nothing is remembered of it.
    Unreadable(String),
    /// The run cannot go on.
    Fatal(String),
}

type Sender = mpsc::Sender<Result<Group, Trouble>>;

/// Starts to read. The thread ends when the receiver is dropped, at its next group.
pub(super) fn start(work: Work) -> mpsc::Receiver<Result<Group, Trouble>> {
    let (sender, receiver) = mpsc::channel(GROUPS_IN_FLIGHT);
    let no_thread = sender.clone();
    let started = std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            if let Err(trouble) = work.run(&sender) {
                // Nobody may be there any more to hear it.
                let _ = sender.blocking_send(Err(trouble));
            }
        });
    if let Err(error) = started {
        let trouble = Trouble::Fatal(format!("no thread could be started: {error}"));
        // The channel is empty: there is room.
        let _ = no_thread.try_send(Err(trouble));
    }
    receiver
}

impl Work {
    fn run(self, sender: &Sender) -> Result<(), Trouble> {
        let unreadable = |error: std::io::Error| Trouble::Unreadable(error.to_string());
        let (mut file, found) = self.roots.open(&self.path).map_err(Trouble::Unreadable)?;
        let head_bytes = found.size.min(HEAD);
        let head = hash_of_head(&mut file, head_bytes).map_err(unreadable)?;
        let same_head = match &self.known {
            Some(known) => {
                let again = hash_of_head(&mut file, known.head_bytes).map_err(unreadable)?;
                again == known.head
            }
            None => false,
        };
        let input = Input::of_file(file, self.limits).map_err(unreadable)?;
        let may_grow = self.format.may_grow() && !input.is_compressed();
        let known = self
            .known
            .as_ref()
            .filter(|known| same_head && self.goes_on(known, &found, may_grow));
        let mut state = FileState {
            size: found.size,
            modified: found.modified,
            head,
            head_bytes,
            parser: self.parser.clone(),
            at: known.map(|known| known.at).unwrap_or_default(),
            records: known.map_or(0, |known| known.records),
            rejected: known.map_or(0, |known| known.rejected),
            ..FileState::default()
        };
        let mut gathered = Gathered::default();
        let broken = |error: records::ReadFailure| match error.is_transient {
            true => Err(Trouble::Unreadable(error.to_string())),
            false => Ok(error.to_string()),
        };
        let mut records = match records::read(&self.format, input, state.at) {
            Ok(records) => records,
            Err(failure) => {
                let reason = broken(failure)?;
                return self.end(sender, gathered, state, Some(reason));
            }
        };
        loop {
            match records.next() {
                Ok(Some(item)) => self.gather(item, &mut gathered),
                Ok(None) => {
                    state.at = records.position();
                    return self.end(sender, gathered, state, None);
                }
                Err(failure) => {
                    state.at = records.position();
                    let reason = broken(failure)?;
                    return self.end(sender, gathered, state, Some(reason));
                }
            }
            if gathered.is_full() {
                state.at = records.position();
                if !self.hand_over(sender, &mut gathered, &mut state)? {
                    return Ok(());
                }
            }
        }
    }

    /// Whether reading goes on where it stopped: it is the same content, or more was written behind it.
    fn goes_on(&self, known: &FileState, found: &Found, may_grow: bool) -> bool {
        let same = (known.size, &known.modified) == (found.size, &found.modified);
        let has_grown = may_grow && found.size > known.size;
        known.parser == self.parser && ((same && !known.done) || has_grown)
    }

    fn gather(&self, item: Item, gathered: &mut Gathered) {
        match item {
            Item::Reject(reject) => gathered.reject(reject),
            Item::Record(record) => {
                let row = row_of(&self.table, &self.path, record.line, |name| {
                    record.get(name)
                });
                match row {
                    Ok(row) => gathered.row(row),
                    Err(reason) => {
                        let fields: Vec<String> = record
                            .fields
                            .iter()
                            .map(|(name, field)| format!("{name}={field:?}"))
                            .collect();
                        gathered.reject(Reject::new(
                            record.line,
                            reason,
                            fields.join(" ").as_bytes(),
                        ));
                    }
                }
            }
        }
    }

    /// Writes rejects down and sends the rows; false where nobody waits for them any more.
    fn hand_over(
        &self,
        sender: &Sender,
        gathered: &mut Gathered,
        state: &mut FileState,
    ) -> Result<bool, Trouble> {
        let gathered = std::mem::take(gathered);
        let mut file = self.rejects.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(&self.path, &gathered.rejects)
            .map_err(Trouble::Fatal)?;
        drop(file);
        let rejected = gathered.rejects.len() as u64;
        state.records += gathered.rows.len() as u64;
        state.rejected += rejected;
        let group = Group {
            rows: gathered.rows,
            rejected,
            state: state.clone(),
        };
        Ok(sender.blocking_send(Ok(group)).is_ok())
    }

    fn end(
        &self,
        sender: &Sender,
        mut gathered: Gathered,
        mut state: FileState,
        broken: Option<String>,
    ) -> Result<(), Trouble> {
        if let Some(reason) = &broken {
            let line = state.at.line + 1;
            let reason = format!("the rest of the file is not read: {reason}");
            gathered.reject(Reject::new(line, reason, b""));
        }
        state.done = true;
        state.broken = broken;
        self.hand_over(sender, &mut gathered, &mut state).map(drop)
    }
}

/// A group on its way.
#[derive(Default)]
struct Gathered {
    rows: Vec<ParsedRow>,
    rejects: Vec<Reject>,
    bytes: usize,
}

impl Gathered {
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
