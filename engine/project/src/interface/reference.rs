//! References: `${NAME}` in paths, and secrets by name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The values of `${NAME}` and `env:NAME`. Cheap to clone.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

impl Environment {
    /// The environment variables of this process.
    pub fn from_process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// An environment with these variables only.
    pub fn from_map(variables: BTreeMap<String, String>) -> Self {
        Self(Arc::new(move |name| variables.get(name).cloned()))
    }

    /// The value of a variable, if it is set.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    /// Replaces every `${NAME}` and `${NAME:-default}` in `text`; `$$` stands for a dollar sign.
    ///
    /// # Errors
    /// A sentence about a variable that is not set, or a reference that is not closed.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('$') {
                expanded.push('$');
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix('{') {
                let Some((inside, behind)) = behind.split_once('}') else {
                    return Err(format!("`${{` is not closed in `{text}`"));
                };
                expanded.push_str(&self.reference(inside)?);
                rest = behind;
            } else {
                expanded.push('$');
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    fn reference(&self, inside: &str) -> Result<String, String> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let well_formed = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !well_formed {
            return Err(format!(
                "`${{{inside}}}` does not name an environment variable"
            ));
        }
        match (self.get(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => Ok(value),
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(format!("environment variable {name} is not set")),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret with this value.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads a secret from `env:NAME` or `file:/path`.
    ///
    /// # Errors
    /// A sentence that shows the reference, never the value.
    pub fn resolve(reference: &str, environment: &Environment) -> Result<Self, String> {
        match reference.split_once(':') {
            Some(("env", name)) => environment
                .get(name)
                .map(Self)
                .ok_or_else(|| format!("environment variable {name} is not set")),
            Some(("file", path)) if Path::new(path).is_absolute() => std::fs::read_to_string(path)
                .map(|text| Self(text.trim_end_matches(['\r', '\n']).to_owned()))
                .map_err(|error| format!("secret file {path} cannot be read: {error}")),
            _ => Err("a secret is written as env:NAME or file:/path".to_owned()),
        }
    }

    /// The value. Only the code that sends it may call this.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let pairs = [("HOME_DIR", "/srv"), ("EMPTY", "")];
        Environment::from_map(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        )
    }

    #[test]
    fn references_are_replaced() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let got = environment().expand(text);
            assert_eq!(got.as_deref().map_err(String::as_str), expected, "{text}");
        };
        check("data/cars.csv", Ok("data/cars.csv"));
        check("${HOME_DIR}/x", Ok("/srv/x"));
        check("${NOPE:-/tmp}/${HOME_DIR}", Ok("/tmp//srv"));
        check("${EMPTY:-used}", Ok("used"));
        check("$$${HOME_DIR} costs 5$", Ok("$/srv costs 5$"));
        check("${NOPE}", Err("environment variable NOPE is not set"));
        check("${HOME_DIR", Err("`${` is not closed in `${HOME_DIR`"));
        check(
            "${a b}",
            Err("`${a b}` does not name an environment variable"),
        );
        check("${}", Err("`${}` does not name an environment variable"));
    }

    #[test]
    fn secrets_are_named_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let reference = format!("file:{}", path.display());
        let secret = Secret::resolve(&reference, &environment()).unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(
            Secret::resolve("env:HOME_DIR", &environment())
                .unwrap()
                .expose(),
            "/srv"
        );
        for refused in [
            "hunter2",
            "env:NOPE",
            "file:relative",
            "file:/nowhere/at/all",
        ] {
            let error = Secret::resolve(refused, &environment()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
