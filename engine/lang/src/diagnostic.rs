//! Errors in a statement: what is wrong, where, and what to write instead.

use std::borrow::Cow;
use std::fmt::Write;

use crate::scan;
use crate::span::Span;

/// The maximum number of columns of the line that an error shows. The rest is elided.
const LINE_COLUMNS: usize = 78;
const TAB_COLUMNS: usize = 4;

/// One error in a text of the command language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Diagnostic {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where the error is.
    pub span: Span,
    /// What would be correct there.
    pub expected: Vec<String>,
    /// What to do, or what to write instead.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without expectations and hint.
    pub fn new(message: impl Into<String>, span: Span) -> Self {
        Self {
            message: message.into(),
            span,
            expected: Vec::new(),
            hint: None,
        }
    }

    /// Adds what would be correct there.
    pub fn expecting<T: Into<String>>(mut self, expected: impl IntoIterator<Item = T>) -> Self {
        self.expected = expected.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error with the line of `source` that it refers to, and no line break at the end.
    pub fn render(&self, source: &str) -> String {
        let mut out = format!("error: {}", self.message);
        if !source.trim().is_empty() {
            Excerpt::of(source, self.span).put(&mut out);
        }
        if let Some(hint) = self.advice() {
            out.push_str("\nhint: ");
            out.push_str(&hint);
        }
        out
    }

    /// The hint, or else what was expected, unless the message already has it.
    fn advice(&self) -> Option<Cow<'_, str>> {
        if let Some(hint) = &self.hint {
            return Some(Cow::Borrowed(hint));
        }
        let expected = one_of(&self.expected);
        let is_new = !expected.is_empty() && !self.message.contains(&expected);
        is_new.then(|| Cow::Owned(format!("expected {expected}")))
    }
}

/// "a, b or c".
pub(crate) fn one_of<T: AsRef<str>>(choices: &[T]) -> String {
    match choices {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [firsts @ .., last] => {
            let firsts: Vec<_> = firsts.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", firsts.join(", "), last.as_ref())
        }
    }
}

/// The line that a span is in, shortened for display.
struct Excerpt {
    /// The line's number, if the text has more than one line.
    number: Option<usize>,
    line: String,
    /// Columns before the marks.
    before: usize,
    /// Number of marks.
    under: usize,
}

impl Excerpt {
    fn of(source: &str, span: Span) -> Self {
        let source_end = source.trim_end().len();
        let start = floor_boundary(source, span.start.min(source_end.max(1)));
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[start..]
            .find('\n')
            .map_or(source.len(), |newline| start + newline);
        let line = source[line_start..line_end].trim_end();
        let first = (start - line_start).min(line.len());
        let last = floor_boundary(source, span.end.clamp(start, line_end)) - line_start;
        let last = last.min(line.len()).max(first);
        let many_lines = source.trim().contains('\n');
        let number = many_lines.then(|| source[..start].matches('\n').count() + 1);
        let parts = elide([&line[..first], &line[first..last], &line[last..]]);
        let [before, marked, after] = parts.map(|part| displayable(&part));
        Self {
            number,
            before: columns(&before),
            under: columns(&marked).max(1),
            line: format!("{before}{marked}{after}"),
        }
    }
}

