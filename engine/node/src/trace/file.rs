//! The file of a trace: one JSON object per line, of bounded size, readable only by the user of the node.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Trace, TracedOperation};

const ENDING: &str = ".jsonl";
/// Bytes reserved for the line that says that the file is full.
const LAST_LINE: u64 = 256;
/// The most bytes of the first line; no statement is longer.
const FIRST_LINE: u64 = 128 * 1024;
/// How many bytes at the end of a file are searched for its last lines.
const TAIL_BYTES: u64 = 1024 * 1024;

/// A file that is open for writing.
#[derive(Debug)]
pub(super) struct TraceFile {
    file: BufWriter<File>,
    bytes: u64,
    most: u64,
}

impl TraceFile {
    /// Creates a file of at most `most` bytes, and its folder if it is missing.
    pub(super) fn create(path: &Path, most: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            // It may have existed before, with wider permissions.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file: BufWriter::new(file),
            bytes: 0,
            most,
        })
    }

    /// Writes a line; answers whether there was room for it.
    pub(super) fn write(&mut self, line: &Value) -> io::Result<bool> {
        let text = line.to_string();
        let bytes = u64::try_from(text.len() + 1).unwrap_or(u64::MAX);
        let after = self.bytes.saturating_add(bytes);
        if after > self.most.saturating_sub(LAST_LINE) {
            return Ok(false);
        }
        self.bytes = after;
        writeln!(self.file, "{text}")?;
        Ok(true)
    }

    /// Writes the last line, for which there is always room.
    pub(super) fn write_last(&mut self, line: &Value) -> io::Result<()> {
        writeln!(self.file, "{line}")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The path of the file of a trace.
pub(super) fn path_of(folder: &Path, number: u64, operation: TracedOperation) -> PathBuf {
    folder.join(format!("{number}_{operation}{ENDING}"))
}

/// Finds the traces that earlier processes left in a folder; they are off. A missing folder has none.
pub(super) fn find_earlier(folder: &Path) -> io::Result<Vec<Trace>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut traces = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        let parts = name.and_then(|name| name.split_once('_'));
        let Some((number, operation)) = parts else {
            continue;
        };
        if let (Ok(number), Some(operation)) = (number.parse(), TracedOperation::find(operation))
            && entry.file_type()?.is_file()
        {
            let path = entry.path();
            // An unreadable file does not hide the others, and can still be removed.
            let (header, lines) = read_head(&path).unwrap_or_default();
            traces.push(Trace::from_file(number, operation, path, &header, lines));
        }
    }
    Ok(traces)
}

/// Reads the first line of a file and counts its lines.
fn read_head(path: &Path) -> io::Result<(Value, u64)> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let mut first = reader.by_ref().take(FIRST_LINE);
    first.read_until(b'\n', &mut line)?;
    let mut lines = u64::from(line.ends_with(b"\n"));
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let ends = buffer.iter().filter(|byte| **byte == b'\n').count();
        lines += u64::try_from(ends).unwrap_or(u64::MAX);
        let read = buffer.len();
        reader.consume(read);
    }
    Ok((serde_json::from_slice(&line).unwrap_or_default(), lines))
}

/// Reads the last lines of a file. A line that a crash cut off is left out.
pub(super) fn read_tail(path: &Path, count: usize) -> io::Result<Vec<Value>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line may be incomplete if the read starts inside the file.
    let lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
    let last = &lines[lines.len().saturating_sub(count)..];
    let parsed = last.iter().map(|line| serde_json::from_str(line));
    Ok(parsed.filter_map(Result::ok).collect())
}
