//! What could be typed next: the language's own table, and values that a node knows.

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

/// Values of a node are asked for again after this.
const FRESH: Duration = Duration::from_secs(5);
/// Nobody waits longer for a list of names.
const PATIENCE: Duration = Duration::from_millis(800);

/// Answers of the node, by text and place.
#[derive(Debug)]
struct Node {
    client: Client,
    runtime: Handle,
    cache: RefCell<BTreeMap<(String, usize), Answered>>,
}

type Answered = (Instant, Option<Offer>);

/// What the node offers.
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

/// Notes that a place wants values which only a node knows.
#[derive(Debug, Default)]
struct Wanted(Cell<bool>);

impl ValueSource for Wanted {
    fn values(&self, _: ValueKind, _: Option<&str>) -> Vec<String> {
        self.0.set(true);
        Vec::new()
    }
}

/// Completion, hints and history for the line editor.
pub struct Assistant {
    node: Node,
    hinter: HistoryHinter,
    /// The lines of the statement before the one that is edited.
    pub before: String,
}

impl Assistant {
    /// An assistant that asks this node.
    pub fn new(client: Client, runtime: Handle) -> Self {
        Self {
            node: Node {
                client,
                runtime,
                cache: RefCell::default(),
            },
            hinter: HistoryHinter::new(),
            before: String::new(),
        }
    }

    /// Where the candidates go, and the candidates: the language's own where no node is needed.
    fn candidates(&self, text: &str, cursor: usize) -> (usize, Vec<String>) {
        let wanted = Wanted::default();
        let own = complete(text, cursor, &wanted);
        let offer = if wanted.0.get() {
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

impl Node {
    /// What the node offers; none where it does not answer in time. Nothing is said: a person is typing.
    fn offer(&self, text: &str, cursor: usize) -> Option<Offer> {
        let key = (text.to_owned(), cursor);
        let mut cache = self.cache.borrow_mut();
        cache.retain(|_, (since, _)| since.elapsed() < FRESH);
        if let Some((_, offer)) = cache.get(&key) {
            return offer.clone();
        }
        let offer = self.runtime.block_on(async {
            let asked = tokio::time::timeout(PATIENCE, ask(&self.client, text, cursor));
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
        // A statement of several lines is a poor hint for one line.
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
