//! Times in the API: RFC 3339 with milliseconds, in UTC.

use chrono::DateTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use weft_model::clock::Timestamp;

/// A time, e.g. `2026-01-02T03:04:05.678Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Moment(pub Timestamp);

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DateTime::parse_from_rfc3339(&text)
            .map(|moment| Self(Timestamp(moment.timestamp_millis())))
            .map_err(|error| {
                D::Error::custom(format!(
                    "not an RFC 3339 time such as 2026-01-02T03:04:05Z: {error}"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_milliseconds_and_utc() {
        let moment: Moment = serde_json::from_str(r#""2026-01-02T04:04:05+01:00""#).unwrap();
        assert_eq!(
            serde_json::to_string(&moment).unwrap(),
            r#""2026-01-02T03:04:05.000Z""#
        );
        assert!(serde_json::from_str::<Moment>(r#""2026-01-02""#).is_err());
    }
}
