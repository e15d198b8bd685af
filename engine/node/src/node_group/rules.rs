//! The affinity rules of the cluster, as SET_GLOBAL AFFINITY_RULES writes them.

use serde_json::{Map, Value};
use weft_lang::names;

use super::IGNORE;
use crate::affinity::ANY;
use crate::config::is_name;

/// The most bytes of the rules.
const MAX_BYTES: usize = 64 * 1024;
/// The group of all nodes in no other group.
pub const DEFAULT_GROUP: &str = "default_group";
const EXAMPLE: &str = r#"write {"DC1":{"blue":{"count":2,"affinities":[{"affinity":"heavy","recommended":2,"max":4}]}},"default_group":{"affinities":[{"affinity":"light"}]}}"#;

/// The groups of the data centres, in the order in which they get their nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AffinityRules {
    /// The groups by data centre.
    pub data_centres: Vec<(String, Vec<GroupRule>)>,
    /// The group of the remaining nodes, in every data centre.
    pub default_group: Option<GroupRule>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// Its name, which is also a logical id of its nodes.
    pub name: String,
    /// How many nodes it has; the default group takes all remaining nodes.
    pub count: usize,
    /// The logical ids of its nodes.
    pub affinities: Vec<AffinityRule>,
}

/// A logical id with its sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityRule {
    /// The logical id.
    pub affinity: String,
    /// How many jobs of it a node claims at once; `None` = as many as `max`.
    pub recommended: Option<u32>,
    /// How many jobs of it a node runs at most; `None` = as many as `recommended`, or any number.
    pub max: Option<u32>,
}

/// An error in the rules and its place: `DC1.blue.count: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RulesError {
    /// The place and the error.
    pub message: String,
    /// An example of correct rules.
    pub hint: String,
}

type ReadResult<T> = Result<T, RulesError>;

impl AffinityRules {
    /// Reads rules from JSON; an empty text has none.
    ///
    /// # Errors
    /// The first error and its place.
    pub fn parse(text: &str) -> ReadResult<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        if text.len() > MAX_BYTES {
            return wrong("affinity rules", format!("longer than {MAX_BYTES} bytes"));
        }
        let value: Value = serde_json::from_str(text)
            .or_else(|error| wrong("affinity rules", format!("cannot be read as JSON: {error}")))?;
        let mut rules = Self::default();
        for (name, value) in object("affinity rules", &value)? {
            if name == DEFAULT_GROUP {
                rules.default_group = Some(group(name, name, value, true)?);
                continue;
            }
            check_name(name, name)?;
            let mut groups: Vec<GroupRule> = Vec::new();
            for (group_name, value) in object(name, value)? {
                let place = format!("{name}.{group_name}");
                check_name(&place, group_name)?;
                if group_name.eq_ignore_ascii_case(ANY) {
                    return wrong(
                        &place,
                        "means every node in an affinity, so no group has that name",
                    );
                }
                if group_name == DEFAULT_GROUP {
                    return wrong(&place, "stands beside the data centres, not in one");
                }
                if groups
                    .iter()
                    .any(|known| known.name.eq_ignore_ascii_case(group_name))
                {
                    return wrong(&place, "is there twice, in upper and lower case");
                }
                groups.push(group(&place, group_name, value, false)?);
            }
            rules.data_centres.push((name.clone(), groups));
        }
        Ok(rules)
    }

    /// The groups of a data centre.
    pub fn groups(&self, dc: &str) -> &[GroupRule] {
        let found = self
            .data_centres
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(dc));
        found.map_or(&[], |(_, groups)| groups.as_slice())
    }
}

impl GroupRule {
    /// The logical ids of its nodes, as in node.id, without the name of the group.
    pub fn logical_ids(&self) -> Vec<String> {
        self.affinities
            .iter()
            .map(AffinityRule::to_logical_id)
            .collect()
    }
}

