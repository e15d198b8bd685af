//! Positions in a statement's text.

use std::fmt;

/// A half-open range of bytes in the text that was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

impl Span {
    /// The range from `start` up to but not including `end`.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end, "a span does not end before it starts");
        Self { start, end }
    }

    /// The empty range before a byte.
    pub fn at(offset: usize) -> Self {
        Self::new(offset, offset)
    }

    /// The smallest range that covers both.
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// The text of this range; empty if the range does not fit `text`.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// A value and where it was written.
///
/// Spanned values are equal if their values are, so that a tree equals the tree of its printed form.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value that is written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A value that is not part of a text, for trees that are built by code.
    pub fn unplaced(value: T) -> Self {
        Self::new(value, Span::default())
    }

    /// The same span with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned::new(change(self.value), self.span)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
