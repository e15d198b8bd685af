//! Output of any length, of which the beginning and the end are kept.

use std::collections::VecDeque;

use weft_node::job::OUTPUT_BYTES;

/// Space for the mark that replaces the middle.
const MARK_BYTES: usize = 64;
/// Bytes kept of the end.
const TAIL_BYTES: usize = 16 * 1024;
/// Bytes kept of the beginning. In total, they are the output that is kept of a run.
const HEAD_BYTES: usize = OUTPUT_BYTES - TAIL_BYTES - MARK_BYTES;
/// Output up to this length is kept as a whole.
pub(crate) const WHOLE_BYTES: usize = HEAD_BYTES + TAIL_BYTES;

/// Keeps the beginning and the end of output.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    omitted: u64,
}

impl Capture {
    /// Adds output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let free = HEAD_BYTES - self.head.len();
        let (head, rest) = bytes.split_at(bytes.len().min(free));
        self.head.extend_from_slice(head);
        let kept = &rest[rest.len().saturating_sub(TAIL_BYTES)..];
        let too_many = (self.tail.len() + kept.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..too_many);
        self.tail.extend(kept);
        self.omitted += count(rest.len() - kept.len()) + count(too_many);
    }

    /// The kept output as text of at most [`OUTPUT_BYTES`], without the last line break. Bytes that are not UTF-8 become
    /// `?`.
    pub(crate) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if self.omitted == 0 {
            return without_line_break(text_of(&[self.head.as_slice(), &tail].concat()));
        }
        // A character that was cut is omitted as a whole.
        let head = &self.head[..self.head.len() - unfinished(&self.head)];
        let cut = tail
            .iter()
            .take(3)
            .take_while(|byte| is_continuation(**byte))
            .count();
        let omitted = self.omitted + count(self.head.len() - head.len()) + count(cut);
        let (head, tail) = (text_of(head), text_of(&tail[cut..]));
        without_line_break(format!("{head}\n[… {omitted} bytes left out …]\n{tail}"))
    }
}

/// The last line that is not blank, for a message.
pub(crate) fn last_line(text: &str) -> Option<String> {
    last_lines(text, 1)
}

/// The last lines that are not blank, at most `count`, for a message of one line.
pub(crate) fn last_lines(text: &str, count: usize) -> Option<String> {
    let lines = text.lines().rev().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty()).take(count);
    let mut lines: Vec<String> = lines.map(plain_line).collect();
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join(" | "))
}

/// A line without control characters, cut if it is long.
fn plain_line(line: &str) -> String {
    const CHARS: usize = 200;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = line.chars().take(CHARS).map(plain).collect();
    if line.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Converts bytes to text. Each byte that is not UTF-8 becomes `?`.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // One character per byte, so the text is never longer than the bytes.
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

/// The number of bytes at the end that belong to an incomplete character.
fn unfinished(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(4);
    match bytes[from..].utf8_chunks().last() {
        Some(chunk)
            if std::str::from_utf8(chunk.invalid())
                .is_err_and(|error| error.error_len().is_none()) =>
        {
            chunk.invalid().len()
        }
        Some(_) | None => 0,
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

fn without_line_break(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(bytes: &[u8], step: usize) -> Capture {
        let mut capture = Capture::default();
        bytes.chunks(step).for_each(|chunk| capture.push(chunk));
        capture
    }

    #[test]
    fn short_output_is_kept_as_a_whole() {
        let check = |bytes: &[u8], expected: &str| {
            for step in [1, 3, 1_000_000] {
                assert_eq!(captured(bytes, step).text(), expected);
            }
        };
        check(b"", "");
        check(b"a\nb\n", "a\nb");
        check(b"a\r\n", "a");
        check(b"a\n\n", "a\n");
        check("grüße €\n".as_bytes(), "grüße €");
        check(b"a\xff\xfeb", "a??b");
        check(b"cut \xe2\x82", "cut ??");
        let full = vec![b'x'; WHOLE_BYTES];
        check(&full, std::str::from_utf8(&full).unwrap());
    }

    #[test]
    fn both_ends_of_long_output_are_kept_and_the_rest_is_counted() {
        let bytes: Vec<u8> = (0..1_000_000_u32)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        for step in [1_000, 65_536, bytes.len()] {
            let text = captured(&bytes, step).text();
            assert!(text.len() <= OUTPUT_BYTES, "{}", text.len());
            assert!(text.starts_with("0\n1\n2\n") && text.ends_with("\n999998\n999999"));
            let omitted = bytes.len() - WHOLE_BYTES;
            assert!(text.contains(&format!("\n[… {omitted} bytes left out …]\n")));
        }
    }

    #[test]
    fn characters_are_not_cut() {
        for before in 0..4 {
            let mut bytes = vec![b'x'; before];
            bytes.extend("€".repeat(50_000).into_bytes());
            let text = captured(&bytes, 4_096).text();
            assert!(!text.contains('?') && text.len() <= OUTPUT_BYTES);
        }
        let text = captured(&vec![0xff; 1_000_000], 4_096).text();
        assert!(text.len() <= OUTPUT_BYTES);
    }

    #[test]
    fn the_last_line_is_not_blank() {
        assert_eq!(last_line("a\n  b \n\n  \n").as_deref(), Some("b"));
        assert_eq!(last_line("a\u{1b}[31mred").as_deref(), Some("a [31mred"));
        assert_eq!(last_line(" \n"), None);
        assert_eq!(last_lines("a\n\nb\nc\n", 2).as_deref(), Some("b | c"));
        let long = last_line(&"x".repeat(500)).unwrap();
        assert_eq!(long.chars().count(), 201);
    }
}
