//! Assigns nodes to groups: a pure function of the rules, the live nodes, and the previous groups.

use serde::{Deserialize, Serialize};
use weft_model::{NodeId, NodeRow, Setting};

use super::IGNORE;
use super::rules::{AffinityRules, GroupRule};
use crate::affinity::Identity;
use crate::affinity::merge_ids;

/// The groups of one data centre, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The `seq` of the rules that it follows; 0 without rules.
    pub rules_seq: i64,
    /// In the order of the rules, the default group last.
    pub groups: Vec<Group>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The logical ids of its nodes, as in node.id.
    pub logical_ids: Vec<String>,
    /// Its nodes.
    pub nodes: Vec<NodeId>,
}

impl Group {
    /// The logical ids of a node in this group: those of the rules, and the name of the group.
    pub fn node_ids(&self) -> Vec<String> {
        merge_ids(self.logical_ids.iter().chain([&self.name]))
    }
}

impl Assignment {
    /// Reads a stored assignment. One that a newer version wrote reads as no groups.
    pub fn from_setting(setting: &Setting) -> Self {
        serde_json::from_str(&setting.value).unwrap_or_default()
    }

    /// The group of a node.
    pub fn group_of(&self, node: &NodeId) -> Option<&Group> {
        self.groups.iter().find(|group| group.nodes.contains(node))
    }

    /// The nodes of a group.
    pub fn nodes_of(&self, name: &str) -> &[NodeId] {
        let found = self.groups.iter().find(|group| group.name == name);
        found.map_or(&[], |group| &group.nodes)
    }
}

/// Assigns the live nodes of a data centre to groups. A node stays in its group while that has a place for it. Groups that
/// lack nodes take the free ones, in the order of the rules and of the guids.
pub fn assign(
    rules: &AffinityRules,
    rules_seq: i64,
    dc: &str,
    live: &[NodeRow],
    before: &Assignment,
) -> Assignment {
    let mut free: Vec<NodeId> = live
        .iter()
        .filter(|row| row.dc.eq_ignore_ascii_case(dc))
        .filter(|row| Identity::from(*row).sizes_of(IGNORE).is_none())
        .map(|row| row.guid.clone())
        .collect();
    free.sort();
    let mut groups: Vec<Group> = Vec::new();
    for rule in rules.groups(dc) {
        let stay = before.nodes_of(&rule.name).iter();
        let stay: Vec<NodeId> = stay
            .filter(|node| free.contains(node))
            .take(rule.count)
            .cloned()
            .collect();
        free.retain(|node| !stay.contains(node));
        groups.push(group(rule, stay));
    }
    for (group, rule) in groups.iter_mut().zip(rules.groups(dc)) {
        let lacking = rule.count.saturating_sub(group.nodes.len());
        let taken = lacking.min(free.len());
        group.nodes.extend(free.drain(..taken));
    }
    groups.extend(
        rules
            .default_group
            .iter()
            .map(|rule| group(rule, free.clone())),
    );
    Assignment { rules_seq, groups }
}

fn group(rule: &GroupRule, nodes: Vec<NodeId>) -> Group {
    Group {
        name: rule.name.clone(),
        logical_ids: rule.logical_ids(),
        nodes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_model::clock::Timestamp;
    use weft_model::{Incarnation, NodeState};

    fn node(guid: &str, logical_ids: &[&str]) -> NodeRow {
        NodeRow {
            guid: NodeId(guid.to_owned()),
            dc: "DC1".to_owned(),
            effective_ip: "10.0.0.1".to_owned(),
            ips: Vec::new(),
            logical_ids: logical_ids.iter().map(|id| (*id).to_owned()).collect(),
            incarnation: Incarnation(uuid::Uuid::nil()),
            hb_seq: 1,
            heartbeat_at: Timestamp(0),
            state: NodeState::Alive,
            version: String::new(),
            http_address: None,
            coordinates: Vec::new(),
        }
    }

    fn nodes(guids: &str) -> Vec<NodeRow> {
        guids
            .split_whitespace()
            .map(|guid| node(guid, &[]))
            .collect()
    }

    /// `blue n1 n2; green n3`
    fn shown(assignment: &Assignment) -> String {
        let group = |group: &Group| {
            let nodes: Vec<&str> = group.nodes.iter().map(|node| node.0.as_str()).collect();
            format!("{} {}", group.name, nodes.join(" "))
        };
        let groups: Vec<String> = assignment.groups.iter().map(group).collect();
        groups.join("; ")
    }

    const RULES: &str = r#"{"DC1":{"blue":{"count":2,"affinities":[{"affinity":"heavy","recommended":2,"max":4}]},"green":{"count":1,"affinities":[]}},"default_group":{"affinities":[{"affinity":"light"}]}}"#;

    #[test]
    fn groups_get_their_nodes_in_order_and_keep_them() {
        let rules = AffinityRules::parse(RULES).unwrap();
        let none = Assignment::default();
        let assign =
            |live: &str, before: &Assignment| assign(&rules, 1, "DC1", &nodes(live), before);
        assert_eq!(
            shown(&assign("n3", &none)),
            "blue n3; green ; default_group "
        );
        let first = assign("n1 n2 n3 n4", &none);
        assert_eq!(shown(&first), "blue n1 n2; green n3; default_group n4");
        // A dead node is replaced; when it comes back its place is taken.
        let without = assign("n2 n3 n4", &first);
        assert_eq!(shown(&without), "blue n2 n4; green n3; default_group ");
        let back = assign("n1 n2 n3 n4", &without);
        assert_eq!(shown(&back), "blue n2 n4; green n3; default_group n1");
        assert_eq!(assign("n1 n2 n3 n4", &back), back);
        let group = back.group_of(&NodeId("n4".to_owned())).unwrap();
        assert_eq!(group.node_ids(), ["heavy:2-4", "blue"]);
    }

    #[test]
    fn changed_rules_move_as_few_nodes_as_possible() {
        let rules = AffinityRules::parse(RULES).unwrap();
        let live = nodes("n1 n2 n3 n4");
        let before = assign(&rules, 1, "DC1", &live, &Assignment::default());
        let fewer = RULES
            .replace("\"count\":2", "\"count\":1")
            .replace("green", "red");
        let fewer = AffinityRules::parse(&fewer).unwrap();
        let after = assign(&fewer, 2, "DC1", &live, &before);
        assert_eq!(shown(&after), "blue n1; red n2; default_group n3 n4");
        let none = assign(&AffinityRules::default(), 3, "DC1", &live, &after);
        assert_eq!((none.rules_seq, none.groups.len()), (3, 0));
        let elsewhere = assign(&rules, 1, "DC2", &live, &Assignment::default());
        assert_eq!(shown(&elsewhere), "default_group ");
    }

    #[test]
    fn a_node_that_ignores_the_rules_is_in_no_group() {
        let rules = AffinityRules::parse(RULES).unwrap();
        let live = [node("n1", &["ignore_affinity_rules"]), node("n2", &[])];
        let groups = assign(&rules, 1, "DC1", &live, &Assignment::default());
        assert_eq!(shown(&groups), "blue n2; green ; default_group ");
    }
}
