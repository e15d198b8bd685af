//! Names of a project are found in any case, and an unknown name is answered with the nearest one.

use std::collections::BTreeMap;

use crate::finding::nearest;

/// A name that a project does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{name}`{}", .nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
pub struct UnknownProjectName {
    /// `logical unit`, `interface`, `instance group`, `function`, `flow` or `parser`.
    pub what: &'static str,
    /// The name as the caller wrote it.
    pub name: String,
    /// The known name that is most similar, if one is similar enough.
    pub nearest: Option<String>,
}

/// Finds the value of a name.
pub(crate) fn lookup<'m, T>(
    map: &'m BTreeMap<String, T>,
    what: &'static str,
    name: &str,
) -> Result<&'m T, UnknownProjectName> {
    lookup_named(map, what, name).map(|(_, value)| value)
}

/// Finds the value of a name together with the name as deployed.
pub(crate) fn lookup_named<'m, T>(
    map: &'m BTreeMap<String, T>,
    what: &'static str,
    name: &str,
) -> Result<(&'m str, &'m T), UnknownProjectName> {
    let found = map
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found
        .map(|(known, value)| (known.as_str(), value))
        .ok_or_else(|| UnknownProjectName {
            what,
            name: name.to_owned(),
            nearest: nearest(name, map.keys().map(String::as_str)),
        })
}
