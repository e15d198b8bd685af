//! The policy of a job in the API: fields and schema come from the options of the language.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use weft_lang::{OptionSpec, OptionValue, ValueType};
use weft_model::schedule::JobPolicy;
use weft_model::schedule::policy_draft::{PolicyDraft, policy_options, policy_values};

/// How the schedule and the failures of a job are handled. It can be sent back as `policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobPolicyItem(Map<String, Value>);

impl From<&JobPolicy> for JobPolicyItem {
    fn from(policy: &JobPolicy) -> Self {
        let values = policy_values(policy);
        Self(
            values
                .map(|(spec, value)| (field(spec), json(spec, value)))
                .collect(),
        )
    }
}

/// Changes of a policy. An absent field stays as it is; null restores the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyChange(pub PolicyDraft);

/// The field of an option: its name in small letters.
pub(crate) fn field(spec: &OptionSpec) -> String {
    spec.name.to_ascii_lowercase()
}

/// The value of an option in JSON; decimals, which the language keeps as texts, are numbers.
fn json(spec: &OptionSpec, value: Option<OptionValue>) -> Value {
    match value {
        None => Value::Null,
        Some(OptionValue::Boolean(value)) => Value::Bool(value),
        Some(OptionValue::Integer(number)) => Value::from(number),
        Some(OptionValue::Text(text)) => match spec.value_type {
            ValueType::Decimal(_) => {
                let number = text.parse().ok().and_then(Number::from_f64);
                number.map_or(Value::String(text), Value::Number)
            }
            _ => Value::String(text),
        },
    }
}

impl<'de> Deserialize<'de> for PolicyChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// Reads the fields of an object.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = PolicyChange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy of a job")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<PolicyChange, A::Error> {
        let mut change = PolicyChange::default();
        let mut given = Vec::new();
        while let Some(FieldName(spec)) = fields.next_key()? {
            if given.contains(&spec.name) {
                return Err(A::Error::custom(format!(
                    "duplicate field `{}`",
                    field(spec)
                )));
            }
            given.push(spec.name);
            let value = fields.next_value_seed(FieldOf(spec))?;
            change = PolicyChange(change.0.with(spec.name, value));
        }
        Ok(change)
    }
}

/// The option that a field stands for.
struct FieldName(&'static OptionSpec);

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let spec = policy_options().find(|spec| field(spec) == name);
        spec.map(Self).ok_or_else(|| {
            let known: Vec<String> = policy_options().map(field).collect();
            let known = known.join("`, `");
            D::Error::custom(format!("unknown field `{name}`, expected one of `{known}`"))
        })
    }
}

/// Reads a value of an option.
struct FieldOf(&'static OptionSpec);

impl<'de> DeserializeSeed<'de> for FieldOf {
    type Value = Option<OptionValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        Ok(match json_type(self.0) {
            Type::Boolean => Option::deserialize(from)?.map(OptionValue::Boolean),
            Type::Integer => Option::deserialize(from)?.map(OptionValue::Integer),
            Type::Number => Option::<f64>::deserialize(from)?
                .map(|number| OptionValue::Text(number.to_string())),
            _ => Option::deserialize(from)?.map(OptionValue::Text),
        })
    }
}

fn json_type(spec: &OptionSpec) -> Type {
    match spec.value_type {
        ValueType::Boolean => Type::Boolean,
        ValueType::Integer(..) | ValueType::IntegerOrUnlimited(..) => Type::Integer,
        ValueType::Decimal(_) => Type::Number,
        ValueType::Text
        | ValueType::Moment
        | ValueType::Nodes
        | ValueType::Name(_)
        | ValueType::Schedule
        | ValueType::Misfire => Type::String,
    }
}

/// The schema of an option, with its help text and its default.
fn schema_of(spec: &OptionSpec, is_nullable: bool) -> ObjectBuilder {
    let own = json_type(spec);
    let format = match own {
        Type::Integer => Some(SchemaFormat::KnownFormat(KnownFormat::Int64)),
        Type::Number => Some(SchemaFormat::KnownFormat(KnownFormat::Double)),
        _ => None,
    };
    let schema_type = if is_nullable {
        SchemaType::from_iter([own, Type::Null])
    } else {
        SchemaType::new(own)
    };
    let default = spec.default.map(|default| format!(" Default: {default}."));
    let schema = ObjectBuilder::new()
        .schema_type(schema_type)
        .format(format)
        .description(Some(format!(
            "{}{}",
            spec.summary,
            default.unwrap_or_default()
        )));
    match spec.value_type {
        ValueType::Integer(min, max) => {
            let schema = schema.minimum(Some(min));
            if max < i64::from(u32::MAX) {
                schema.maximum(Some(max))
            } else {
                schema
            }
        }
        ValueType::IntegerOrUnlimited(_, max) => schema.minimum(Some(-1)).maximum(Some(max)),
        ValueType::Decimal(min) => schema.minimum(Some(min)),
        _ => schema,
    }
}

impl PartialSchema for PolicyChange {
    fn schema() -> RefOr<Schema> {
        let about = "Changes of a policy. An absent field stays as it is; null restores the default. Moments are \
            RFC 3339, or `yyyy-MM-dd HH:mm:ss` in the job's time zone.";
        let object = ObjectBuilder::new()
            .description(Some(about))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)));
        let object = policy_options().fold(object, |object, spec| {
            object.property(field(spec), schema_of(spec, true))
        });
        object.into()
    }
}

impl ToSchema for PolicyChange {
    fn name() -> Cow<'static, str> {
        "PolicyChange".into()
    }
}

impl PartialSchema for JobPolicyItem {
    fn schema() -> RefOr<Schema> {
        let about = "How the schedule and the failures of a job are handled; null is no limit, or none. It can be \
            sent back as `policy`.";
        let object = ObjectBuilder::new().description(Some(about));
        // What has no value by default may be null.
        let defaults = JobPolicy::default();
        let object = policy_values(&defaults).fold(object, |object, (spec, value)| {
            let mut schema = schema_of(spec, value.is_none());
            if let ValueType::Moment = spec.value_type {
                schema = schema.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
            }
            object.property(field(spec), schema).required(field(spec))
        });
        object.into()
    }
}

impl ToSchema for JobPolicyItem {
    fn name() -> Cow<'static, str> {
        "JobPolicyItem".into()
    }
}
