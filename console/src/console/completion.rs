//! Completion in the terminal: from the table of the language, and with values that a node knows.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use serde::Deserialize;
use tokio::runtime::Handle;
use weft_lang::{ValueKind, ValueSource, complete};

use super::client::Client;

/// How long answers of the node are kept.
const CACHE_TIME: Duration = Duration::from_secs(5);
/// The longest wait for an answer while a person types.
const NODE_TIMEOUT: Duration = Duration::from_millis(800);

/// Answers of the node, by text and cursor.
#[derive(Debug)]
struct NodeValues {
    client: Client,
    runtime: Handle,
    cache: RefCell<BTreeMap<(String, usize), Answered>>,
}

type Answered = (Instant, Option<Offer>);

/// The completion that the node offers.
#[derive(Clone, Debug, Deserialize)]
struct Offer {
    replace: Range,
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Range {
    start: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct Candidate {
    text: String,
}

/// Records that a place needs values which only a node knows.
#[derive(Debug, Default)]
struct NeedsNode(Cell<bool>);

impl ValueSource for NeedsNode {
    fn values(&self, _: ValueKind, _: Option<&str>) -> Vec<String> {
        self.0.set(true);
        Vec::new()
    }
}

/// Completion, hints and history for the line editor.
pub struct Assistant {
    node: NodeValues,
    hinter: HistoryHinter,
    /// The lines of the statement before the edited one.
    pub before: String,
}

impl Assistant {
    /// An assistant that gets values from this node.
    pub fn new(client: Client, runtime: Handle) -> Self {
        Self {
            node: NodeValues {
                client,
                runtime,
                cache: RefCell::default(),
            },
            hinter: HistoryHinter::new(),
            before: String::new(),
        }
    }

    /// Where the candidates begin, and the candidates. The node is asked only if the language lacks values.
    fn candidates(&self, text: &str, cursor: usize) -> (usize, Vec<String>) {
        let needs_node = NeedsNode::default();
        let own = complete(text, cursor, &needs_node);
        let offer = if needs_node.0.get() {
            self.node.offer(text, cursor)
        } else {
            None
        };
        match offer {
            Some(offer) => {
                let texts = offer.candidates.into_iter().map(|candidate| candidate.text);
                (offer.replace.start, texts.collect())
            }
            None => {
                let texts = own.candidates.into_iter().map(|candidate| candidate.text);
                (own.replace.start, texts.collect())
            }
        }
    }
}

impl NodeValues {
    /// The offer of the node; `None` if it does not answer in time. Reports no error while a person types.
    fn offer(&self, text: &str, cursor: usize) -> Option<Offer> {
        let key = (text.to_owned(), cursor);
        let mut cache = self.cache.borrow_mut();
        cache.retain(|_, (since, _)| since.elapsed() < CACHE_TIME);
        if let Some((_, offer)) = cache.get(&key) {
            return offer.clone();
        }
        let offer = self.runtime.block_on(async {
            let asked = tokio::time::timeout(NODE_TIMEOUT, ask(&self.client, text, cursor));
            asked.await.ok().flatten()
        });
        cache.insert(key, (Instant::now(), offer.clone()));
        offer
    }
}

async fn ask(client: &Client, text: &str, cursor: usize) -> Option<Offer> {
    let cursor = cursor.to_string();
    let query = [("text", text), ("cursor", &cursor)];
    let response = client.get("/api/v1/complete", &query).await.ok()?;
    response.json().await.ok()
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let text = format!("{}{line}", self.before);
        let offset = self.before.len();
        let (start, texts) = self.candidates(&text, offset + position);
        let pairs = texts.into_iter().map(|text| Pair {
            display: text.clone(),
            replacement: text,
        });
        Ok((start.saturating_sub(offset).min(position), pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        let hint = self.hinter.hint(line, position, context)?;
        // A statement of several lines cannot be shown as a hint.
        (!line.is_empty() && !hint.contains('\n')).then_some(hint)
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> std::borrow::Cow<'h, str> {
        if crate::output::stderr::has_color() {
            format!("\x1b[2m{hint}\x1b[0m").into()
        } else {
            hint.into()
        }
    }
}

impl Validator for Assistant {}

impl Helper for Assistant {}
