//! Reads stages with their loops and error handlers.

use serde_json::Value;
use weft_project::yaml::Node;
use weft_project::{Fields, Spot, nearest};

use super::reader::{Members, Reader};
use super::{Body, ErrorHandler, RowLoop, RowSource, Stage};
use crate::flow::expression::Expression;

/// The most stages of a flow, nested ones included.
const STAGES: usize = 500;
/// The deepest nesting of stages.
const DEPTH: usize = 8;
/// The most rows of a loop that run at once.
const PARALLEL: u64 = 64;

/// A loop whose `collect` has not been read: its expressions use the outputs of the body.
struct LoopHead {
    rows: Option<RowSource>,
    variable: String,
    parallel: usize,
    collect: Vec<(String, Node, Spot)>,
}

impl Reader<'_> {
    pub(super) fn stages(&mut self, node: &Node, spot: &Spot, depth: usize) -> Vec<Stage> {
        let mut stages = Vec::new();
        if depth > DEPTH {
            let message = format!("stages may be nested at most {DEPTH} deep");
            self.findings.add(spot, message);
            return stages;
        }
        for (item, spot) in self.items(node, spot) {
            self.stage_count += 1;
            if self.stage_count == STAGES + 1 {
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
            self.declare(name, &fields.spot("name"));
        }
        // From here on errors name the stage.
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
        let outside = self.visible.clone();
        let loop_spot = fields.spot("loop");
        let head = fields.node("loop");
        let head = head.map(|node| self.loop_head(node, loop_spot));
        let body = self.body(&mut fields, &spot, depth);
        let inside = self.visible.clone();
        let handler_spot = fields.spot("on_error");
        let on_error = fields.node("on_error").map(|node| {
            // The body may have failed anywhere, so none of its outputs is certain.
            self.visible.clone_from(&outside);
            if let Some(head) = &head {
                self.visible.insert(head.variable.clone(), Members::Any);
            }
            self.handler(node, handler_spot)
        });
        fields.finish();
        self.visible = inside;
        let repeat = match head {
            None => None,
            Some(head) => {
                let (repeat, outputs) = self.collect(head);
                // The names inside a loop are not visible after it.
                self.visible = outside;
                if let Some(name) = name {
                    self.visible
                        .insert(name.to_owned(), Members::Outputs(outputs));
                }
                Some(repeat?)
            }
        };
        Some(Stage {
            name: name?.to_owned(),
            condition,
            repeat,
            body: body?,
            on_error,
        })
    }

    /// Interfaces are read-only, so there is nothing to commit together.
    fn refuse_transaction(&mut self, fields: &mut Fields<'_>) {
        for (interface, spot) in fields.texts("transaction") {
            let message = format!(
                "interface {interface} cannot take part in a transaction: interfaces are read-only"
            );
            self.findings.add(&spot, message);
        }
    }

    fn body(&mut self, fields: &mut Fields<'_>, spot: &Spot, depth: usize) -> Option<Body> {
        let (actors_spot, stages_spot) = (fields.spot("actors"), fields.spot("stages"));
        match (fields.node("actors"), fields.node("stages")) {
            (Some(actors), None) => Some(Body::Actors(self.parallel_actors(actors, &actors_spot))),
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

    fn handler(&mut self, node: &Node, spot: Spot) -> ErrorHandler {
        let mut fields = Fields::new(node, spot, self.findings);
        let then_spot = fields.spot("then");
        let continues = match fields.text("then") {
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
            .insert("error".to_owned(), Members::Outputs(outputs));
        let actors_spot = fields.spot("actors");
        let actors = match fields.node("actors") {
            Some(node) => self.sequential_actors(node, &actors_spot),
            None => Vec::new(),
        };
        fields.finish();
        ErrorHandler { actors, continues }
    }

    fn loop_head(&mut self, node: &Node, spot: Spot) -> LoopHead {
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
        let query = fields
            .node("query")
            .map(|node| self.loop_query(node, query_spot));
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
            self.declare(&variable, &as_spot);
            self.visible.insert(variable.clone(), Members::Any);
        }
        let parallel = fields.number("parallel", 1, PARALLEL).unwrap_or(1);
        let collect = fields.entries("collect");
        let collect = collect
            .into_iter()
            .map(|(entry, spot)| (entry.key.clone(), entry.node.clone(), spot))
            .collect();
        fields.finish();
        LoopHead {
            rows,
            variable,
            parallel: usize::try_from(parallel).unwrap_or(1),
            collect,
        }
    }

    fn loop_query(&mut self, node: &Node, spot: Spot) -> Option<RowSource> {
        let mut fields = Fields::new(node, spot, self.findings);
        let interface = fields.required("interface").map(str::to_owned);
        let sql_spot = fields.spot("sql");
        let sql = fields
            .required("sql")
            .map(|text| self.fixed_text(text, &sql_spot));
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
    }

    /// Reads what a loop collects; also returns the names of its outputs.
    fn collect(&mut self, head: LoopHead) -> (Option<RowLoop>, Vec<String>) {
        let mut outputs = vec!["count".to_owned()];
        let mut collect = Vec::new();
        for (name, node, spot) in head.collect {
            if name == "count" {
                self.findings
                    .add(&spot, "`count` is the number of rows; choose another name");
            }
            collect.push((name.clone(), Expression::read(&node, &spot, self)));
            outputs.push(name);
        }
        let repeat = head.rows.map(|rows| RowLoop {
            rows,
            variable: head.variable,
            parallel: head.parallel,
            collect,
        });
        (repeat, outputs)
    }
}
