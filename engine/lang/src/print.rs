//! How values are written in the canonical form of a statement.

use std::fmt::{self, Display, Formatter};

use crate::ast::{Assignment, Instance, Text};
use crate::options::{OptionField, OptionSpec, OptionValue};
use crate::scan;
use crate::span::Spanned;

/// `LU.id`
impl Display for Instance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { lu, id } = self;
        match &id.value {
            Text::Literal(id) => write!(f, "{lu}.{}", Name(id)),
            Text::Parameter(_) => write!(f, "{lu}.?"),
        }
    }
}

/// A quoted string, or `?`.
impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => Quoted(value).fmt(f),
            Self::Parameter(_) => f.write_str("?"),
        }
    }
}

/// `name='value'`
impl Display for Assignment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.name.value;
        match name.split('.').all(scan::is_name) {
            true => f.write_str(name)?,
            false => Quoted(name).fmt(f)?,
        }
        write!(f, "={}", self.value)
    }
}

/// A string in single quotes.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

/// A name, quoted only if it has other characters than a name has.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match scan::is_name(self.0) {
            true => f.write_str(self.0),
            false => Quoted(self.0).fmt(f),
        }
    }
}

/// ` value`, if there is one.
pub(crate) fn argument<T: Display>(f: &mut Formatter<'_>, value: Option<&T>) -> fmt::Result {
    match value {
        Some(value) => write!(f, " {value}"),
        None => Ok(()),
    }
}

/// How booleans are written. Fabric's documentation quotes those of batches.
#[derive(Clone, Copy)]
pub(crate) enum Booleans {
    Bare,
    Quoted,
}

/// ` NAME=value`, if the option was given.
pub(crate) fn option<T: OptionField>(
    f: &mut Formatter<'_>,
    name: &str,
    given: &Option<Spanned<T>>,
) -> fmt::Result {
    match given {
        Some(given) => option_value(f, name, &given.value.to_value(), Booleans::Bare),
        None => Ok(()),
    }
}

/// ` NAME=value` for each option of a table that was given.
pub(crate) fn options(
    f: &mut Formatter<'_>,
    mut given: impl Iterator<Item = (&'static OptionSpec, Spanned<OptionValue>)>,
    booleans: Booleans,
) -> fmt::Result {
    given.try_for_each(|(spec, given)| option_value(f, spec.name, &given.value, booleans))
}

fn option_value(
    f: &mut Formatter<'_>,
    name: &str,
    value: &OptionValue,
    booleans: Booleans,
) -> fmt::Result {
    match (value, booleans) {
        (OptionValue::Text(text), _) => write!(f, " {name}={}", Quoted(text)),
        (OptionValue::Integer(number), _) => write!(f, " {name}={number}"),
        (OptionValue::Boolean(value), Booleans::Bare) => write!(f, " {name}={value}"),
        (OptionValue::Boolean(value), Booleans::Quoted) => write!(f, " {name}='{value}'"),
    }
}

/// ` name='value'` for each assignment, with `separator` between them.
pub(crate) fn assignments(
    f: &mut Formatter<'_>,
    assignments: &[Assignment],
    separator: &str,
) -> fmt::Result {
    for (index, assignment) in assignments.iter().enumerate() {
        let separator = if index == 0 { "" } else { separator };
        write!(f, "{separator} {assignment}")?;
    }
    Ok(())
}
