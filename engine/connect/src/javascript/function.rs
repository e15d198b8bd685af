//! Functions of the project, read from the files that declare them. Reading does not run them.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::host::exact;
use super::parameters;
use super::runtime::{Engine, Script};
use super::{Failure, Interrupt, Limits, on_thread};

/// The longest file of a function, in bytes.
pub const SOURCE_BYTES: usize = 1024 * 1024;

/// Reading takes milliseconds. Only a malicious file takes longer.
const READ_TIME: Duration = Duration::from_secs(10);

/// An error in the file of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// A sentence.
    pub message: String,
}

/// A function.
pub struct Function {
    script: Script,
    parameters: Vec<String>,
}

impl Function {
    /// Reads the function `name` from the text of a file.
    ///
    /// # Errors
    /// The file does not declare a function that can be called.
    pub async fn read(file: &str, name: &str, text: &[u8]) -> Result<Self, Finding> {
        let script = script(file, name, text)?;
        let (sender, answer) = oneshot::channel();
        on_thread(move || {
            // The caller may be gone.
            let _ = sender.send(Self::declared(script));
        })
        .map_err(|failure| at_first_line(failure.message))?;
        match timeout(READ_TIME, answer).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => Err(at_first_line(
                "the thread that reads it ended early".to_owned(),
            )),
            Err(_) => Err(at_first_line(format!(
                "it cannot be read within {} s",
                READ_TIME.as_secs()
            ))),
        }
    }

    fn declared(script: Script) -> Result<Self, Finding> {
        let interrupt = Interrupt::default();
        let native = Rc::new(|_: &str, _: &str| "null".to_owned());
        let engine = Engine::new(Limits::default(), Arc::clone(&interrupt.0), native);
        let finding = |failure: Failure| Finding {
            line: failure
                .location
                .as_ref()
                .map_or(1, |location| location.line),
            message: format!("{}: {}", failure.kind.exception_type(), failure.message),
        };
        let declared = engine
            .and_then(|engine| engine.declared(&script))
            .map_err(finding)?;
        let name = &script.name;
        let declared = declared.ok_or_else(|| {
            let message = format!("the file declares no `function {name}(…)`");
            at_first_line(message)
        })?;
        let line = line_of(&script.source, &declared.text);
        let wrong = |message: String| Finding {
            line,
            message: format!("function {name}: {message}"),
        };
        let parameters = parameters::read(&declared.text).map_err(wrong)?;
        if parameters.required != declared.length {
            let message = "its parameters cannot be read; use plain names";
            return Err(wrong(message.to_owned()));
        }
        Ok(Self {
            script,
            parameters: parameters.names,
        })
    }

    /// The name of the file, for messages.
    pub fn label(&self) -> String {
        self.script.file.clone()
    }

    /// The name of the function.
    pub fn name(&self) -> &str {
        &self.script.name
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    pub(super) fn script(&self) -> &Script {
        &self.script
    }

    /// The arguments as JSON, in the order of the parameters.
    pub(super) fn positional(&self, arguments: &Map<String, Value>) -> Vec<Option<String>> {
        let parameters = self.parameters.iter();
        parameters
            .map(|name| {
                arguments
                    .get(name)
                    .cloned()
                    .map(|value| exact(value).to_string())
            })
            .collect()
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("file", &self.script.file)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

fn script(file: &str, name: &str, text: &[u8]) -> Result<Script, Finding> {
    if text.len() > SOURCE_BYTES {
        let message = format!("the file has more than {SOURCE_BYTES} bytes");
        return Err(at_first_line(message));
    }
    let line_at = |at: usize| 1 + text[..at].iter().filter(|byte| **byte == b'\n').count();
    if let Some(at) = text.iter().position(|byte| *byte == 0) {
        return Err(Finding {
            line: line_at(at),
            message: "the file contains a NUL character".to_owned(),
        });
    }
    let source = std::str::from_utf8(text).map_err(|error| Finding {
        line: line_at(error.valid_up_to()),
        message: "the file is not UTF-8".to_owned(),
    })?;
    Ok(Script {
        file: file.to_owned(),
        source: source.to_owned(),
        name: name.to_owned(),
    })
}

fn at_first_line(message: String) -> Finding {
    Finding { line: 1, message }
}

/// The line on which `part` begins.
fn line_of(source: &str, part: &str) -> usize {
    let before = source.find(part).map_or("", |at| &source[..at]);
    1 + before.matches('\n').count()
}
