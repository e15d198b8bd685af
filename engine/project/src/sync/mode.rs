//! The sync mode that `SET SYNC …` of a session selects.

use std::collections::BTreeMap;

/// Whether and when instances are read from their sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// According to the sync methods of the tables.
    #[default]
    On,
    /// Never.
    Off,
    /// Always, regardless of the sync methods of the tables.
    Force,
}

impl SyncMode {
    /// The mode in the SET values of a session.
    ///
    /// # Errors
    /// A sentence about an unknown mode.
    pub fn from_session_scope(scope: &BTreeMap<String, String>) -> Result<Self, String> {
        let value = scope
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("SYNC"));
        match value
            .map(|(_, value)| value.to_ascii_uppercase())
            .as_deref()
        {
            None | Some("ON" | "TRUE") => Ok(Self::On),
            Some("OFF" | "FALSE") => Ok(Self::Off),
            Some("FORCE") => Ok(Self::Force),
            Some(other) => Err(format!(
                "SYNC {other} is not supported; use ON, OFF or FORCE"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_selects_the_mode() {
        let check = |name: &str, value: &str, expected: Result<SyncMode, &str>| {
            let scope = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(
                SyncMode::from_session_scope(&scope),
                expected,
                "{name}={value}"
            );
        };
        check("OTHER", "OFF", Ok(SyncMode::On));
        check("SYNC", "on", Ok(SyncMode::On));
        check("sync", "Off", Ok(SyncMode::Off));
        check("SYNC", "FORCE", Ok(SyncMode::Force));
        check(
            "SYNC",
            "delta",
            Err("SYNC DELTA is not supported; use ON, OFF or FORCE"),
        );
    }
}
