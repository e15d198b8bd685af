//! The logical ids of this node, by source.

use std::sync::{Arc, PoisonError, RwLock};

use weft_model::Setting;

use super::name_of;

/// The logical ids of this node. If two sources have the same id, the first counts: SET NODE_AFFINITY, node.id, the node
/// group.
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
    /// Starts with the logical ids of node.id.
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

    /// All logical ids, each as in node.id (`Name:2-4`).
    pub fn all(&self) -> Arc<[String]> {
        let sources = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&sources.all)
    }

    /// The logical ids from SET NODE_AFFINITY.
    pub fn given(&self) -> Vec<String> {
        let sources = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sources.given.clone()
    }

    /// Replaces the logical ids from SET NODE_AFFINITY by this comma-separated list; answers whether they have changed. An
    /// older setting is ignored, because two changes may arrive in either order.
    pub fn set_given(&self, given: &Setting) -> bool {
        let mut sources = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if given.seq <= sources.given_seq {
            return false;
        }
        sources.given_seq = given.seq;
        let before = std::mem::replace(&mut sources.given, parse_list(&given.value));
        sources.merge();
        before != sources.given
    }

    /// Replaces the logical ids from the node group; answers whether they have changed.
    pub(crate) fn set_group(&self, group: Option<Vec<String>>) -> bool {
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
        self.all = merge_ids(written.into_iter().flatten()).into();
    }
}

/// Keeps the first logical id of each name, whatever its sizes.
pub fn merge_ids<'a>(written: impl Iterator<Item = &'a String>) -> Vec<String> {
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

/// Reads comma-separated logical ids.
fn parse_list(text: &str) -> Vec<String> {
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
    fn the_first_source_of_a_name_counts() {
        let own = OwnAffinity::new(&parse_list("blue:2, red"));
        assert!(own.set_group(Some(parse_list("Blue:5,group_a"))));
        assert!(!own.set_group(Some(parse_list("Blue:5,group_a"))));
        assert_eq!(*own.all(), *parse_list("blue:2,red,group_a"));
        let given = |seq, value: &str| Setting {
            name: "node_affinity:n1".to_owned(),
            seq,
            value: value.to_owned(),
            changed_at: Timestamp(0),
            changed_by: "admin".to_owned(),
        };
        assert!(own.set_given(&given(2, "BLUE:1-4,ANY:0")));
        assert!(!own.set_given(&given(1, "late")));
        assert_eq!(*own.all(), *parse_list("BLUE:1-4,ANY:0,red,group_a"));
        assert!(own.set_group(None));
        assert!(own.set_given(&given(3, "")));
        assert_eq!(*own.all(), *parse_list("blue:2,red"));
    }
}
