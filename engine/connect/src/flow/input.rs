//! Inputs of actors and flows: their declarations, and the values of one call.

use serde_json::{Map, Value};

use super::value::kind_of;

/// The declaration of an input.
#[derive(Debug)]
pub(crate) struct InputSpec {
    pub name: &'static str,
    pub kind: InputKind,
    pub is_required: bool,
    /// For the documentation.
    pub help: &'static str,
}

/// Declares an input that must be given.
pub(crate) const fn required(name: &'static str, kind: InputKind, help: &'static str) -> InputSpec {
    InputSpec {
        name,
        kind,
        is_required: true,
        help,
    }
}

/// Declares an input that may be omitted.
pub(crate) const fn optional(name: &'static str, kind: InputKind, help: &'static str) -> InputSpec {
    InputSpec {
        is_required: false,
        ..required(name, kind, help)
    }
}

/// The values that an input accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputKind {
    Any,
    /// A text. Numbers, true and false are converted.
    Text,
    /// A text without links: code and names are deployed, they never come from data.
    Fixed,
    /// Source code, in which `${…}` belongs to the other language.
    Code,
    /// A number, or a text that is one.
    Number,
    /// A whole number within these bounds, or a text that is one.
    Whole(u64, u64),
    /// True or false, or one of these words as a text.
    Flag,
    List,
    Map,
    ListOrMap,
}

impl InputKind {
    /// Describes the accepted values, e.g. for `must be …`.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Any => "any value".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Fixed => "a text without links".to_owned(),
            Self::Code => "code".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Whole(from, to) => format!("a whole number from {from} to {to}"),
            Self::Flag => "true or false".to_owned(),
            Self::List => "a list".to_owned(),
            Self::Map => "a map".to_owned(),
            Self::ListOrMap => "a list or a map".to_owned(),
        }
    }

    /// Converts a value to this kind.
    ///
    /// # Errors
    /// A message that begins with `must be`.
    pub(crate) fn accept(self, value: Value) -> Result<Value, String> {
        self.convert(value).map_err(|value| {
            let found = match &value {
                Value::String(text) if text.len() <= 40 => format!("`{text}`"),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                value => kind_of(value).to_owned(),
            };
            format!("must be {}, not {found}", self.describe())
        })
    }

    /// The converted value, or the value itself if it is of another kind.
    fn convert(self, value: Value) -> Result<Value, Value> {
        match (self, value) {
            (Self::Any, value)
            | (Self::Text | Self::Fixed | Self::Code, value @ Value::String(_))
            | (Self::Number, value @ Value::Number(_))
            | (Self::Flag, value @ Value::Bool(_))
            | (Self::List | Self::ListOrMap, value @ Value::Array(_))
            | (Self::Map | Self::ListOrMap, value @ Value::Object(_)) => Ok(value),
            (Self::Text, value @ (Value::Number(_) | Value::Bool(_))) => {
                Ok(Value::from(value.to_string()))
            }
            (Self::Number, Value::String(text)) => {
                let number = serde_json::from_str(text.trim()).ok();
                number.filter(Value::is_number).ok_or(Value::String(text))
            }
            (Self::Flag, Value::String(text)) => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(Value::String(text)),
            },
            (Self::Whole(from, to), value) => {
                let number = match &value {
                    Value::Number(number) => number.as_u64(),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                };
                let allowed = number.filter(|number| (from..=to).contains(number));
                allowed.map(Value::from).ok_or(value)
            }
            (_, value) => Err(value),
        }
    }
}

/// The input values of one call of an actor. Each is of the declared kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inputs(Map<String, Value>);

impl Inputs {
    /// Converts `given` to the declared kinds.
    ///
    /// # Errors
    /// An input is missing or is of another kind.
    pub(crate) fn accept(
        specs: &[InputSpec],
        mut given: Map<String, Value>,
    ) -> Result<Self, String> {
        let mut inputs = Map::new();
        for spec in specs {
            let name = spec.name;
            match given.remove(name) {
                None | Some(Value::Null) if !spec.is_required => (),
                None => return Err(format!("the input `{name}` is missing")),
                Some(value) => {
                    let value = spec.kind.accept(value);
                    let value = value.map_err(|error| format!("the input `{name}` {error}"))?;
                    inputs.insert(name.to_owned(), value);
                }
            }
        }
        Ok(Self(inputs))
    }

    /// The value of an input; null if it was omitted.
    pub(crate) fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// The text of an optional input.
    pub(crate) fn optional_text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str()
    }

    /// The text of a required input.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_default()
    }

    /// A whole number; none if it was omitted.
    pub(crate) fn whole(&self, name: &str) -> Option<u64> {
        self.value(name).as_u64()
    }

    /// True or false; false if it was omitted.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or(false)
    }

    /// A map; empty if it was omitted.
    pub(crate) fn map(&self, name: &str) -> Map<String, Value> {
        self.value(name).as_object().cloned().unwrap_or_default()
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }
}
