//! The values of options: what may be written, and what it becomes in the tree.

use crate::names::NameList;

/// What an option takes.
#[derive(Clone, Copy, Debug)]
pub enum ValueType {
    /// `true` or `false`.
    Boolean,
    /// A whole number in a range that includes both ends.
    Integer(i64, i64),
    /// The same, or -1 for no limit.
    IntegerOrUnlimited(i64, i64),
    /// A number of at least this much, with or without decimal places.
    Decimal(i64),
    /// Any text.
    Text,
    /// Node ids, addresses, data centres and logical ids, separated by commas.
    Nodes,
    /// One of a list of names.
    Name(&'static NameList),
    /// A moment `yyyy-MM-dd HH:mm:ss`, or one of RFC 3339.
    Moment,
    /// When a job runs: a moment, an interval or a cron expression.
    Schedule,
    /// One of [`MISFIRE`](crate::names::MISFIRE), or `ALL:` and a number of runs.
    Misfire,
}

impl ValueType {
    /// The value in a line of syntax.
    pub fn form(self) -> &'static str {
        match self {
            Self::Boolean => "true|false",
            Self::Integer(..) | Self::IntegerOrUnlimited(..) => "<n>",
            Self::Decimal(_) => "<number>",
            Self::Text => "'<text>'",
            Self::Moment => "'<moment>'",
            Self::Nodes => "'<nodes>'",
            Self::Name(_) => "'<name>'",
            Self::Schedule => "'<schedule>'",
            Self::Misfire => "ONCE|SKIP|ALL|ALL:<n>",
        }
    }

    /// Whether `number` is in its range; always false for types that are not whole numbers.
    pub fn admits(self, number: i64) -> bool {
        match self {
            Self::Integer(min, max) => (min..=max).contains(&number),
            Self::IntegerOrUnlimited(min, max) => number == -1 || (min..=max).contains(&number),
            Self::Boolean
            | Self::Decimal(_)
            | Self::Text
            | Self::Moment
            | Self::Nodes
            | Self::Name(_)
            | Self::Schedule
            | Self::Misfire => false,
        }
    }

    /// What it takes, in words, for the message about a wrong value.
    pub fn description(self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Integer(min, max) if max >= i64::from(u32::MAX) => {
                format!("a whole number from {min} up")
            }
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::IntegerOrUnlimited(min, max) => {
                format!("-1 or a whole number from {min} to {max}")
            }
            Self::Decimal(min) => format!("a number from {min} up, as in 2 or 1.5"),
            Self::Text
            | Self::Moment
            | Self::Nodes
            | Self::Name(_)
            | Self::Schedule
            | Self::Misfire => self.form().to_owned(),
        }
    }
}

/// The value of an option in the tree. Names are in their canonical spelling; decimals and schedules stay text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each holds the value of its name")]
pub enum OptionValue {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

/// A type that a field of the tree may have for an option.
pub(crate) trait OptionField: Sized {
    /// The value as this type; `None` if it has another one, which the types of the table exclude.
    fn from_value(value: OptionValue) -> Option<Self>;

    fn to_value(&self) -> OptionValue;
}

impl OptionField for bool {
    fn from_value(value: OptionValue) -> Option<Self> {
        match value {
            OptionValue::Boolean(value) => Some(value),
            OptionValue::Integer(_) | OptionValue::Text(_) => None,
        }
    }

    fn to_value(&self) -> OptionValue {
        OptionValue::Boolean(*self)
    }
}

impl OptionField for i64 {
    fn from_value(value: OptionValue) -> Option<Self> {
        match value {
            OptionValue::Integer(value) => Some(value),
            OptionValue::Boolean(_) | OptionValue::Text(_) => None,
        }
    }

    fn to_value(&self) -> OptionValue {
        OptionValue::Integer(*self)
    }
}

/// For ranges that begin at 0 or 1.
impl OptionField for u64 {
    fn from_value(value: OptionValue) -> Option<Self> {
        i64::from_value(value).and_then(|value| value.try_into().ok())
    }

    fn to_value(&self) -> OptionValue {
        OptionValue::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
}

impl OptionField for String {
    fn from_value(value: OptionValue) -> Option<Self> {
        match value {
            OptionValue::Text(value) => Some(value),
            OptionValue::Boolean(_) | OptionValue::Integer(_) => None,
        }
    }

    fn to_value(&self) -> OptionValue {
        OptionValue::Text(self.clone())
    }
}
