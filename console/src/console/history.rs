//! The history of typed statements, in a private file, without secrets.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

/// Words that mark a statement with a secret.
const SECRET_WORDS: [&str; 4] = ["PASSWORD", "TOKEN", "SECRET", "KEY"];

/// Whether a statement may be kept.
pub fn may_be_kept(statement: &str) -> bool {
    let upper = statement.to_uppercase();
    !SECRET_WORDS.iter().any(|word| upper.contains(word))
}

/// The history file, created private; `None` if there is no home folder for it.
pub fn file() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = match variable("XDG_STATE_HOME") {
        Some(state) => PathBuf::from(state),
        None => PathBuf::from(variable("HOME")?).join(".local/state"),
    };
    let folder = state.join("weft");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .ok()?;
    let file = folder.join("history");
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&file)
        .ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_with_secrets_are_not_kept() {
        for text in [
            "SET x='a'; -- password",
            "set Token = 'x';",
            "SET api_key='x';",
            "SET a='my secret'",
        ] {
            assert!(!may_be_kept(text), "{text}");
        }
        assert!(may_be_kept("BATCH_LIST STATUS='ALL';"));
    }
}
