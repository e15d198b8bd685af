//! Options, as the table has them.

use super::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::keywords::{CommandSpec, OptionSpec, Takes, With};
use crate::lexer::TokenKind;
use crate::names::{MISFIRE, NameList, nearest};
use crate::schedule;
use crate::span::{Span, Spanned};

/// The options that were given, checked against the table.
#[derive(Debug)]
pub(super) struct Options {
    spec: &'static CommandSpec,
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    name: &'static str,
    name_span: Span,
    value: Value,
    value_span: Span,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl Options {
    /// Reads options up to the end of the statement.
    pub(super) fn parse(
        cursor: &mut Cursor<'_>,
        spec: &'static CommandSpec,
    ) -> Result<Self, Diagnostic> {
        let mut options = Self {
            spec,
            given: Vec::new(),
        };
        let mut with = false;
        while !cursor.at_end()? {
            if !with && cursor.accept_word("WITH")?.is_some() {
                with = true;
                if cursor.at_end()? {
                    return Err(missing_option(cursor, spec)?);
                }
                continue;
            }
            if !options.given.is_empty() {
                cursor.accept_symbol(',')?;
            }
            let given = option(cursor, spec, with)?;
            if options
                .given
                .iter()
                .any(|earlier| earlier.name == given.name)
            {
                return Err(Diagnostic::new(
                    format!("option `{}` is given twice", given.name),
                    given.name_span,
                ));
            }
            options.given.push(given);
        }
        Ok(options)
    }

    /// The name's place, for errors about the option itself.
    pub(super) fn name_span(&self, name: &str) -> Option<Span> {
        self.given
            .iter()
            .find(|given| given.name == name)
            .map(|given| given.name_span)
    }

    fn take(&self, name: &str) -> Option<(&Value, Span)> {
        debug_assert!(
            self.spec.option(name).is_some(),
            "{} has no option {name}",
            self.spec.name
        );
        let given = self.given.iter().find(|given| given.name == name)?;
        Some((&given.value, given.value_span))
    }

    pub(super) fn text(&self, name: &str) -> Option<Spanned<String>> {
        match self.take(name)? {
            (Value::Text(text), span) => Some(Spanned::new(text.clone(), span)),
            (Value::Boolean(_) | Value::Integer(_), _) => None,
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Option<Spanned<bool>> {
        match self.take(name)? {
            (Value::Boolean(value), span) => Some(Spanned::new(*value, span)),
            (Value::Text(_) | Value::Integer(_), _) => None,
        }
    }

    pub(super) fn integer(&self, name: &str) -> Option<Spanned<i64>> {
        match self.take(name)? {
            (Value::Integer(value), span) => Some(Spanned::new(*value, span)),
            (Value::Text(_) | Value::Boolean(_), _) => None,
        }
    }

    /// A number whose least value in the table is not negative.
    pub(super) fn count(&self, name: &str) -> Option<Spanned<u64>> {
        self.integer(name)
            .map(|number| number.map(i64::unsigned_abs))
    }
}

fn option(
    cursor: &mut Cursor<'_>,
    spec: &'static CommandSpec,
    with: bool,
) -> Result<Given, Diagnostic> {
    let token = cursor.peek()?;
    if token.kind != TokenKind::Word {
        return Err(missing_option(cursor, spec)?);
    }
    let word = token.span.of(cursor.text());
    let Some(option) = spec.option(word) else {
        return Err(unknown_option(cursor, spec, word, token.span));
    };
    if spec.with == With::Required && !with && !option.anywhere {
        let message = format!("option `{}` comes behind WITH", option.name);
        return Err(
            Diagnostic::new(message, token.span).hint(format!("write `with {}=…`", option.name))
        );
    }
    cursor.next()?;
    if !cursor.accept_symbol('=')? && !option.bare {
        return Err(cursor.unexpected(&["="])?.hint(format!(
            "write `{}={}`",
            option.name,
            option.takes.form()
        )));
    }
    let literal = cursor.assigned_literal(option.takes.form())?;
    let value = value(option, &literal)?;
    Ok(Given {
        name: option.name,
        name_span: token.span,
        value,
        value_span: literal.span,
    })
}

fn missing_option(
    cursor: &Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Diagnostic, Diagnostic> {
    let names: Vec<_> = spec.options.iter().map(|option| option.name).collect();
    let diagnostic = match names.as_slice() {
        [] => cursor.unexpected(&[])?,
        [_, ..] => cursor.unexpected(&["an option"])?.hint(options_hint(spec)),
    };
    Ok(Diagnostic {
        expected: names.into_iter().map(str::to_owned).collect(),
        ..diagnostic
    })
}

fn unknown_option(
    cursor: &Cursor<'_>,
    spec: &'static CommandSpec,
    word: &str,
    span: Span,
) -> Diagnostic {
    let names: Vec<_> = spec.options.iter().map(|option| option.name).collect();
    let is_option = cursor.is_option().unwrap_or(false);
    let diagnostic = if is_option {
        Diagnostic::new(format!("unknown option `{word}`"), span)
    } else {
        Diagnostic::new(format!("`{word}` is not expected here"), span)
    };
    let diagnostic = diagnostic.expecting(names.iter().copied());
    let all_names = spec
        .options
        .iter()
        .flat_map(|option| option.names())
        .chain(["WITH"]);
    match nearest(word, all_names) {
        Some("WITH") if is_option => diagnostic,
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint(options_hint(spec)),
    }
}

fn options_hint(spec: &CommandSpec) -> String {
    let names: Vec<_> = spec.options.iter().map(|option| option.name).collect();
    match names.as_slice() {
        [] => format!("{} has no options", spec.name),
        [only] => format!("the only option is {only}"),
        few if few.len() <= 6 => format!("the options are {}", few.join(", ")),
        _ => format!("HELP {} lists the options", spec.name),
    }
}

fn value(option: &OptionSpec, literal: &Spanned<String>) -> Result<Value, Diagnostic> {
    let text = literal.value.as_str();
    let wrong =
        |what: String| Diagnostic::new(format!("{} takes {what}", option.name), literal.span);
    match option.takes {
        Takes::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        Takes::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        Takes::Boolean => Err(wrong("true or false".to_owned()).expecting(["true", "false"])),
        Takes::Integer(..) | Takes::IntegerOrUnlimited(..) => {
            let number = text.trim().parse::<i64>().ok();
            let number = number.filter(|number| option.takes.admits(*number));
            number
                .map(Value::Integer)
                .ok_or_else(|| wrong(option.takes.in_words()))
        }
        Takes::Decimal(least) => match text.trim() {
            number if is_decimal(number, least) => Ok(Value::Text(number.to_owned())),
            _ => Err(wrong(format!("a number from {least} up, as in 2 or 1.5"))),
        },
        Takes::Name(list) => name_of(list, literal),
        Takes::Schedule => match schedule::check(text) {
            Ok(()) => Ok(Value::Text(text.to_owned())),
            Err(wrong) => Err(Diagnostic::new(wrong, literal.span)
                .hint("write a moment `yyyy-MM-dd HH:mm:ss`, an interval `[D.]HH:MM:SS` or a cron expression")),
        },
        Takes::Misfire => misfire(literal),
        Takes::Text | Takes::Nodes => Ok(Value::Text(text.to_owned())),
    }
}

fn name_of(list: &NameList, literal: &Spanned<String>) -> Result<Value, Diagnostic> {
    let text = literal.value.as_str();
    if let Some(name) = list.canonical(text) {
        return Ok(Value::Text(name.to_owned()));
    }
    let wrong = |message: String| {
        Diagnostic::new(message, literal.span).expecting(list.names.iter().copied())
    };
    let wrong = wrong(format!("unknown {} `{text}`", list.what));
    let aliases = list.aliases.iter().map(|(alias, _)| *alias);
    Err(
        match nearest(text, list.names.iter().copied().chain(aliases)) {
            Some(name) => wrong.hint(format!("did you mean `{name}`?")),
            None => wrong,
        },
    )
}

/// A misfire rule, or `ALL:` and how many of the missed runs.
fn misfire(literal: &Spanned<String>) -> Result<Value, Diagnostic> {
    let Some((rule, runs)) = literal.value.split_once(':') else {
        return name_of(&MISFIRE, literal);
    };
    match runs.trim().parse::<u32>() {
        Ok(runs @ 1..) if rule.trim().eq_ignore_ascii_case("ALL") => {
            Ok(Value::Text(format!("ALL:{runs}")))
        }
        Ok(_) | Err(_) => {
            let message = format!("`{}` is not a {}", literal.value, MISFIRE.what);
            Err(Diagnostic::new(message, literal.span)
                .expecting(MISFIRE.names.iter().copied())
                .hint("only ALL has a number of runs behind it, from 1 up, as in `ALL:20`"))
        }
    }
}

/// Whether `text` is digits, with or without decimal places, and at least `least`.
fn is_decimal(text: &str, least: i64) -> bool {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    is_digits(whole)
        && is_digits(places)
        && whole
            .parse::<u32>()
            .is_ok_and(|whole| i64::from(whole) >= least)
}
