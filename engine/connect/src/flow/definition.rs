//! A flow as its file says it: `flows/<name>.yaml`, read and checked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weft_node::flow::SETTINGS;
use weft_project::yaml::{self, Node, Yaml};
use weft_project::{Fields, Findings, LogicalUnit, Project, ProjectFile, Spot, is_name, nearest};

use super::actor::{Actor, Checking, InputKind, WrittenInput, WrittenInputs};
use super::actors;
use super::actors::db_command::check_query;
use super::condition::Condition;
use super::expression::{Expression, Link, Meets, pieces};

/// Stages of a flow, those inside others included.
const STAGES: usize = 500;
/// Actors of a flow.
const ACTORS: usize = 2_000;
/// Groups within groups.
const DEPTH: usize = 8;
/// Rows that are worked on at once.
const PARALLEL: u64 = 64;
/// What inputs may be said to take.
const INPUT_TYPES: [(&str, InputKind); 6] = [
    ("any", InputKind::Any),
    ("text", InputKind::Text),
    ("number", InputKind::Number),
    ("boolean", InputKind::Flag),
    ("list", InputKind::List),
    ("map", InputKind::Map),
];

/// A flow.
#[derive(Debug)]
pub(crate) struct FlowDefinition {
    /// What it takes.
    pub inputs: Vec<FlowInput>,
    /// What it does, one after the other.
    pub stages: Vec<Stage>,
    /// What it answers.
    pub outputs: Vec<(String, Expression)>,
}

/// An external input.
#[derive(Debug)]
pub(crate) struct FlowInput {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: InputKind,
    /// It must be given.
    pub is_required: bool,
    /// What it is where nobody gives it.
    pub default: Value,
}

/// A stage.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Its name.
    pub name: String,
    /// It runs where this holds.
    pub condition: Option<Condition>,
    /// It runs once for each row.
    pub repeat: Option<Repeat>,
    /// What it does.
    pub body: Body,
    /// What is done when it fails.
    pub on_error: Option<Handler>,
}

/// What a stage does.
#[derive(Debug)]
pub(crate) enum Body {
    /// All at once.
    Actors(Vec<ActorCall>),
    /// One after the other.
    Stages(Vec<Stage>),
}

/// A loop.
#[derive(Debug)]
pub(crate) struct Repeat {
    /// Where rows come from.
    pub rows: RowSource,
    /// What a row is called.
    pub variable: String,
    /// How many rows are worked on at once.
    pub parallel: usize,
    /// What is kept of each row.
    pub collect: Vec<(String, Expression)>,
}

/// Where the rows of a loop come from.
#[derive(Debug)]
pub(crate) enum RowSource {
    /// A list that is known.
    List(Expression),
    /// A query of one column, which is never in memory as a whole.
    Query {
        interface: String,
        sql: String,
        parameters: Expression,
        spot: Spot,
    },
}

/// What is done when a stage fails.
#[derive(Debug)]
pub(crate) struct Handler {
    /// One after the other.
    pub actors: Vec<ActorCall>,
    /// The flow goes on afterwards.
    pub goes_on: bool,
}

/// An actor in a flow.
#[derive(Debug)]
pub(crate) struct ActorCall {
    /// Its name.
    pub name: String,
    /// What it is.
    pub actor: &'static dyn Actor,
    /// What it takes.
    pub inputs: Vec<WrittenInput>,
    /// Where it stands.
    pub spot: Spot,
}

impl FlowDefinition {
    /// Reads a flow; none where too much of it is wrong.
    pub(crate) fn read(file: &ProjectFile, findings: &Findings) -> Option<Self> {
        let spot = file.spot();
        let node = match yaml::parse(&file.text) {
            Ok(node) => node,
            Err(error) => {
                let spot = Spot {
                    line: error.line,
                    ..spot
                };
                findings.add(&spot, error.message);
                return None;
            }
        };
        let mut reader = Reader {
            findings,
            names: BTreeMap::new(),
            visible: BTreeMap::new(),
            unknown: Vec::new(),
            stages: 0,
            actors: 0,
        };
        let definition = reader.flow(&node, spot);
        reader.finish();
        definition
    }

