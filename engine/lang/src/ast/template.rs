//! The command that a batch runs for each entity.
//!
//! It is parsed once, with `?` in place of the id. Binding an id changes the tree, never text, so an id stays one literal
//! whatever its characters are.

use super::{Assignment, Broadway, CdcRepublish, Command, Get, GetVerb, Instance, Text};
use crate::span::Spanned;

/// A text in which every `?` stands for the entity id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text with its `?`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it contains the id.
    pub fn has_id(&self) -> bool {
        self.0.contains('?')
    }

    /// The text for one entity.
    pub fn fill(&self, id: &str) -> String {
        self.0.replace('?', id)
    }
}

/// A command with `?` for the entity id, parsed.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityTemplate {
    /// `sync_instance LU.?`
    SyncInstance {
        /// The logical unit, which may differ from the batch's.
        lu: Spanned<String>,
        /// The instance id.
        id: Spanned<Pattern>,
    },
    /// `broadway LU.flow name=?`
    Broadway {
        /// The logical unit.
        lu: Spanned<String>,
        /// The flow.
        flow: Spanned<String>,
        /// Its inputs, in the order given.
        parameters: Vec<(Spanned<String>, Spanned<Pattern>)>,
    },
    /// `cdc_republish_instance LU.?`
    CdcRepublish {
        /// The logical unit.
        lu: Spanned<String>,
        /// The instance id.
        id: Spanned<Pattern>,
        /// Tables, separated by commas.
        tables: Option<Spanned<String>>,
        /// Types, separated by commas.
        types: Option<Spanned<String>>,
        /// Whether the target is emptied first.
        truncate: Option<Spanned<bool>>,
    },
    /// `get LU.?`
    Get {
        /// The logical unit.
        lu: Spanned<String>,
        /// The instance id.
        id: Spanned<Pattern>,
    },
    /// `echo ?`
    Echo {
        /// The answer.
        text: Spanned<Pattern>,
        /// How long to wait before answering.
        delay_ms: Option<Spanned<u64>>,
    },
    /// `process script.sh ?`
    Process {
        /// The script.
        script: Spanned<String>,
        /// Its arguments, in the order given.
        arguments: Vec<Spanned<Pattern>>,
    },
}

impl EntityTemplate {
    /// The template of MIGRATE for a logical unit.
    pub(crate) fn sync(lu: Spanned<String>) -> Self {
        let id = Spanned::new(Pattern::new("?"), lu.span);
        Self::SyncInstance { lu, id }
    }

    /// The template for a command in which `?` is the entity id; `None` if it cannot run for each entity.
    pub(crate) fn from_command(command: Command) -> Option<Self> {
        Some(match command {
            Command::SyncInstance {
                instance: Instance { lu, id },
            } => Self::SyncInstance {
                lu,
                id: id.map(pattern),
            },
            Command::Broadway(Broadway {
                lu,
                flow,
                parameters,
            }) => {
                let parameters = parameters
                    .into_iter()
                    .map(|Assignment { name, value }| (name, value.map(pattern)));
                Self::Broadway {
                    lu,
                    flow,
                    parameters: parameters.collect(),
                }
            }
            Command::CdcRepublish(CdcRepublish {
                instance: Instance { lu, id },
                tables,
                types,
                truncate,
            }) => Self::CdcRepublish {
                lu,
                id: id.map(pattern),
                tables,
                types,
                truncate,
            },
            Command::Get(Get {
                verb: GetVerb::Get,
                mut instances,
                stop_on_error: None,
                parallel: None,
            }) if instances.len() == 1 => {
                let Instance { lu, id } = instances.pop()?;
                Self::Get {
                    lu,
                    id: id.map(pattern),
                }
            }
            Command::Echo { text, delay_ms } => Self::Echo {
                text: text.map(pattern),
                delay_ms,
            },
            Command::Process { script, arguments } => Self::Process {
                script,
                arguments: arguments
                    .into_iter()
                    .map(|argument| argument.map(pattern))
                    .collect(),
            },
            _ => return None,
        })
    }

    pub(crate) fn has_id(&self) -> bool {
        match self {
            Self::SyncInstance { id, .. }
            | Self::CdcRepublish { id, .. }
            | Self::Get { id, .. } => id.value.has_id(),
            Self::Broadway { parameters, .. } => {
                parameters.iter().any(|(_, value)| value.value.has_id())
            }
            Self::Echo { text, .. } => text.value.has_id(),
            Self::Process { arguments, .. } => {
                arguments.iter().any(|argument| argument.value.has_id())
            }
        }
    }

    /// The command's name in the table of commands.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::SyncInstance { .. } => "SYNC_INSTANCE",
            Self::Broadway { .. } => "BROADWAY",
            Self::CdcRepublish { .. } => "CDC_REPUBLISH_INSTANCE",
            Self::Get { .. } => "GET",
            Self::Echo { .. } => "ECHO",
            Self::Process { .. } => "PROCESS",
        }
    }

    /// The logical unit of the command; ECHO and PROCESS have none.
    pub fn lu(&self) -> Option<&Spanned<String>> {
        match self {
            Self::SyncInstance { lu, .. }
            | Self::Broadway { lu, .. }
            | Self::CdcRepublish { lu, .. }
            | Self::Get { lu, .. } => Some(lu),
            Self::Echo { .. } | Self::Process { .. } => None,
        }
    }

    /// The command for one entity.
    pub fn bind(&self, id: &str) -> Command {
        let literal = |pattern: &Spanned<Pattern>| {
            Spanned::new(Text::Literal(pattern.value.fill(id)), pattern.span)
        };
        match self {
            Self::SyncInstance { lu, id } => Command::SyncInstance {
                instance: Instance {
                    lu: lu.clone(),
                    id: literal(id),
                },
            },
            Self::Broadway {
                lu,
                flow,
                parameters,
            } => {
                let parameters = parameters.iter().map(|(name, value)| Assignment {
                    name: name.clone(),
                    value: literal(value),
                });
                Command::Broadway(Broadway {
                    lu: lu.clone(),
                    flow: flow.clone(),
                    parameters: parameters.collect(),
                })
            }
            Self::CdcRepublish {
                lu,
                id,
                tables,
                types,
                truncate,
            } => Command::CdcRepublish(CdcRepublish {
                instance: Instance {
                    lu: lu.clone(),
                    id: literal(id),
                },
                tables: tables.clone(),
                types: types.clone(),
                truncate: truncate.clone(),
            }),
            Self::Get { lu, id } => Command::Get(Get {
                verb: GetVerb::Get,
                instances: vec![Instance {
                    lu: lu.clone(),
                    id: literal(id),
                }],
                stop_on_error: None,
                parallel: None,
            }),
            Self::Echo { text, delay_ms } => Command::Echo {
                text: literal(text),
                delay_ms: delay_ms.clone(),
            },
            Self::Process { script, arguments } => Command::Process {
                script: script.clone(),
                arguments: arguments.iter().map(literal).collect(),
            },
        }
    }
}

fn pattern(text: Text) -> Pattern {
    match text {
        Text::Literal(text) => Pattern::new(text),
        Text::Parameter(_) => Pattern::new("?"),
    }
}