impl Excerpt {
    fn put(&self, out: &mut String) {
        let Self {
            number,
            line,
            before,
            under,
        } = self;
        let (gutter, below) = match number {
            Some(number) => {
                let gutter = format!("  {number} | ");
                let blanks = " ".repeat(gutter.len() - 2);
                (gutter, format!("{blanks}| "))
            }
            None => ("  ".to_owned(), "  ".to_owned()),
        };
        let (before, under) = (" ".repeat(*before), "^".repeat(*under));
        write!(out, "\n{gutter}{line}\n{below}{before}{under}")
            .expect("writing to a string never fails");
    }
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Shortens a line around its marked part: first the strings, then both ends.
fn elide(parts: [&str; 3]) -> [Cow<'_, str>; 3] {
    let width = |parts: &[Cow<'_, str>; 3]| parts.iter().map(|part| columns(part)).sum::<usize>();
    let mut parts = parts.map(Cow::Borrowed);
    if width(&parts) <= LINE_COLUMNS {
        return parts;
    }
    for unmarked in [0, 2] {
        parts[unmarked] = Cow::Owned(without_strings(&parts[unmarked]));
    }
    if columns(&parts[1]) > LINE_COLUMNS / 2 {
        parts[1] = Cow::Owned(head(&parts[1], LINE_COLUMNS / 2));
    }
    let rest = LINE_COLUMNS.saturating_sub(columns(&parts[1]));
    if width(&parts) > LINE_COLUMNS {
        let after = columns(&parts[2]).min(rest / 3);
        parts[0] = Cow::Owned(tail(&parts[0], rest - after));
        let after = rest - columns(&parts[0]);
        parts[2] = Cow::Owned(head(&parts[2], after));
    }
    parts
}

/// The text with the content of its long strings elided.
fn without_strings(text: &str) -> String {
    let mut out = String::new();
    let mut offset = 0;
    while let Some(c) = text[offset..].chars().next() {
        let string = scan::is_quote(c)
            .then(|| scan::string(text, offset))
            .and_then(Result::ok);
        match string {
            Some((value, end)) if value.chars().count() > 3 => {
                let closing = text[..end].chars().next_back().unwrap_or(c);
                out.extend([c, '…', closing]);
                offset = end;
            }
            Some((_, end)) => {
                out.push_str(&text[offset..end]);
                offset = end;
            }
            None => {
                out.push(c);
                offset += c.len_utf8();
            }
        }
    }
    out
}

/// The beginning of a text, elided to `max` columns.
fn head(text: &str, max: usize) -> String {
    if columns(text) <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(1);
    let fits = text.chars().take_while(|c| {
        let width = width(*c);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    });
    let mut out: String = fits.collect();
    out.push('…');
    out
}

/// The end of a text, elided to `max` columns.
fn tail(text: &str, max: usize) -> String {
    if columns(text) <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(1);
    let fits = text.chars().rev().take_while(|c| {
        let width = width(*c);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    });
    let backwards: String = fits.collect();
    std::iter::once('…')
        .chain(backwards.chars().rev())
        .collect()
}

/// The text with blanks for tabs, and without characters that would move the terminal's cursor.
fn displayable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.extend(std::iter::repeat_n(' ', TAB_COLUMNS)),
            _ if c.is_control() || is_direction(c) => out.push('\u{FFFD}'),
            _ => out.push(c),
        }
    }
    out
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The columns of a character in a terminal, precise enough to place marks below a line.
fn width(c: char) -> usize {
    match c {
        '\t' => TAB_COLUMNS,
        '\u{0300}'..='\u{036F}'
        | '\u{200B}'..='\u{200D}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' => 0,
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{A4CF}'
        | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FF60}'
        | '\u{1F300}'..='\u{1FAFF}'
        | '\u{20000}'..='\u{3FFFD}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, marked: &str, expected: &str) {
        let start = source
            .find(marked)
            .expect("the marked text is in the source");
        let diagnostic = Diagnostic::new("wrong", Span::new(start, start + marked.len()));
        assert_eq!(diagnostic.render(source), expected);
    }

    #[test]
    fn marks_stand_below_what_they_mark() {
        check("a bad c", "bad", "error: wrong\n  a bad c\n    ^^^");
        check(
            "é 漢字 bad",
            "bad",
            "error: wrong\n  é 漢字 bad\n         ^^^",
        );
        check(
            "\ta\tbad",
            "bad",
            "error: wrong\n      a    bad\n           ^^^",
        );
        check(
            "e\u{301} bad",
            "bad",
            "error: wrong\n  e\u{301} bad\n    ^^^",
        );
    }

    #[test]
    fn many_lines_show_the_right_one_with_its_number() {
        check(
            "one\n  two bad\nthree",
            "bad",
            "error: wrong\n  2 |   two bad\n    |       ^^^",
        );
        check(
            "one\ntwo\nthree",
            "two\nthree",
            "error: wrong\n  2 | two\n    | ^^^",
        );
    }

    #[test]
    fn long_lines_are_elided_around_the_mark() {
        let source = format!("{} bad {}", "x ".repeat(100), "y ".repeat(100));
        let start = source.find("bad").expect("it is there");
        let rendered = Diagnostic::new("wrong", Span::new(start, start + 3)).render(&source);
        let lines: Vec<_> = rendered.lines().collect();
        assert!(columns(lines[1]) <= LINE_COLUMNS + 2, "{rendered}");
        let at = lines[1].chars().position(|c| c == 'b');
        assert_eq!(at, lines[2].chars().position(|c| c == '^'), "{rendered}");
    }

    #[test]
    fn the_end_of_a_text_can_be_marked() {
        let diagnostic = Diagnostic::new("more", Span::at(3)).expecting(["a", "b", "c"]);
        assert_eq!(
            diagnostic.render("BAT\n"),
            "error: more\n  BAT\n     ^\nhint: expected a, b or c"
        );
        assert_eq!(
            Diagnostic::new("empty", Span::at(0)).render(""),
            "error: empty"
        );
    }
}
