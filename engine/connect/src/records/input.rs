//! The input of records: decompressed, counted and bounded.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::TOO_LONG;

const BUFFER: usize = 64 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
/// Decompressed bytes that are allowed whatever the ratio.
const RATIO_FREE: u64 = 16 * 1024 * 1024;

/// The limits of a compressed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputLimits {
    /// The most decompressed bytes.
    pub bytes: u64,
    /// The most decompressed bytes per compressed byte.
    pub ratio: u64,
}

impl Default for InputLimits {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            ratio: 1_000,
        }
    }
}

enum Source {
    File(File),
    Stream(Box<dyn Read + Send>),
}

/// The decompressed bytes of a file or a stream, and the current position.
pub struct Input {
    source: Source,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    line: u64,
    is_compressed: bool,
    /// Bytes that [`Read`] may consume until the budget is set again; none for no limit.
    budget: Option<usize>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("offset", &self.offset)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Input {
    /// Reads a file, decompressed if its content is gzip.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn from_file(mut file: File, limits: InputLimits) -> io::Result<Self> {
        let is_gzip = head(&mut file)? == GZIP;
        file.seek(SeekFrom::Start(0))?;
        let source = match is_gzip {
            true => Source::Stream(Box::new(Inflating::new(file, limits))),
            false => Source::File(file),
        };
        Ok(Self::new(source, is_gzip))
    }

    /// Reads a stream, decompressed if its content is gzip.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn from_stream(
        mut stream: impl Read + Send + 'static,
        limits: InputLimits,
    ) -> io::Result<Self> {
        let head = head(&mut stream)?;
        let is_gzip = head == GZIP;
        let whole = Cursor::new(head).chain(stream);
        let source: Box<dyn Read + Send> = match is_gzip {
            true => Box::new(Inflating::new(whole, limits)),
            false => Box::new(whole),
        };
        Ok(Self::new(Source::Stream(source), is_gzip))
    }

    /// Reads a text.
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = Cursor::new(text.into().into_bytes());
        Self::new(Source::Stream(Box::new(text)), false)
    }

    /// Whether the input is decompressed.
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    fn new(source: Source, is_compressed: bool) -> Self {
        Self {
            source,
            is_compressed,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            offset: 0,
            line: 0,
            budget: None,
        }
    }

    /// Bytes consumed so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Line breaks consumed so far.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn set_budget(&mut self, budget: usize) {
        self.budget = Some(budget);
    }

    /// The next bytes; empty at the end.
    pub(super) fn peek(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = read(&mut self.source, &mut self.buffer[..BUFFER])?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Consumes bytes that [`peek`](Self::peek) has returned.
    pub(super) fn take(&mut self, count: usize) {
        let taken = &self.buffer[self.start..self.start + count];
        if taken.contains(&b'\n') {
            self.line += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        self.start += count;
        self.offset += count as u64;
    }

    /// Consumes the rest of the line with its line break.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.peek()?;
            let (count, is_end) = if bytes.contains(&b'\n') {
                let before = bytes.iter().take_while(|byte| **byte != b'\n');
                (before.count() + 1, true)
            } else {
                (bytes.len(), bytes.is_empty())
            };
            self.take(count);
            if is_end {
                return Ok(());
            }
        }
    }

    pub(super) fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        if self.offset == 0 && self.peek()?.starts_with(&BYTE_ORDER_MARK) {
            self.take(BYTE_ORDER_MARK.len());
        }
        Ok(())
    }

    /// The current position.
    pub(super) fn position(&self) -> super::Position {
        super::Position {
            offset: self.offset,
            line: self.line,
        }
    }

    /// Moves to a position, unless the current one is already after it.
    pub(super) fn advance_to(&mut self, position: super::Position) -> io::Result<()> {
        match position.offset > self.offset {
            true => self.seek_to(position),
            false => Ok(()),
        }
    }

    /// Moves to a position of an earlier reading: a plain file seeks, other inputs skip.
    fn seek_to(&mut self, position: super::Position) -> io::Result<()> {
        let mut left = position.offset.saturating_sub(self.offset);
        if let Source::File(file) = &mut self.source
            && left > (self.end - self.start) as u64
        {
            file.seek(SeekFrom::Start(position.offset))?;
            (self.start, self.end, left) = (0, 0, 0);
        }
        while left > 0 {
            let available = self.peek()?.len();
            if available == 0 {
                break;
            }
            let count = available.min(usize::try_from(left).unwrap_or(available));
            self.take(count);
            left -= count as u64;
        }
        (self.offset, self.line) = (position.offset, position.line);
        Ok(())
    }
}

/// For event readers: an event that is longer than the budget is an error.
impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.budget == Some(0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TOO_LONG));
        }
        let most = self.budget.unwrap_or(usize::MAX);
        let bytes = self.peek()?;
        Ok(&bytes[..bytes.len().min(most)])
    }

    fn consume(&mut self, count: usize) {
        self.take(count);
        if let Some(budget) = &mut self.budget {
            *budget = budget.saturating_sub(count);
        }
    }
}

fn read(source: &mut Source, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let read = match source {
            Source::File(file) => file.read(buffer),
            Source::Stream(stream) => stream.read(buffer),
        };
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn head(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(GZIP.len());
    source.take(GZIP.len() as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Counts the bytes that are read through it.
struct Counting<R> {
    source: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Decompresses within limits.
struct Inflating<R> {
    decoder: MultiGzDecoder<BufReader<Counting<R>>>,
    compressed: Arc<AtomicU64>,
    inflated: u64,
    limits: InputLimits,
}

impl<R: Read> Inflating<R> {
    fn new(source: R, limits: InputLimits) -> Self {
        let compressed = Arc::new(AtomicU64::new(0));
        let counting = Counting {
            source,
            count: Arc::clone(&compressed),
        };
        Self {
            decoder: MultiGzDecoder::new(BufReader::new(counting)),
            compressed,
            inflated: 0,
            limits,
        }
    }
}

impl<R: Read> Read for Inflating<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer).map_err(|error| {
            let reason = format!("its gzip data is damaged: {error}");
            io::Error::new(error.kind(), reason)
        })?;
        self.inflated += count as u64;
        let compressed = self.compressed.load(Ordering::Relaxed);
        let exceeded = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        if self.inflated > self.limits.bytes {
            return exceeded(format!(
                "it decompresses to more than {} bytes",
                self.limits.bytes
            ));
        }
        let allowed = compressed.saturating_mul(self.limits.ratio).max(RATIO_FREE);
        if self.inflated > allowed {
            return exceeded(format!(
                "it decompresses to more than {} times its size",
                self.limits.ratio
            ));
        }
        Ok(count)
    }
}
