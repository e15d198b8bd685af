//! Tokens that are valid during one run: with its token a script calls the node that runs it, as the principal that
//! started the job.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft_model::Principal;
use weft_project::interface::Secret;

use crate::token::{Digest, digest_of, is_same, random_token};

/// The tokens that are valid now. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct RunTokens(Arc<Mutex<Granted>>);

#[derive(Default)]
struct Granted {
    next: u64,
    tokens: BTreeMap<u64, (Digest, Principal)>,
}

/// A token that is valid until this is dropped.
#[derive(Debug)]
pub struct RunToken {
    secret: Secret,
    number: u64,
    tokens: RunTokens,
}

impl RunTokens {
    /// No tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a random token for `principal`.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn grant(&self, principal: Principal) -> std::io::Result<RunToken> {
        let secret = random_token()?;
        let digest = digest_of(secret.expose());
        let mut granted = self.granted();
        let number = granted.next;
        granted.next += 1;
        granted.tokens.insert(number, (digest, principal));
        Ok(RunToken {
            secret,
            number,
            tokens: self.clone(),
        })
    }

    /// The principal whose token is `presented`. Compares with every token, so the time taken reveals neither which
    /// one is similar nor how much of it is right.
    pub(crate) fn principal(&self, presented: &str) -> Option<Principal> {
        let presented = digest_of(presented);
        let granted = self.granted();
        let mut found = None;
        for (digest, principal) in granted.tokens.values() {
            if is_same(digest, &presented) {
                found = Some(principal);
            }
        }
        found.cloned()
    }

    fn granted(&self) -> MutexGuard<'_, Granted> {
        // A panic in between cannot leave half a token behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RunTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunTokens")
            .field("granted", &self.granted().tokens.len())
            .finish()
    }
}

impl RunToken {
    /// The token itself, to be given to the script.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl Drop for RunToken {
    fn drop(&mut self) {
        self.tokens.granted().tokens.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(name: &str) -> Principal {
        Principal {
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_token_is_valid_until_it_is_dropped() {
        let tokens = RunTokens::new();
        let ann = tokens.grant(principal("ann")).unwrap();
        let ben = tokens.grant(principal("ben")).unwrap();
        let text = |token: &RunToken| token.secret().expose().to_owned();
        let (ann_text, ben_text) = (text(&ann), text(&ben));
        assert_ne!(ann_text, ben_text);
        // 32 bytes in base64.
        assert_eq!(ann_text.len(), 43);
        let clone = tokens.clone();
        assert_eq!(clone.principal(&ann_text), Some(principal("ann")));
        assert_eq!(clone.principal(&ben_text), Some(principal("ben")));
        for wrong in ["", "x", &ann_text[..42], &format!("{ann_text}x")] {
            assert_eq!(clone.principal(wrong), None, "{wrong}");
        }
        drop(ann);
        assert_eq!(clone.principal(&ann_text), None);
        assert_eq!(clone.principal(&ben_text), Some(principal("ben")));
        assert!(!format!("{ben:?} {tokens:?}").contains(&ben_text));
    }
}
