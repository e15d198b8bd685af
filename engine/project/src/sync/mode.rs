//! `SET SYNC …` of the session that started a batch.

use std::collections::BTreeMap;

/// Whether and when instances are read from their sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// As the tables' sync methods say.
    #[default]
    On,
    /// Never.
    Off,
    /// Always, whatever the tables' sync methods say.
    Force,
}

impl SyncMode {
    /// The mode that a session's values ask for.
    ///
    /// # Errors
    /// A sentence for a mode that there is not.
    pub fn of_session(scope: &BTreeMap<String, String>) -> Result<Self, String> {
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
    fn the_session_says_how_to_sync() {
        let check = |name: &str, value: &str, expected: Result<SyncMode, &str>| {
            let scope = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let expected = expected.map_err(str::to_owned);
            assert_eq!(SyncMode::of_session(&scope), expected, "{name}={value}");
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
