//! Interactive statements, typed in a terminal.

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Runtime;
use weft_lang::{Completeness, is_complete, split_statements};

use super::completion::Assistant;
use super::history;
use super::local::{self, LocalStatement};
use super::runner::Runner;
use crate::exit::OK;
use crate::output::stderr;

/// The longest text that may become a statement.
pub const MAX_TEXT: usize = 1024 * 1024;

const PROMPT: &str = "weft> ";
const MORE_PROMPT: &str = "   -> ";
const HISTORY_SIZE: usize = 10_000;

/// Reads and runs statements until the user leaves.
pub fn run(runtime: &Runtime, runner: &mut Runner) -> anyhow::Result<u8> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_SIZE)?
        .history_ignore_dups(true)?
        .auto_add_history(false)
        .build();
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config)?;
    let assistant = Assistant::new(runner.client().clone(), runtime.handle().clone());
    editor.set_helper(Some(assistant));
    let history_file = history::file();
    if let Some(file) = &history_file {
        // A history that cannot be read starts empty.
        let _ = editor.load_history(file);
    }
    stderr::notice(&format!(
        "weft {} at {}: statements end in `;`, HELP; lists them, Tab completes, Ctrl-D leaves",
        env!("CARGO_PKG_VERSION"),
        runner.client().url()
    ));
    while let Some(text) = read(&mut editor)? {
        if history::may_be_kept(&text) {
            let _ = editor.add_history_entry(text.trim_end());
            if let Some(file) = &history_file {
                let _ = editor.append_history(file);
            }
        }
        for span in split_statements(&text) {
            let code = runtime.block_on(runner.run(span.of(&text)));
            if code != OK || runner.is_leaving {
                break;
            }
        }
        if runner.is_leaving {
            break;
        }
    }
    Ok(OK)
}

/// Reads one or more complete statements; `None` if the user leaves.
fn read(editor: &mut Editor<Assistant, FileHistory>) -> anyhow::Result<Option<String>> {
    let mut text = String::new();
    loop {
        let prompt = if text.is_empty() { PROMPT } else { MORE_PROMPT };
        if let Some(assistant) = editor.helper_mut() {
            assistant.before.clone_from(&text);
        }
        match editor.readline(prompt) {
            Ok(line) => {
                text.push_str(&line);
                if leaves(&text) {
                    return Ok(Some(text));
                }
                text.push('\n');
            }
            Err(ReadlineError::Interrupted) => text.clear(),
            Err(ReadlineError::Eof) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        match is_complete(&text) {
            Completeness::Complete => return Ok(Some(text)),
            Completeness::Empty => text.clear(),
            Completeness::NeedsMore if text.len() > MAX_TEXT => {
                stderr::error("the statement is too long");
                text.clear();
            }
            Completeness::NeedsMore => (),
        }
    }
}

/// Whether the text is EXIT or QUIT, which need no `;`.
fn leaves(text: &str) -> bool {
    local::parse(text) == Some(LocalStatement::Leave)
}
