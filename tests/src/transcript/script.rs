//! The file of a transcript: a header, and steps with their output.

use anyhow::{Context, bail};

/// A transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The number of ids in the example project.
    pub ids: u64,
    /// The address by which affinities find the node.
    pub node_ip: String,
    /// Settings of the node, `section.KEY=value` each.
    pub settings: Vec<String>,
    /// The text of the header.
    pub header: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step and its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The text of the step.
    pub text: String,
    /// The output.
    pub printed: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run a statement and show its output.
    Statement(String),
    /// Run a statement without showing its output.
    Silent(String),
    /// Repeat the next statement until its output contains this text.
    Until(String),
    /// Run SQL on the data of the example project.
    Garage(String),
    /// Replace the list of ids.
    Ids(Vec<String>),
    /// Show the column `arguments` of a batch.
    Arguments(String),
    /// Nothing: the step is a comment.
    Remark,
}

const PROMPT: &str = "weft> ";
const CONTINUED: &str = "   -> ";

impl Script {
    /// Reads a transcript.
    ///
    /// # Errors
    /// The header has an unknown name, or there is text before the first step.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (header, rest) = text
            .split_once("\n\n")
            .context("there is no empty line behind the header")?;
        let mut script = Self {
            ids: 10,
            node_ip: "127.0.0.1".to_owned(),
            settings: Vec::new(),
            header: header.to_owned(),
            steps: Vec::new(),
        };
        for line in header.lines() {
            match line.split_once(": ") {
                Some(("ids", count)) => script.ids = count.parse()?,
                Some(("node-ip", ip)) => ip.clone_into(&mut script.node_ip),
                Some(("set", setting)) => script.settings.push(setting.to_owned()),
                Some(("about", _)) => (),
                Some(_) | None => bail!("the header has `{line}`"),
            }
        }
        for line in rest.lines() {
            if line.starts_with(PROMPT) || line.starts_with("$ ") || line.starts_with("# ") {
                script.steps.push(Step {
                    text: line.to_owned(),
                    printed: String::new(),
                });
                continue;
            }
            let Some(step) = script.steps.last_mut() else {
                if line.is_empty() {
                    continue;
                }
                bail!("`{line}` stands before the first step");
            };
            if line.starts_with(CONTINUED) && step.printed.is_empty() {
                step.text.push('\n');
                step.text.push_str(line);
            } else {
                step.printed.push_str(line);
                step.printed.push('\n');
            }
        }
        for step in &mut script.steps {
            step.printed = step.printed.trim_end_matches('\n').to_owned();
        }
        Ok(script)
    }

    /// The text of a transcript.
    pub fn write(&self) -> String {
        let mut text = format!("{}\n", self.header);
        let mut is_joined = false;
        for step in &self.steps {
            if !is_joined {
                text.push('\n');
            }
            text.push_str(&step.text);
            text.push('\n');
            if !step.printed.is_empty() {
                text.push_str(&step.printed);
                text.push('\n');
            }
            // A comment or command without output belongs to the next statement, so no empty line follows it.
            is_joined = step.printed.is_empty() && !step.text.starts_with(PROMPT);
        }
        text
    }
}

impl Step {
    /// What the step does.
    ///
    /// # Errors
    /// The step is an unknown command, or its argument cannot be parsed.
    pub fn action(&self) -> anyhow::Result<Action> {
        if let Some(statement) = self.text.strip_prefix(PROMPT) {
            let statement = statement.replace(&format!("\n{CONTINUED}"), "\n");
            return Ok(Action::Statement(statement));
        }
        let Some(command) = self.text.strip_prefix("$ ") else {
            return Ok(Action::Remark);
        };
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        Ok(match name {
            "until" => Action::Until(rest.to_owned()),
            "run" => Action::Silent(rest.to_owned()),
            "garage" => Action::Garage(rest.to_owned()),
            "ids" => Action::Ids(serde_json::from_str(rest).context("ids are a JSON array")?),
            "arguments" => Action::Arguments(rest.to_owned()),
            _ => bail!("`$ {name}` is no step"),
        })
    }
}
