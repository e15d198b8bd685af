//! Affinities: which nodes may run a job or a batch.

mod own;

use weft_model::NodeRow;

pub use own::{OwnAffinity, merge_ids};

/// The value that names every node.
pub const ANY: &str = "ANY";

/// The name in a logical id of node.id, without its sizes.
pub fn name_of(written: &str) -> &str {
    written.split(':').next().unwrap_or(written).trim()
}

/// The properties of a node that an affinity is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The node's guid.
    pub guid: &'a str,
    /// Its data centre.
    pub dc: &'a str,
    /// Its effective address.
    pub effective_ip: &'a str,
    /// All its addresses.
    pub ips: &'a [String],
    /// Its logical ids, as in node.id (`Name:2-4`).
    pub logical_ids: &'a [String],
}

impl<'a> From<&'a NodeRow> for Identity<'a> {
    fn from(row: &'a NodeRow) -> Self {
        Self {
            guid: &row.guid.0,
            dc: &row.dc,
            effective_ip: &row.effective_ip,
            ips: &row.ips,
            logical_ids: &row.logical_ids,
        }
    }
}

impl Identity<'_> {
    /// Whether one of `members` names this node: guid, IP, DC, or a logical id that has slots. An empty list and `ANY` name
    /// every node, except one whose node.id says `ANY:0`.
    pub fn matches(&self, members: &[String]) -> bool {
        if members.is_empty()
            || members
                .iter()
                .any(|member| member.eq_ignore_ascii_case(ANY))
        {
            return self.slots_of(ANY) != Some(0);
        }
        members.iter().any(|member| self.is_named(member))
    }

    fn is_named(&self, member: &String) -> bool {
        self.is_named_physically(std::slice::from_ref(member))
            || self.slots_of(member).is_some_and(|slots| slots > 0)
    }

    /// Whether one of `members` is an address, the guid or the data centre of this node, so that no logical id limits it.
    pub fn is_named_physically(&self, members: &[String]) -> bool {
        members.iter().any(|member| {
            member == self.guid
                || member == self.effective_ip
                || self.ips.iter().any(|ip| ip == member)
                || member.eq_ignore_ascii_case(self.dc)
        })
    }

    /// The most slots of this node for a logical id; `None` if it does not have it.
    pub fn slots_of(&self, name: &str) -> Option<usize> {
        self.sizes_of(name).map(|sizes| sizes.maximum)
    }

    /// The slots of this node for a logical id; `None` if it does not have it.
    pub fn sizes_of(&self, name: &str) -> Option<Sizes> {
        self.logical_ids.iter().find_map(|written| {
            if !name_of(written).eq_ignore_ascii_case(name) {
                return None;
            }
            let size = written.split_once(':').map_or("", |(_, size)| size);
            // `Name:4`, and `Name:2-4`, `Name:2 4` or `Name:2:4`: the last number is the maximum.
            let mut numbers = size
                .split(['-', ' ', ':'])
                .filter(|part| !part.trim().is_empty())
                .map(|part| part.trim().parse().unwrap_or(0));
            let first = numbers.next().unwrap_or(usize::MAX);
            let maximum = numbers.next_back().unwrap_or(first);
            Some(Sizes {
                recommended: first.min(maximum),
                maximum,
            })
        })
    }
}

/// How many jobs a node runs for one logical id (as in Fabric); `usize::MAX` if no number is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The number that a node claims at once.
    pub recommended: usize,
    /// The upper limit. Jobs above the recommended number are claimed late and given up after a while.
    pub maximum: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logical_ids: &[&str], members: &[&str], expected: bool) {
        let logical_ids: Vec<String> = logical_ids.iter().map(|id| (*id).to_owned()).collect();
        let ips = ["10.21.2.102".to_owned()];
        let identity = Identity {
            guid: "n1",
            dc: "DC1",
            effective_ip: "10.21.2.102",
            ips: &ips,
            logical_ids: &logical_ids,
        };
        let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
        assert_eq!(
            identity.matches(&members),
            expected,
            "{logical_ids:?} against {members:?}"
        );
    }

    #[test]
    fn a_logical_id_has_a_recommended_and_a_maximal_size() {
        let all = usize::MAX;
        for (written, recommended, maximum) in [
            ("blue", all, all),
            ("blue:3", 3, 3),
            ("blue:2-4", 2, 4),
            ("blue:2 4", 2, 4),
            ("blue:2:4", 2, 4),
            ("blue:0", 0, 0),
        ] {
            let logical_ids = [written.to_owned()];
            let identity = Identity {
                guid: "n1",
                dc: "DC1",
                effective_ip: "10.0.0.1",
                ips: &[],
                logical_ids: &logical_ids,
            };
            let sizes = Sizes {
                recommended,
                maximum,
            };
            assert_eq!(identity.sizes_of("Blue"), Some(sizes), "{written}");
            assert_eq!(identity.sizes_of("green"), None);
        }
    }

    #[test]
    fn an_affinity_names_nodes_by_guid_ip_dc_and_logical_id() {
        check(&[], &[], true);
        check(&[], &["ANY"], true);
        check(&["ANY:0"], &[], false);
        check(&["ANY:2"], &[], true);
        check(&["ANY:0"], &["10.21.2.102"], true);
        check(&[], &["10.21.2.103"], false);
        check(&[], &["n1"], true);
        check(&[], &["dc1"], true);
        check(&["blue"], &["blue"], true);
        check(&["blue:0"], &["blue"], false);
        check(&["blue:2-4"], &["Blue"], true);
        check(&["blue:2 4"], &["green", "blue"], true);
        check(&[], &["blue"], false);
    }
}