    /// Everything that only the project can tell: queries, statements, other flows.
    pub(crate) async fn check(
        &self,
        project: &Project,
        logical_unit: &LogicalUnit,
        flow: &str,
        findings: &Findings,
    ) {
        for call in self.calls() {
            let at = Checking {
                project,
                logical_unit,
                flow,
                findings,
                spot: &call.spot,
            };
            call.actor.check(WrittenInputs(&call.inputs), at).await;
        }
        let mut stages: Vec<&Stage> = self.stages.iter().collect();
        while let Some(stage) = stages.pop() {
            if let Body::Stages(inner) = &stage.body {
                stages.extend(inner);
            }
            if let Some(RowSource::Query {
                interface,
                sql,
                spot,
                ..
            }) = stage.repeat.as_ref().map(|repeat| &repeat.rows)
                && let Some(columns) = check_query(project, interface, sql, spot, findings).await
                && columns.len() != 1
            {
                let message = format!(
                    "a loop takes a query of one column; this one returns {}",
                    columns.join(", ")
                );
                findings.add(spot, message);
            }
        }
    }

    /// All actors, those of error handlers included.
    pub(crate) fn calls(&self) -> Vec<&ActorCall> {
        let mut stages: Vec<&Stage> = self.stages.iter().rev().collect();
        let mut calls = Vec::new();
        while let Some(stage) = stages.pop() {
            match &stage.body {
                Body::Actors(actors) => calls.extend(actors),
                Body::Stages(inner) => stages.extend(inner.iter().rev()),
            }
            calls.extend(stage.on_error.iter().flat_map(|handler| &handler.actors));
        }
        calls
    }

    /// The inputs of a call as the flow takes them.
    ///
    /// # Errors
    /// The name of the input that it is about, if it is about one that was given; what is wrong; and what to do.
    pub(crate) fn accept(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, NotAccepted> {
        let known = || self.inputs.iter().map(|input| input.name.as_str());
        if let Some(unknown) = given
            .keys()
            .find(|name| !known().any(|known| known == *name))
        {
            let hint = match nearest(unknown, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.inputs.is_empty() => "it takes none".to_owned(),
                None => format!("it takes {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(NotAccepted {
                input: Some(unknown.clone()),
                message: format!("the flow has no input `{unknown}`"),
                hint: Some(hint),
            });
        }
        let missing: Vec<&str> = self
            .inputs
            .iter()
            .filter(|input| input.is_required && given.get(&input.name).is_none_or(Value::is_null))
            .map(|input| input.name.as_str())
            .collect();
        if !missing.is_empty() {
            let (what, names) = match missing.as_slice() {
                [one] => ("input", format!("`{one}`")),
                _ => ("inputs", format!("`{}`", missing.join("`, `"))),
            };
            return Err(NotAccepted {
                input: None,
                message: format!("the {what} {names} must be given"),
                hint: None,
            });
        }
        let mut accepted = Map::new();
        for input in &self.inputs {
            let value = match given.get(&input.name) {
                None | Some(Value::Null) => input.default.clone(),
                Some(value) => input
                    .kind
                    .accept(of_text(input.kind, value))
                    .map_err(|error| NotAccepted {
                        input: Some(input.name.clone()),
                        message: format!("the input `{}` {error}", input.name),
                        hint: None,
                    })?,
            };
            accepted.insert(input.name.clone(), value);
        }
        Ok(accepted)
    }
}

/// A command has texts only: lists and maps are written as JSON.
fn of_text(kind: InputKind, value: &Value) -> Value {
    match (kind, value) {
        (InputKind::List | InputKind::Map, Value::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| value.clone())
        }
        _ => value.clone(),
    }
}

/// Inputs that a flow does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAccepted {
    /// The input that was given.
    pub input: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What is known under a name.
#[derive(Clone, Debug)]
enum Known {
    /// Anything may be inside.
    Anything,
    /// It has these outputs and no others.
    Outputs(Vec<String>),
}

struct Reader<'a> {
    findings: &'a Findings,
    /// Every name of the flow, and where it stands.
    names: BTreeMap<String, Spot>,
    /// What links may lead to here.
    visible: BTreeMap<String, Known>,
    /// Links that lead to nothing that is known here.
    unknown: Vec<(Link, Spot, Vec<String>)>,
    stages: usize,
    actors: usize,
}

