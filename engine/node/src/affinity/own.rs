//! The logical ids of this node, from where they come.

use std::sync::{Arc, PoisonError, RwLock};

use weft_model::Setting;

use super::name_of;

/// What this node carries. Where two sources name the same id, the first counts: what SET NODE_AFFINITY gave it, its
/// node.id, its group.
#[derive(Debug)]
pub struct OwnAffinity(RwLock<Sources>);

#[derive(Debug)]
struct Sources {
    given: Vec<String>,
    given_seq: i64,
    configured: Vec<String>,
    group: Vec<String>,
    all: Arc<[String]>,
}

impl OwnAffinity {
    /// What node.id says.
    pub fn new(configured: &[String]) -> Self {
        let mut sources = Sources {
            given: Vec::new(),
            given_seq: 0,
            configured: configured.to_vec(),
            group: Vec::new(),
            all: Arc::from([]),
        };
        sources.merge();
        Self(RwLock::new(sources))
    }

    /// All of it, each as in node.id (`Name:2-4`).
    pub fn all(&self) -> Arc<[String]> {
        let sources = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&sources.all)
    }

    /// What SET NODE_AFFINITY gave it.
    pub fn given(&self) -> Vec<String> {
        let sources = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sources.given.clone()
    }

    /// SET NODE_AFFINITY gave it these, with commas between them, and nothing else; answers whether that is new. What was
    /// given before does not come back: two that set it may come here in either order.
    pub fn give(&self, given: &Setting) -> bool {
        let mut sources = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if given.seq <= sources.given_seq {
            return false;
        }
        sources.given_seq = given.seq;
        let before = std::mem::replace(&mut sources.given, list(&given.value));
        sources.merge();
        before != sources.given
    }

    /// It is in a group with these; answers whether that is new.
    pub(crate) fn join(&self, group: Option<Vec<String>>) -> bool {
        let group = group.unwrap_or_default();
        let mut sources = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = sources.group != group;
        sources.group = group;
        sources.merge();
        is_new
    }
}

impl Sources {
    fn merge(&mut self) {
        let written = [&self.given, &self.configured, &self.group];
        self.all = merged(written.into_iter().flatten()).into();
    }
}

/// The first of each name, whatever its sizes.
pub fn merged<'a>(written: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for id in written {
        let is_known = all
            .iter()
            .any(|known| name_of(known).eq_ignore_ascii_case(name_of(id)));
        if !is_known {
            all.push(id.clone());
        }
    }
    all
}

/// Logical ids with commas between them.
fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_model::clock::Timestamp;

    #[test]
    fn the_nearest_source_counts() {
        let own = OwnAffinity::new(&list("blue:2, red"));
        assert!(own.join(Some(list("Blue:5,group_a"))));
        assert!(!own.join(Some(list("Blue:5,group_a"))));
        assert_eq!(*own.all(), *list("blue:2,red,group_a"));
        let given = |seq, value: &str| Setting {
            name: "node_affinity:n1".to_owned(),
            seq,
            value: value.to_owned(),
            changed_at: Timestamp(0),
            changed_by: "admin".to_owned(),
        };
        assert!(own.give(&given(2, "BLUE:1-4,ANY:0")));
        assert!(!own.give(&given(1, "late")));
        assert_eq!(*own.all(), *list("BLUE:1-4,ANY:0,red,group_a"));
        assert!(own.join(None));
        assert!(own.give(&given(3, "")));
        assert_eq!(*own.all(), *list("blue:2,red"));
    }
}
