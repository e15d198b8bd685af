//! Which names hold secrets, so that their values are never stored or shown.

use std::collections::BTreeMap;

/// Shown in the place of a secret.
pub const MASK: &str = "***";

const TELLTALES: [&str; 9] = [
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "SECRET",
    "CREDENTIAL",
    "AUTHORIZATION",
    "PRIVATE",
];

/// Whether a value of this name is probably a secret. In doubt it is one.
pub fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    TELLTALES.iter().any(|telltale| upper.contains(telltale))
        || upper
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word.ends_with("KEY") || word.ends_with("KEYS"))
}

/// The value, or the mask where the name says that it is a secret.
pub fn masked<'v>(name: &str, value: &'v str) -> &'v str {
    if is_secret(name) { MASK } else { value }
}

/// The values of a session with its secrets masked, as batches inherit them and rows keep them.
pub fn without_secrets(scope: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    scope
        .iter()
        .map(|(name, value)| (name.clone(), masked(name, value).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised_by_their_names() {
        let check = |name: &str, expected: bool| assert_eq!(is_secret(name), expected, "{name}");
        for name in [
            "AUTH_TOKEN",
            "apiKey",
            "db.password",
            "PASSWD",
            "my_secret_thing",
            "key",
            "SSH_KEYS",
            "accessKey.id",
            "Authorization",
        ] {
            check(name, true);
        }
        for name in [
            "SYNC",
            "ENVIRONMENT",
            "KEYSPACE",
            "k2_ws.ALPINIST",
            "AUTH_USER",
        ] {
            check(name, false);
        }
    }
}
