//! Reads the file of a flow and reports what is wrong with it: its inputs, its names, its links.

use std::collections::BTreeMap;

use serde_json::Value;
use weft_node::flow::SETTINGS;
use weft_project::yaml::{Node, Yaml};
use weft_project::{Fields, Findings, Spot, is_name, nearest};

use super::{FlowDefinition, FlowInput};
use crate::flow::condition::Condition;
use crate::flow::expression::{Expression, ExpressionVisitor, Link, Piece, pieces};
use crate::flow::input::InputKind;

/// The types that the declaration of an input may name.
const INPUT_TYPES: [(&str, InputKind); 6] = [
    ("any", InputKind::Any),
    ("text", InputKind::Text),
    ("number", InputKind::Number),
    ("boolean", InputKind::Flag),
    ("list", InputKind::List),
    ("map", InputKind::Map),
];

/// The members that a link may select from a visible name.
#[derive(Clone, Debug)]
pub(super) enum Members {
    Any,
    /// These and no others.
    Outputs(Vec<String>),
}

/// A link to a name that is not visible where the link is.
struct UnresolvedLink {
    link: Link,
    spot: Spot,
    /// The names that are visible there.
    visible: Vec<String>,
}

/// Reads one file.
pub(super) struct Reader<'a> {
    pub(super) findings: &'a Findings,
    /// Every name that the flow declares.
    names: BTreeMap<String, Spot>,
    /// The names that links may use at the current position.
    pub(super) visible: BTreeMap<String, Members>,
    unresolved: Vec<UnresolvedLink>,
    pub(super) stage_count: usize,
    pub(super) actor_count: usize,
}

