//! Reading the options of a command, checked against its table.

use super::spec::{CommandSpec, With};
use crate::cursor::Cursor;
use crate::diagnostic::Diagnostic;
use crate::lexer::TokenKind;
use crate::names::{MISFIRE, NameList, nearest};
use crate::options::{OptionField, OptionSpec, OptionValue, ValueType};
use crate::schedule;
use crate::span::{Span, Spanned};

/// The options that a statement gives.
#[derive(Debug)]
pub(super) struct GivenOptions {
    spec: &'static CommandSpec,
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    name: &'static str,
    name_span: Span,
    value: Spanned<OptionValue>,
}

impl GivenOptions {
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
            if options.find(given.name).is_some() {
                return Err(Diagnostic::new(
                    format!("option `{}` is given twice", given.name),
                    given.name_span,
                ));
            }
            options.given.push(given);
        }
        Ok(options)
    }

    fn find(&self, name: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.name == name)
    }

    /// Where the option's name is written, for errors about the option itself.
    pub(super) fn name_span(&self, name: &str) -> Option<Span> {
        self.find(name).map(|given| given.name_span)
    }

    /// The option's value.
    pub(super) fn value(&self, name: &str) -> Option<Spanned<OptionValue>> {
        self.find(name).map(|given| given.value.clone())
    }

    /// The value of an option of this command, as the type of its field in the tree.
    pub(super) fn get<T: OptionField>(&self, name: &str) -> Option<Spanned<T>> {
        debug_assert!(
            self.spec.option(name).is_some(),
            "{} has no option {name}",
            self.spec.name
        );
        let Spanned { value, span } = self.value(name)?;
        T::from_value(value).map(|value| Spanned::new(value, span))
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
    if spec.with == With::Required && !with && !option.is_allowed_before_with {
        let message = format!("option `{}` must follow WITH", option.name);
        return Err(
            Diagnostic::new(message, token.span).hint(format!("write `with {}=…`", option.name))
        );
    }
    cursor.next()?;
    if !cursor.accept_symbol('=')? && !option.is_equals_optional {
        return Err(cursor.unexpected(&["="])?.hint(format!(
            "write `{}={}`",
            option.name,
            option.value_type.form()
        )));
    }
    let literal = cursor.assigned_literal(option.value_type.form())?;
    let value = value(option, &literal)?;
    Ok(Given {
        name: option.name,
        name_span: token.span,
        value: Spanned::new(value, literal.span),
    })
}

fn missing_option(
    cursor: &Cursor<'_>,
    spec: &'static CommandSpec,
) -> Result<Diagnostic, Diagnostic> {
    let names: Vec<_> = spec.options().map(|option| option.name).collect();
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
    let names: Vec<_> = spec.options().map(|option| option.name).collect();
    let is_option = cursor.is_option().unwrap_or(false);
    let diagnostic = if is_option {
        Diagnostic::new(format!("unknown option `{word}`"), span)
    } else {
        Diagnostic::new(format!("`{word}` is not expected here"), span)
    };
    let diagnostic = diagnostic.expecting(names.iter().copied());
    let all_names = spec.options().flat_map(OptionSpec::names).chain(["WITH"]);
    match nearest(word, all_names) {
        Some("WITH") if is_option => diagnostic,
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint(options_hint(spec)),
    }
}

fn options_hint(spec: &CommandSpec) -> String {
    let names: Vec<_> = spec.options().map(|option| option.name).collect();
    match names.as_slice() {
        [] => format!("{} has no options", spec.name),
        [only] => format!("the only option is {only}"),
        few if few.len() <= 6 => format!("the options are {}", few.join(", ")),
        _ => format!("HELP {} lists the options", spec.name),
    }
}

impl OptionSpec {
    /// Reads a value of the option as a statement does.
    ///
    /// # Errors
    /// The option does not take it. The error has no place.
    pub fn read(&self, text: &str) -> Result<OptionValue, Diagnostic> {
        value(self, &Spanned::unplaced(text.to_owned()))
    }
}

fn value(option: &OptionSpec, literal: &Spanned<String>) -> Result<OptionValue, Diagnostic> {
    let text = literal.value.as_str();
    let value_type = option.value_type;
    let wrong = || {
        let message = format!("{} takes {}", option.name, value_type.description());
        Diagnostic::new(message, literal.span)
    };
    match value_type {
        ValueType::Boolean if text.eq_ignore_ascii_case("true") => Ok(OptionValue::Boolean(true)),
        ValueType::Boolean if text.eq_ignore_ascii_case("false") => Ok(OptionValue::Boolean(false)),
        ValueType::Boolean => Err(wrong().expecting(["true", "false"])),
        ValueType::Integer(..) | ValueType::IntegerOrUnlimited(..) => {
            let number = text.trim().parse::<i64>().ok();
            let number = number.filter(|number| value_type.admits(*number));
            number.map(OptionValue::Integer).ok_or_else(wrong)
        }
        ValueType::Decimal(min) => match text.trim() {
            number if is_decimal(number, min) => Ok(OptionValue::Text(number.to_owned())),
            _ => Err(wrong()),
        },
        ValueType::Name(list) => name_of(list, literal),
        ValueType::Schedule => match schedule::check(text) {
            Ok(()) => Ok(OptionValue::Text(text.to_owned())),
            Err(message) => Err(Diagnostic::new(message, literal.span).hint(SCHEDULE_HINT)),
        },
        ValueType::Misfire => misfire(literal),
        ValueType::Text | ValueType::Moment | ValueType::Nodes => {
            Ok(OptionValue::Text(text.to_owned()))
        }
    }
}

const SCHEDULE_HINT: &str =
    "write a moment `yyyy-MM-dd HH:mm:ss`, an interval `[D.]HH:MM:SS` or a cron expression";

fn name_of(list: &NameList, literal: &Spanned<String>) -> Result<OptionValue, Diagnostic> {
    let text = literal.value.as_str();
    if let Some(name) = list.canonical(text) {
        return Ok(OptionValue::Text(name.to_owned()));
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
fn misfire(literal: &Spanned<String>) -> Result<OptionValue, Diagnostic> {
    let Some((rule, runs)) = literal.value.split_once(':') else {
        return name_of(&MISFIRE, literal);
    };
    match runs.trim().parse::<u32>() {
        Ok(runs @ 1..) if rule.trim().eq_ignore_ascii_case("ALL") => {
            Ok(OptionValue::Text(format!("ALL:{runs}")))
        }
        Ok(_) | Err(_) => {
            let message = format!("`{}` is not a {}", literal.value, MISFIRE.what);
            Err(Diagnostic::new(message, literal.span)
                .expecting(MISFIRE.names.iter().copied())
                .hint("only ALL can be followed by a number of runs, from 1 up, as in `ALL:20`"))
        }
    }
}

/// Whether `text` is a number of digits, with or without decimal places, of at least `min`.
fn is_decimal(text: &str, min: i64) -> bool {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    is_digits(whole)
        && is_digits(places)
        && whole
            .parse::<u32>()
            .is_ok_and(|whole| i64::from(whole) >= min)
}