impl Meets for Reader<'_> {
    fn link(&mut self, link: &Link, spot: &Spot) {
        match (self.visible.get(&link.root), link.path.first()) {
            (Some(Known::Outputs(outputs)), Some(output)) if !outputs.contains(output) => {
                let message = format!("`{}` has no output `{output}`", link.root);
                let near = nearest(output, outputs.iter().map(String::as_str));
                self.findings.add_near(spot, message, near);
            }
            (Some(_), _) => (),
            (None, _) => {
                let visible = self.visible.keys().cloned().collect();
                self.unknown.push((link.clone(), spot.clone(), visible));
            }
        }
    }

    fn wrong(&mut self, spot: &Spot, message: String) {
        self.findings.add(spot, message);
    }
}

impl Reader<'_> {
    fn flow(&mut self, node: &Node, spot: Spot) -> Option<FlowDefinition> {
        let mut fields = Fields::new(node, spot, self.findings);
        fields.text("description");
        let mut inputs = Vec::new();
        for (entry, spot) in fields.entries("inputs") {
            inputs.extend(self.input(&entry.key, &entry.node, spot));
        }
        let stages_spot = fields.spot("stages");
        let stages = fields.node("stages");
        if stages.is_none() {
            self.findings.add(&stages_spot, "is missing");
        }
        let stages = stages.map(|node| self.stages(node, &stages_spot, 0));
        let mut outputs = Vec::new();
        for (entry, spot) in fields.entries("outputs") {
            let value = Expression::read(&entry.node, &spot, self);
            outputs.push((entry.key.clone(), value));
        }
        fields.finish();
        Some(FlowDefinition {
            inputs,
            stages: stages?,
            outputs,
        })
    }

    /// Says of each link that leads nowhere why it does.
    fn finish(self) {
        for (link, spot, visible) in self.unknown {
            let root = &link.root;
            match self.names.get(root) {
                Some(at) => {
                    let message = format!(
                        "`{root}` (line {}) is not known here: links lead to stages that have ended before, to the rows of loops around, and to inputs",
                        at.line
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

    fn name(&mut self, name: &str, spot: &Spot) {
        if !is_name(name) {
            let message = format!(
                "`{name}` is not a name: it starts with a letter and has only letters, digits and _"
            );
            self.findings.add(spot, message);
        } else if let Some(other) = self.names.get(name) {
            let message = format!(
                "`{name}` is the name of something else in line {}",
                other.line
            );
            self.findings.add(spot, message);
        }
        self.names
            .entry(name.to_owned())
            .or_insert_with(|| spot.clone());
    }

    fn input(&mut self, name: &str, node: &Node, spot: Spot) -> Option<FlowInput> {
        self.name(name, &spot);
        if SETTINGS
            .iter()
            .any(|setting| setting.eq_ignore_ascii_case(name))
        {
            self.findings
                .add(&spot, format!("`{name}` is a setting of BROADWAY"));
        }
        let mut fields = Fields::new(node, spot, self.findings);
        fields.text("description");
        let kind_spot = fields.spot("type");
        let kind = match fields.text("type") {
            None => InputKind::Any,
            Some(written) => {
                let found = INPUT_TYPES.into_iter().find(|(name, _)| *name == written);
                if found.is_none() {
                    let known = INPUT_TYPES.map(|(name, _)| name).join(", ");
                    let message = format!("`{written}` is no type of input: there are {known}");
                    self.findings.add(&kind_spot, message);
                }
                found.map_or(InputKind::Any, |(_, kind)| kind)
            }
        };
        let required_spot = fields.spot("required");
        let is_required = match fields.text("required") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let message = format!("must be true or false, not `{other}`");
                self.findings.add(&required_spot, message);
                false
            }
        };
        let default_spot = fields.spot("default");
        let default = fields.node("default").and_then(|node| {
            let value = Expression::read(node, &default_spot, self).literal();
            if value.is_none() {
                self.findings.add(&default_spot, "takes no links");
            }
            match kind.accept(value?) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.findings.add(&default_spot, error);
                    None
                }
            }
        });
        if is_required && default.is_some() {
            self.findings
                .add(&default_spot, "has no meaning: the input is required");
        }
        fields.finish();
        self.visible.insert(name.to_owned(), Known::Anything);
        Some(FlowInput {
            name: name.to_owned(),
            kind,
            is_required,
            default: default.unwrap_or_default(),
        })
    }

    fn stages(&mut self, node: &Node, spot: &Spot, depth: usize) -> Vec<Stage> {
        let mut stages = Vec::new();
        if depth > DEPTH {
            let message = format!("stages stand within stages at most {DEPTH} deep");
            self.findings.add(spot, message);
            return stages;
        }
        for (item, spot) in items(node, spot, self.findings) {
            self.stages += 1;
            if self.stages == STAGES + 1 {
                let message = format!("a flow has at most {STAGES} stages");
                self.findings.add(&spot, message);
            }
            stages.extend(self.stage(item, spot, depth));
        }
        stages
    }

    fn stage(&mut self, node: &Node, spot: Spot, depth: usize) -> Option<Stage> {
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        fields.text("description");
        let name = fields.required("name");
        if let Some(name) = name {
            self.name(name, &fields.spot("name"));
        }
        let spot = Spot {
            field: name.map_or(spot.field, |name| format!("stages.{name}")),
            ..spot
        };
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        for known in ["description", "name"] {
            fields.node(known);
        }
        let condition_spot = fields.spot("condition");
        let condition = fields
            .text("condition")
            .and_then(|text| self.condition(text, &condition_spot));
        self.refuse_transaction(&mut fields);
        // What is known inside is not known behind a loop.
        let outside = self.visible.clone();
        let loop_spot = fields.spot("loop");
        let repeat = fields.node("loop");
        let mut repeat = repeat.map(|node| self.repeat(node, loop_spot));
        let body = self.body(&mut fields, &spot, depth);
        let inside = self.visible.clone();
        let handler_spot = fields.spot("on_error");
        let on_error = fields.node("on_error").map(|node| {
            // The body may have failed anywhere, so nothing of it is sure to be there.
            self.visible.clone_from(&outside);
            if let Some(Repeating { variable, .. }) = &repeat {
                self.visible.insert(variable.clone(), Known::Anything);
            }
            self.handler(node, handler_spot)
        });
        fields.finish();
        self.visible = inside;
        let repeat = repeat.as_mut().map(|repeat| {
            let mut outputs = vec!["count".to_owned()];
            let mut collect = Vec::new();
            for (name, node, spot) in std::mem::take(&mut repeat.collect) {
                if name == "count" {
                    self.findings
                        .add(&spot, "`count` is the number of rows; choose another name");
                }
                collect.push((name.clone(), Expression::read(&node, &spot, self)));
                outputs.push(name);
            }
            self.visible = outside;
            if let Some(name) = name {
                self.visible
                    .insert(name.to_owned(), Known::Outputs(outputs));
            }
            (
                collect,
                repeat.rows.take(),
                repeat.variable.clone(),
                repeat.parallel,
            )
        });
        let repeat = match repeat {
            None => None,
            Some((collect, rows, variable, parallel)) => Some(Repeat {
                rows: rows?,
                variable,
                parallel,
                collect,
            }),
        };
        Some(Stage {
            name: name?.to_owned(),
            condition,
            repeat,
            body: body?,
            on_error,
        })
    }

    fn condition(&mut self, text: &str, spot: &Spot) -> Option<Condition> {
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
                let message = format!("`{text}` is no condition: {error}");
                self.findings.add(spot, message);
                None
            }
        }
    }

    /// Interfaces are read and never written, so there is nothing that could be committed together.
    fn refuse_transaction(&mut self, fields: &mut Fields<'_>) {
        for (interface, spot) in fields.texts("transaction") {
            let message = format!(
                "interface {interface} cannot take part in a transaction: interfaces are read, and nothing is written to them"
            );
            self.findings.add(&spot, message);
        }
    }

    fn body(&mut self, fields: &mut Fields<'_>, spot: &Spot, depth: usize) -> Option<Body> {
        let (actors_spot, stages_spot) = (fields.spot("actors"), fields.spot("stages"));
        match (fields.node("actors"), fields.node("stages")) {
            (Some(actors), None) => Some(Body::Actors(self.together(actors, &actors_spot))),
            (None, Some(stages)) => {
                Some(Body::Stages(self.stages(stages, &stages_spot, depth + 1)))
            }
            (Some(_), Some(_)) => {
                let message =
                    "a stage has either `actors`, all at once, or `stages`, one after the other";
                self.findings.add(&stages_spot, message);
                None
            }
            (None, None) => {
                self.findings.add(spot, "has neither `actors` nor `stages`");
                None
            }
        }
    }

    /// Actors side by side: none knows what another gives.
    fn together(&mut self, node: &Node, spot: &Spot) -> Vec<ActorCall> {
        let mut calls = Vec::new();
        for (item, spot) in items(node, spot, self.findings) {
            calls.extend(self.actor(item, &spot));
        }
        for call in &calls {
            self.know(call);
        }
        calls
    }

    fn know(&mut self, call: &ActorCall) {
        let outputs = call.actor.spec().outputs.iter();
        let outputs = outputs.map(|(name, _)| (*name).to_owned()).collect();
        self.visible
            .insert(call.name.clone(), Known::Outputs(outputs));
    }

    fn handler(&mut self, node: &Node, spot: Spot) -> Handler {
        let mut fields = Fields::new(node, spot, self.findings);
        let then_spot = fields.spot("then");
        let goes_on = match fields.text("then") {
            None | Some("fail") => false,
            Some("continue") => true,
            Some(other) => {
                let near = nearest(other, ["fail", "continue"]);
                let message = format!("must be fail or continue, not `{other}`");
                self.findings.add_near(&then_spot, message, near);
                false
            }
        };
        let outputs = ["message", "type", "stage"].map(str::to_owned).to_vec();
        self.visible
            .insert("error".to_owned(), Known::Outputs(outputs));
        let actors_spot = fields.spot("actors");
        let mut actors = Vec::new();
        if let Some(node) = fields.node("actors") {
            for (item, spot) in items(node, &actors_spot, self.findings) {
                if let Some(call) = self.actor(item, &spot) {
                    // One after the other, so each knows those before it.
                    self.know(&call);
                    actors.push(call);
                }
            }
        }
        fields.finish();
        Handler { actors, goes_on }
    }

    fn actor(&mut self, node: &Node, spot: &Spot) -> Option<ActorCall> {
        self.actors += 1;
        if self.actors == ACTORS + 1 {
            let message = format!("a flow has at most {ACTORS} actors");
            self.findings.add(spot, message);
        }
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        fields.text("description");
        let name = fields.required("name");
        if let Some(name) = name {
            self.name(name, &fields.spot("name"));
            if name == "error" {
                self.findings.add(
                    &fields.spot("name"),
                    "`error` is what error handlers are given",
                );
            }
        }
        let actor_spot = fields.spot("actor");
        let actor = fields.required("actor").and_then(|written| {
            let found = actors::find(written);
            if found.is_none() {
                let near = nearest(written, actors::names());
                let message = format!("there is no actor `{written}`");
                self.findings.add_near(&actor_spot, message, near);
            }
            found
        });
        let given = fields.entries("inputs");
        let mut inputs = Vec::new();
        if let Some(actor) = actor {
            let spec = actor.spec();
            for (entry, spot) in given {
                let known = spec.inputs.iter().map(|input| input.name);
                let Some(input) = spec.input(&entry.key) else {
                    let near = nearest(&entry.key, known);
                    let message = format!("{} has no input `{}`", spec.name, entry.key);
                    self.findings.add_near(&spot, message, near);
                    continue;
                };
                let value = match (input.kind, &entry.node.value) {
                    (InputKind::Fixed, Yaml::Text(text)) => self.fixed(text, &spot),
                    (InputKind::Code, Yaml::Text(text)) => {
                        Expression::Literal(Value::from(text.as_str()))
                    }
                    _ => Expression::read(&entry.node, &spot, self),
                };
                if let Some(literal) = value.literal()
                    && !(literal.is_null()
                        && (!input.is_required || input.kind == InputKind::Fixed))
                    && let Err(error) = input.kind.accept(literal)
                {
                    self.findings.add(&spot, error);
                }
                inputs.push(WrittenInput {
                    name: input.name,
                    value,
                    spot,
                });
            }
            for input in spec.inputs.iter().filter(|input| input.is_required) {
                if !inputs.iter().any(|given| given.name == input.name) {
                    let message = format!("{} needs the input `{}`", spec.name, input.name);
                    self.findings.add(spot, message);
                }
            }
        }
        fields.finish();
        Some(ActorCall {
            name: name?.to_owned(),
            actor: actor?,
            inputs,
            spot: spot.clone(),
        })
    }

    /// Code stands there as it is: what a link leads to is data, and never becomes code.
    fn fixed(&mut self, text: &str, spot: &Spot) -> Expression {
        let has_links = pieces(text).is_ok_and(|pieces| {
            pieces
                .iter()
                .any(|piece| !matches!(piece, super::expression::Piece::Text(_)))
        });
        if has_links {
            let message =
                "takes no links `${…}`: values go into `parameters`, or into other inputs";
            self.findings.add(spot, message);
            // Nobody need look at it any further.
            return Expression::Literal(Value::Null);
        }
        Expression::Literal(Value::from(text))
    }

    fn repeat(&mut self, node: &Node, spot: Spot) -> Repeating {
        let mut fields = Fields::new(node, spot.clone(), self.findings);
        let over_spot = fields.spot("over");
        let over = fields
            .node("over")
            .map(|node| Expression::read(node, &over_spot, self));
        if let Some(literal) = over.as_ref().and_then(Expression::literal)
            && !literal.is_array()
        {
            self.findings.add(&over_spot, "must be a list");
        }
        let query_spot = fields.spot("query");
        let query = fields.node("query").map(|node| {
            let mut fields = Fields::new(node, query_spot.clone(), self.findings);
            let interface = fields.required("interface").map(str::to_owned);
            let sql_spot = fields.spot("sql");
            let sql = fields
                .required("sql")
                .map(|text| self.fixed(text, &sql_spot));
            let sql = sql.and_then(|sql| sql.literal()?.as_str().map(str::to_owned));
            let parameters_spot = fields.spot("parameters");
            let parameters = fields
                .node("parameters")
                .map(|node| Expression::read(node, &parameters_spot, self));
            let parameters = parameters.unwrap_or(Expression::Literal(Value::Array(Vec::new())));
            if !matches!(
                parameters,
                Expression::Literal(Value::Array(_)) | Expression::List(_) | Expression::Link(_)
            ) {
                self.findings
                    .add(&parameters_spot, "must be a list, for the `?` of the query");
            }
            fields.finish();
            Some(RowSource::Query {
                interface: interface?,
                sql: sql?,
                parameters,
                spot: sql_spot,
            })
        });
        let rows = match (over, query) {
            (Some(over), None) => Some(RowSource::List(over)),
            (None, Some(query)) => query,
            (None, None) | (Some(_), Some(_)) => {
                let message = "a loop has either `over`, a list, or `query`, whose rows are not kept in memory";
                self.findings.add(&spot, message);
                None
            }
        };
        let as_spot = fields.spot("as");
        let variable = fields.required("as").unwrap_or_default().to_owned();
        if !variable.is_empty() {
            self.name(&variable, &as_spot);
            self.visible.insert(variable.clone(), Known::Anything);
        }
        let parallel = fields.number("parallel", 1, PARALLEL).unwrap_or(1);
        let collect = fields.entries("collect");
        let collect = collect
            .into_iter()
            .map(|(entry, spot)| (entry.key.clone(), entry.node.clone(), spot))
            .collect();
        fields.finish();
        Repeating {
            rows,
            variable,
            parallel: usize::try_from(parallel).unwrap_or(1),
            collect,
        }
    }
}

/// A loop of which the body is not read yet.
struct Repeating {
    rows: Option<RowSource>,
    variable: String,
    parallel: usize,
    collect: Vec<(String, Node, Spot)>,
}

/// The members of a list, each with its place.
fn items<'n>(node: &'n Node, spot: &Spot, findings: &Findings) -> Vec<(&'n Node, Spot)> {
    match &node.value {
        Yaml::List(items) => items
            .iter()
            .map(|item| {
                let spot = Spot {
                    line: item.line,
                    ..spot.clone()
                };
                (item, spot)
            })
            .collect(),
        other => {
            let message = format!("must be a list, not {}", other.kind());
            findings.add(spot, message);
            Vec::new()
        }
    }
}