impl ExpressionVisitor for Reader<'_> {
    fn link(&mut self, link: &Link, spot: &Spot) {
        match (self.visible.get(&link.root), link.path.first()) {
            (Some(Members::Outputs(outputs)), Some(output)) if !outputs.contains(output) => {
                let message = format!("`{}` has no output `{output}`", link.root);
                let near = nearest(output, outputs.iter().map(String::as_str));
                self.findings.add_near(spot, message, near);
            }
            (Some(_), _) => (),
            // The name may be declared further down, so the error is reported at the end.
            (None, _) => self.unresolved.push(UnresolvedLink {
                link: link.clone(),
                spot: spot.clone(),
                visible: self.visible.keys().cloned().collect(),
            }),
        }
    }

    fn error(&mut self, spot: &Spot, message: String) {
        self.findings.add(spot, message);
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(findings: &'a Findings) -> Self {
        Self {
            findings,
            names: BTreeMap::new(),
            visible: BTreeMap::new(),
            unresolved: Vec::new(),
            stage_count: 0,
            actor_count: 0,
        }
    }

    /// Reads the whole file.
    pub(super) fn flow(mut self, node: &Node, spot: Spot) -> Option<FlowDefinition> {
        let mut fields = Fields::new(node, spot, self.findings);
        fields.text("description");
        let mut inputs = Vec::new();
        for (entry, spot) in fields.entries("inputs") {
            inputs.push(self.input(&entry.key, &entry.node, spot));
        }
        let stages_spot = fields.spot("stages");
        let stages = fields.node("stages");
        if stages.is_none() {
            self.findings.add(&stages_spot, "is missing");
        }
        let stages = stages.map(|node| self.stages(node, &stages_spot, 0));
        let mut outputs = Vec::new();
        for (entry, spot) in fields.entries("outputs") {
            let value = Expression::read(&entry.node, &spot, &mut self);
            outputs.push((entry.key.clone(), value));
        }
        fields.finish();
        self.report_unresolved();
        Some(FlowDefinition {
            inputs,
            stages: stages?,
            outputs,
        })
    }

    fn report_unresolved(self) {
        for UnresolvedLink {
            link,
            spot,
            visible,
        } in self.unresolved
        {
            let root = &link.root;
            match self.names.get(root) {
                Some(declared) => {
                    let message = format!(
                        "`{root}` (line {}) is not visible here: a link may use stages that ended before, rows of enclosing loops, and inputs",
                        declared.line
                    );
                    self.findings.add(&spot, message);
                }
                None => {
                    let near = nearest(root, visible.iter().map(String::as_str));
                    let message = format!("there is no `{root}`");
                    self.findings.add_near(&spot, message, near);
                }
            }
        }
    }

    /// Declares a name. All names of a flow are distinct.
    pub(super) fn declare(&mut self, name: &str, spot: &Spot) {
        if !is_name(name) {
            let message = format!(
                "`{name}` is not a name: it starts with a letter and has only letters, digits and _"
            );
            self.findings.add(spot, message);
        } else if let Some(other) = self.names.get(name) {
            let message = format!("`{name}` is already used in line {}", other.line);
            self.findings.add(spot, message);
        }
        self.names
            .entry(name.to_owned())
            .or_insert_with(|| spot.clone());
    }

    fn input(&mut self, name: &str, node: &Node, spot: Spot) -> FlowInput {
        self.declare(name, &spot);
        if SETTINGS
            .iter()
            .any(|setting| setting.eq_ignore_ascii_case(name))
        {
            self.findings
                .add(&spot, format!("`{name}` is a setting of BROADWAY"));
        }
        let mut fields = Fields::new(node, spot, self.findings);
        fields.text("description");
        let kind = self.input_kind(&mut fields);
        let is_required = self.flag(&mut fields, "required");
        let default_spot = fields.spot("default");
        let default = fields.node("default").and_then(|node| {
            let value = Expression::read(node, &default_spot, self).literal();
            if value.is_none() {
                self.findings.add(&default_spot, "takes no links");
            }
            let accepted = kind.accept(value?);
            accepted
                .map_err(|error| self.findings.add(&default_spot, error))
                .ok()
        });
        if is_required && default.is_some() {
            self.findings
                .add(&default_spot, "has no effect: the input is required");
        }
        fields.finish();
        self.visible.insert(name.to_owned(), Members::Any);
        FlowInput {
            name: name.to_owned(),
            kind,
            is_required,
            default: default.unwrap_or_default(),
        }
    }

    fn input_kind(&self, fields: &mut Fields<'_>) -> InputKind {
        let spot = fields.spot("type");
        let Some(written) = fields.text("type") else {
            return InputKind::Any;
        };
        let found = INPUT_TYPES.into_iter().find(|(name, _)| *name == written);
        match found {
            Some((_, kind)) => kind,
            None => {
                let known = INPUT_TYPES.map(|(name, _)| name).join(", ");
                let message = format!("`{written}` is not an input type: the types are {known}");
                self.findings.add(&spot, message);
                InputKind::Any
            }
        }
    }

    fn flag(&self, fields: &mut Fields<'_>, name: &'static str) -> bool {
        let spot = fields.spot(name);
        match fields.text(name) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let message = format!("must be true or false, not `{other}`");
                self.findings.add(&spot, message);
                false
            }
        }
    }

    pub(super) fn condition(&mut self, text: &str, spot: &Spot) -> Option<Condition> {
        match Condition::read(text) {
            Ok(condition) => {
                let mut links = Vec::new();
                condition.links(&mut links);
                for link in links {
                    self.link(&link, spot);
                }
                Some(condition)
            }
            Err(error) => {
                let message = format!("`{text}` is not a condition: {error}");
                self.findings.add(spot, message);
                None
            }
        }
    }

    /// Reads a text that must not have links: the value of a link is data, and data must not become code.
    pub(super) fn fixed_text(&mut self, text: &str, spot: &Spot) -> Expression {
        let has_links = pieces(text).is_ok_and(|pieces| {
            let is_link = |piece: &Piece| matches!(piece, Piece::Link(_));
            pieces.iter().any(is_link)
        });
        if has_links {
            let message =
                "takes no links `${…}`: values go into `parameters`, or into other inputs";
            self.findings.add(spot, message);
            // Null, so that no further check reads it.
            return Expression::Literal(Value::Null);
        }
        Expression::Literal(Value::from(text))
    }

    /// The members of a list with their positions.
    pub(super) fn items<'n>(&self, node: &'n Node, spot: &Spot) -> Vec<(&'n Node, Spot)> {
        match &node.value {
            Yaml::List(items) => {
                let spot_of = |item: &Node| Spot {
                    line: item.line,
                    ..spot.clone()
                };
                items.iter().map(|item| (item, spot_of(item))).collect()
            }
            other => {
                let message = format!("must be a list, not {}", other.kind());
                self.findings.add(spot, message);
                Vec::new()
            }
        }
    }
}