impl AffinityRule {
    /// The logical id as in node.id: `Name:2-4`.
    fn to_logical_id(&self) -> String {
        let name = &self.affinity;
        match (self.recommended, self.max) {
            (None, None) => name.clone(),
            (Some(size), None) | (None, Some(size)) => format!("{name}:{size}"),
            (Some(recommended), Some(max)) if recommended == max => format!("{name}:{max}"),
            (Some(recommended), Some(max)) => format!("{name}:{recommended}-{max}"),
        }
    }
}

fn group(place: &str, name: &str, value: &Value, is_default: bool) -> ReadResult<GroupRule> {
    let fields = object(place, value)?;
    let known: &[&str] = match is_default {
        true => &["affinities"],
        false => &["count", "affinities"],
    };
    check_fields(place, fields, known)?;
    let count = match fields.get("count") {
        None if is_default => usize::MAX,
        count => match count.and_then(Value::as_u64) {
            Some(count @ 0..=1_000_000) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return wrong(&format!("{place}.count"), "is the number of its nodes"),
        },
    };
    let place = format!("{place}.affinities");
    let Some(Value::Array(listed)) = fields.get("affinities") else {
        return wrong(&place, "is a list of what its nodes carry");
    };
    let mut affinities: Vec<AffinityRule> = Vec::new();
    for (number, value) in listed.iter().enumerate() {
        let place = format!("{place}[{number}]");
        let rule = affinity(&place, value)?;
        let is_known = |known: &AffinityRule| known.affinity.eq_ignore_ascii_case(&rule.affinity);
        if affinities.iter().any(is_known) {
            return wrong(&place, format!("names `{}` a second time", rule.affinity));
        }
        affinities.push(rule);
    }
    Ok(GroupRule {
        name: name.to_owned(),
        count,
        affinities,
    })
}

fn affinity(place: &str, value: &Value) -> ReadResult<AffinityRule> {
    let fields = object(place, value)?;
    check_fields(place, fields, &["affinity", "recommended", "max"])?;
    let Some(name) = fields.get("affinity").and_then(Value::as_str) else {
        return wrong(&format!("{place}.affinity"), "is the name of a logical id");
    };
    check_name(&format!("{place}.affinity"), name)?;
    let size = |field: &str| match fields.get(field) {
        None => Ok(None),
        Some(value) => match value.as_u64().and_then(|size| u32::try_from(size).ok()) {
            Some(size) => Ok(Some(size)),
            None => wrong(&format!("{place}.{field}"), "is a number of jobs"),
        },
    };
    let rule = AffinityRule {
        affinity: name.to_owned(),
        recommended: size("recommended")?,
        max: size("max")?,
    };
    if let (Some(recommended), Some(max)) = (rule.recommended, rule.max)
        && recommended > max
    {
        return wrong(
            place,
            format!("recommends {recommended}, which is more than max {max}"),
        );
    }
    Ok(rule)
}

fn object<'a>(place: &str, value: &'a Value) -> ReadResult<&'a Map<String, Value>> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => wrong(place, "is not a JSON object"),
    }
}

fn check_fields(place: &str, fields: &Map<String, Value>, known: &[&str]) -> ReadResult<()> {
    let unknown = fields.keys().find(|field| !known.contains(&field.as_str()));
    let Some(field) = unknown else {
        return Ok(());
    };
    let hint = names::hint(field, known);
    let message = format!("{place} has no `{field}`");
    Err(RulesError { message, hint })
}

/// Checks the name of a logical id, a group or a data centre.
fn check_name(place: &str, name: &str) -> ReadResult<()> {
    if name.eq_ignore_ascii_case(IGNORE) {
        return wrong(
            place,
            "takes a node out of its group, so no group can give it",
        );
    }
    match is_name(name) && name.parse::<std::net::IpAddr>().is_err() {
        true => Ok(()),
        false => wrong(
            place,
            format!("`{name}` is not a name: letters, digits, `-`, `_` and `.`, up to 64"),
        ),
    }
}

