//! YAML with line numbers, as trees of text. The reader of a field converts the text to its type.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Number, Value};

/// The deepest nesting of a project file.
const DEPTH: usize = 32;

/// A value and its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The line, from 1.
    pub line: usize,
    /// The value.
    pub value: Yaml,
    /// Whether a scalar has no quotes: `5` may be a number, `"5"` is a text.
    pub is_plain: bool,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Yaml {
    /// No value, or the plain word `null`.
    Null,
    /// Any other scalar.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The line of the key, from 1.
    pub line: usize,
    /// The value.
    pub node: Node,
}

impl Yaml {
    /// The kind of the value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Why a text is not valid YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The line, from 1.
    pub line: usize,
    /// The message.
    pub message: String,
}

/// The number or boolean that a plain scalar reads as; none if it is a text.
pub fn plain(text: &str) -> Option<Value> {
    match text {
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => (),
    }
    let has_form_of_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && text.ends_with(|c: char| c.is_ascii_digit());
    if !has_form_of_number {
        return None;
    }
    let number = match text.parse::<i64>() {
        Ok(whole) => Number::from(whole),
        Err(_) => Number::from_f64(text.parse().ok()?)?,
    };
    (number.to_string() == text).then_some(Value::Number(number))
}

/// Parses a file with one document. An empty file is an empty map.
///
/// # Errors
/// The text is not YAML, or uses what project files do not support: aliases, several documents, keys other than texts.
pub fn parse(text: &str) -> Result<Node, YamlError> {
    let mut events = Events {
        parser: Parser::new_from_str(text),
        line: 1,
    };
    let mut document = None;
    loop {
        match events.next()? {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            _ if document.is_some() => return Err(events.error("more than one document")),
            event => document = Some(events.node(event, 0)?),
        }
    }
    let empty = Node {
        line: 1,
        is_plain: false,
        value: Yaml::Map(Vec::new()),
    };
    Ok(match document {
        None => empty,
        Some(node) if node.value == Yaml::Null => empty,
        Some(node) => node,
    })
}

struct Events<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    line: usize,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<Event<'t>, YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(YamlError {
                line: error.marker().line(),
                message: format!("not YAML: {}", error.info()),
            }),
            None => Ok(Event::StreamEnd),
        }
    }

    fn error(&self, message: &str) -> YamlError {
        YamlError {
            line: self.line,
            message: message.to_owned(),
        }
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, YamlError> {
        if depth > DEPTH {
            return Err(self.error("nested too deeply"));
        }
        let line = self.line;
        let is_plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, ..));
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..)
                if matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL") =>
            {
                Yaml::Null
            }
            Event::Scalar(text, ..) => Yaml::Text(text.into_owned()),
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(_) => return Err(self.error("aliases are not supported")),
            _ => return Err(self.error("not YAML: a value was expected")),
        };
        Ok(Node {
            line,
            value,
            is_plain,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Yaml, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Yaml::List(items)),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Yaml, YamlError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, line) = match self.next()? {
                Event::MappingEnd => return Ok(Yaml::Map(entries)),
                Event::Scalar(key, ..) => (key.into_owned(), self.line),
                _ => return Err(self.error("a key must be a text")),
            };
            if entries.iter().any(|entry| entry.key == key) {
                return Err(self.error(&format!("`{key}` is given twice")));
            }
            let event = self.next()?;
            let node = self.node(event, depth + 1)?;
            entries.push(Entry { key, line, node });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_keys_and_values() {
        let tree =
            parse("# comment\na: 1\nb:\n  - x\n  - {c: ~}\n\nd: |\n  two\n  lines\n").unwrap();
        let Yaml::Map(entries) = tree.value else {
            panic!("a map")
        };
        let places: Vec<_> = entries
            .iter()
            .map(|entry| (entry.key.as_str(), entry.line))
            .collect();
        assert_eq!(places, [("a", 2), ("b", 3), ("d", 7)]);
        assert_eq!(entries[2].node.value, Yaml::Text("two\nlines\n".into()));
        let Yaml::List(items) = &entries[1].node.value else {
            panic!("a list")
        };
        assert_eq!((items[0].line, items[1].line), (4, 5));
    }

    #[test]
    fn what_is_not_plain_yaml_is_refused_with_its_line() {
        let check = |text: &str, line, part: &str| {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {}", error.message);
            assert!(error.message.contains(part), "{text}: {}", error.message);
        };
        check("a: 1\na: 2\n", 2, "`a` is given twice");
        check("a: &x 1\nb: *x\n", 2, "aliases are not supported");
        check("a: 1\n---\nb: 2\n", 3, "more than one document");
        check("a: [1, 2\nb: 3\n", 2, "not YAML");
        check("a: 'open\n", 1, "not YAML");
        check("? [a]\n: 1\n", 1, "a key must be a text");
        check(&"[".repeat(200), 1, "nested too deeply");
        check(&format!("a:\n{}", "- ".repeat(200)), 2, "nested too deeply");
        assert_eq!(parse("").unwrap().value, Yaml::Map(Vec::new()));
        assert_eq!(parse("# nothing\n").unwrap().value, Yaml::Map(Vec::new()));
    }
}