fn wrong<T>(place: &str, what: impl std::fmt::Display) -> ReadResult<T> {
    Err(RulesError {
        message: format!("{place}: {what}"),
        hint: EXAMPLE.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_rules_are_read() {
        let rules = AffinityRules::parse(
            r#"{"DC1":{"blue_new":{"count":1,"affinities":[{"affinity":"aff_b_22","recommended":2,"max":3},{"affinity":"Blue_new","recommended":5}]},"green2_11":{"count":1,"affinities":[{"affinity":"gr_11"}]}},"default_group":{"affinities":[{"affinity":"default_1","recommended":1,"max":4}]}}"#,
        )
        .unwrap();
        let groups = rules.groups("dc1");
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["blue_new", "green2_11"]);
        assert_eq!(groups[0].count, 1);
        assert_eq!(groups[0].logical_ids(), ["aff_b_22:2-3", "Blue_new:5"]);
        assert_eq!(groups[1].logical_ids(), ["gr_11"]);
        assert!(rules.groups("DC2").is_empty());
        assert_eq!(
            rules.default_group.unwrap().logical_ids(),
            ["default_1:1-4"]
        );
        assert_eq!(AffinityRules::parse(" ").unwrap(), AffinityRules::default());
    }

    #[test]
    fn an_error_names_its_place() {
        let check = |text: &str, expected: &str| {
            let error = AffinityRules::parse(text).unwrap_err();
            assert_eq!(error.message, expected, "{text}");
        };
        let parsed = AffinityRules::parse("{").unwrap_err().message;
        assert!(
            parsed.starts_with("affinity rules: cannot be read as JSON: EOF"),
            "{parsed}"
        );
        check("[]", "affinity rules: is not a JSON object");
        check(r#"{"DC1":5}"#, "DC1: is not a JSON object");
        check(
            r#"{"D C":{}}"#,
            "D C: `D C` is not a name: letters, digits, `-`, `_` and `.`, up to 64",
        );
        check(
            r#"{"DC1":{"10.0.0.1":{}}}"#,
            "DC1.10.0.0.1: `10.0.0.1` is not a name: letters, digits, `-`, `_` and `.`, up to 64",
        );
        check(
            r#"{"DC1":{"a":{"affinities":[]}}}"#,
            "DC1.a.count: is the number of its nodes",
        );
        check(
            r#"{"DC1":{"a":{"count":-1,"affinities":[]}}}"#,
            "DC1.a.count: is the number of its nodes",
        );
        check(
            r#"{"DC1":{"a":{"count":1}}}"#,
            "DC1.a.affinities: is a list of what its nodes carry",
        );
        check(r#"{"DC1":{"a":{"cuont":1}}}"#, "DC1.a has no `cuont`");
        check(
            r#"{"DC1":{"a":{"count":1,"affinities":[{"affinity":"x","recommended":3,"max":2}]}}}"#,
            "DC1.a.affinities[0]: recommends 3, which is more than max 2",
        );
        check(
            r#"{"DC1":{"a":{"count":1,"affinities":[{"affinity":"x"},{"affinity":"X"}]}}}"#,
            "DC1.a.affinities[1]: names `X` a second time",
        );
        check(
            r#"{"DC1":{"default_group":{"affinities":[]}}}"#,
            "DC1.default_group: stands beside the data centres, not in one",
        );
        check(
            r#"{"default_group":{"count":1,"affinities":[]}}"#,
            "default_group has no `count`",
        );
        check(
            r#"{"DC1":{"any":{"count":1,"affinities":[]}}}"#,
            "DC1.any: means every node in an affinity, so no group has that name",
        );
        check(
            r#"{"default_group":{"affinities":[{"affinity":"ignore_affinity_rules"}]}}"#,
            "default_group.affinities[0].affinity: takes a node out of its group, so no group can give it",
        );
    }
}
