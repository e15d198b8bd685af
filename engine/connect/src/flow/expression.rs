//! The values written in a flow: literals, links `${…}`, and texts, lists and maps that contain links.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weft_project::Spot;
use weft_project::yaml::{self, Node, Yaml};

use super::value::{json_bytes, text_of};

/// The most JSON that the links of one value may resolve to, in bytes.
pub(crate) const VALUE_BYTES: usize = 32 * 1024 * 1024;

/// A value as written in a flow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Literal(Value),
    /// A single link. The value keeps its type.
    Link(Link),
    /// A text that contains links.
    Text(Vec<Piece>),
    /// A list that contains links.
    List(Vec<Expression>),
    /// A map that contains links.
    Map(Vec<(String, Expression)>),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Link(Link),
}

/// A link such as `${name.key.0}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The name of an input, an actor, a stage or a row.
    pub root: String,
    /// Keys and indexes inside the value.
    pub path: Vec<String>,
}

/// Finds the values of links.
pub(crate) trait Lookup: Sync {
    /// The value of a name; none if its stage was skipped.
    fn find(&self, name: &str) -> Option<&Value>;
}

impl Lookup for BTreeMap<String, Value> {
    fn find(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl Link {
    /// Parses the text between `${` and `}`.
    ///
    /// # Errors
    /// A name is empty.
    pub(crate) fn read(inside: &str) -> Result<Self, String> {
        let mut parts = inside.trim().split('.').map(str::trim);
        let root = parts.next().unwrap_or_default();
        let path: Vec<String> = parts.map(str::to_owned).collect();
        if root.is_empty() || path.iter().any(String::is_empty) {
            return Err(format!("`${{{inside}}}` names nothing"));
        }
        Ok(Self {
            root: root.to_owned(),
            path,
        })
    }

    /// Resolves the link. What does not exist is null.
    ///
    /// # Errors
    /// The path selects a member of a value that has none.
    pub(crate) fn follow<'s>(&self, scope: &'s dyn Lookup) -> Result<&'s Value, String> {
        let mut found = scope.find(&self.root).unwrap_or(&Value::Null);
        for (at, key) in self.path.iter().enumerate() {
            found = match found {
                Value::Null => &Value::Null,
                Value::Object(map) => map.get(key).unwrap_or(&Value::Null),
                Value::Array(list) => match key.parse::<usize>() {
                    Ok(index) => list.get(index).unwrap_or(&Value::Null),
                    Err(_) => return Err(self.no_members(at, "a list, whose members have numbers")),
                },
                Value::String(_) => return Err(self.no_members(at, "a text")),
                Value::Number(_) => return Err(self.no_members(at, "a number")),
                Value::Bool(_) => return Err(self.no_members(at, "true or false")),
            };
        }
        Ok(found)
    }

    fn no_members(&self, at: usize, what: &str) -> String {
        let before = [std::slice::from_ref(&self.root), &self.path[..at]]
            .concat()
            .join(".");
        format!("{self}: `{before}` is {what}")
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${{{}", self.root)?;
        for key in &self.path {
            write!(f, ".{key}")?;
        }
        f.write_str("}")
    }
}

/// Receives the links and errors of an expression while it is read.
pub(crate) trait ExpressionVisitor {
    fn link(&mut self, link: &Link, spot: &Spot);
    fn error(&mut self, spot: &Spot, message: String);
}

impl Expression {
    /// Reads a value of a project file.
    pub(crate) fn read(node: &Node, spot: &Spot, visitor: &mut dyn ExpressionVisitor) -> Self {
        let spot = Spot {
            line: node.line,
            ..spot.clone()
        };
        match &node.value {
            Yaml::Null => Self::Literal(Value::Null),
            Yaml::Text(text) if node.is_plain => match yaml::plain(text) {
                Some(value) => Self::Literal(value),
                None => Self::text(text, &spot, visitor),
            },
            Yaml::Text(text) => Self::text(text, &spot, visitor),
            Yaml::List(items) => {
                let items: Vec<Self> = items
                    .iter()
                    .map(|item| Self::read(item, &spot, visitor))
                    .collect();
                match items.iter().map(Self::literal).collect() {
                    Some(values) => Self::Literal(Value::Array(values)),
                    None => Self::List(items),
                }
            }
            Yaml::Map(entries) => {
                let entries: Vec<(String, Self)> = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), Self::read(&entry.node, &spot, visitor)))
                    .collect();
                let literal = |(key, value): &(String, Self)| {
                    value.literal().map(|value| (key.clone(), value))
                };
                match entries.iter().map(literal).collect::<Option<Map<_, _>>>() {
                    Some(map) => Self::Literal(Value::Object(map)),
                    None => Self::Map(entries),
                }
            }
        }
    }

    fn text(text: &str, spot: &Spot, visitor: &mut dyn ExpressionVisitor) -> Self {
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(message) => {
                visitor.error(spot, message);
                return Self::Literal(Value::from(text));
            }
        };
        for piece in &pieces {
            if let Piece::Link(link) = piece {
                visitor.link(link, spot);
            }
        }
        match pieces.as_slice() {
            [] => Self::Literal(Value::from("")),
            [Piece::Text(text)] => Self::Literal(Value::from(text.as_str())),
            [Piece::Link(link)] => Self::Link(link.clone()),
            _ => Self::Text(pieces),
        }
    }

    /// The value of an expression without links.
    pub(crate) fn literal(&self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Link(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The keys of a map, as far as they are known before it is evaluated.
    pub(crate) fn keys(&self) -> Option<Vec<&str>> {
        match self {
            Self::Literal(Value::Object(map)) => Some(map.keys().map(String::as_str).collect()),
            Self::Map(entries) => Some(entries.iter().map(|(key, _)| key.as_str()).collect()),
            Self::Literal(_) | Self::Link(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Evaluates the expression.
    ///
    /// # Errors
    /// A link cannot be resolved, or the value is too large.
    pub(crate) fn value(&self, scope: &dyn Lookup) -> Result<Value, String> {
        let mut room = VALUE_BYTES;
        self.evaluate(scope, &mut room)
    }

    fn evaluate(&self, scope: &dyn Lookup, room: &mut usize) -> Result<Value, String> {
        let mut follow = |link: &Link| {
            let found = link.follow(scope)?;
            let bytes = json_bytes(found);
            *room = room
                .checked_sub(bytes)
                .ok_or_else(|| format!("{link}: the value has more than {VALUE_BYTES} bytes"))?;
            Ok::<_, String>(found.clone())
        };
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Link(link) => follow(link),
            Self::Text(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(piece) => text.push_str(piece),
                        Piece::Link(link) => text.push_str(&text_of(&follow(link)?)),
                    }
                }
                Ok(Value::from(text))
            }
            Self::List(items) => {
                let items = items.iter().map(|item| item.evaluate(scope, room));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            Self::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), value.evaluate(scope, room)?)));
                Ok(Value::Object(entries.collect::<Result<_, String>>()?))
            }
        }
    }
}

/// Splits a text at its links. `$$` stands for a dollar sign.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            literal.push('$');
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('{') {
            let Some((inside, behind)) = behind.split_once('}') else {
                return Err(format!("`${{` is not closed in `{text}`"));
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Link(Link::read(inside)?));
            rest = behind;
        } else {
            literal.push('$');
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Met {
        links: Vec<(String, usize)>,
        wrong: Vec<String>,
    }

    impl ExpressionVisitor for Met {
        fn link(&mut self, link: &Link, spot: &Spot) {
            self.links.push((link.to_string(), spot.line));
        }
        fn error(&mut self, _: &Spot, message: String) {
            self.wrong.push(message);
        }
    }

    fn read(text: &str) -> (Expression, Met) {
        let mut met = Met::default();
        let node = yaml::parse(text).unwrap();
        let expression = Expression::read(&node, &Spot::default(), &mut met);
        (expression, met)
    }

    fn scope() -> BTreeMap<String, Value> {
        let ids = json!({"rows": [{"id": "a", "n": 1}, {"id": "b", "n": null}], "count": 2});
        [
            ("ids".to_owned(), ids),
            ("text".to_owned(), json!("x")),
            ("flag".to_owned(), json!(true)),
        ]
        .into()
    }

    #[test]
    fn plain_scalars_have_types_and_quoted_ones_are_texts() {
        let (expression, met) = read(
            "{a: 5, b: '5', c: -2.5, d: true, e: 007, f: 1.50, g: 1e3, h: ~, i: [x, 1], j: 99999999999999999999}",
        );
        let expected = json!({
            "a": 5, "b": "5", "c": -2.5, "d": true, "e": "007", "f": "1.50", "g": "1e3", "h": null,
            "i": ["x", 1], "j": "99999999999999999999",
        });
        assert_eq!(expression.literal(), Some(expected));
        assert!(met.links.is_empty() && met.wrong.is_empty());
    }

    #[test]
    fn one_link_keeps_the_type_and_more_make_a_text() {
        let check = |text: &str, expected: Value| {
            let (expression, met) = read(&format!("v: {text}"));
            assert!(met.wrong.is_empty(), "{:?}", met.wrong);
            let value = expression.value(&scope()).unwrap();
            assert_eq!(value["v"], expected, "{text}");
        };
        check("${ids.count}", json!(2));
        check("'${ ids.rows.1.id }'", json!("b"));
        check("${ids.rows.0}", json!({"id": "a", "n": 1}));
        check("${ids.rows.7.id}", json!(null));
        check("${missing.at.all}", json!(null));
        check(
            "'${text}/${ids.count}/${flag}/${ids.rows.1.n}.'",
            json!("x/2/true/."),
        );
        check(
            "'${ids.rows}!'",
            json!("[{\"id\":\"a\",\"n\":1},{\"id\":\"b\",\"n\":null}]!"),
        );
        check("'$${text} costs $5'", json!("${text} costs $5"));
        check("{a: ['${text}'], b: 1}", json!({"a": ["x"], "b": 1}));
    }

    #[test]
    fn links_are_reported_with_their_lines() {
        let (_, met) = read("a: 1\nb:\n  - ${x.y}\n  - 'at ${z}'\n");
        assert_eq!(
            met.links,
            [("${x.y}".to_owned(), 3), ("${z}".to_owned(), 4)]
        );
        let wrong = |text: &str| read(&format!("v: '{text}'")).1.wrong;
        assert_eq!(wrong("${x"), ["`${` is not closed in `${x`"]);
        assert_eq!(wrong("${}"), ["`${}` names nothing"]);
        assert_eq!(wrong("${a..b}"), ["`${a..b}` names nothing"]);
    }

    #[test]
    fn a_path_into_a_scalar_is_an_error() {
        let value = |text: &str| read(&format!("v: {text}")).0.value(&scope());
        assert_eq!(
            value("${ids.count.x}").unwrap_err(),
            "${ids.count.x}: `ids.count` is a number"
        );
        assert_eq!(
            value("${ids.rows.first}").unwrap_err(),
            "${ids.rows.first}: `ids.rows` is a list, whose members have numbers"
        );
    }

    #[test]
    fn the_size_of_a_value_is_bounded() {
        let large = "x".repeat(VALUE_BYTES / 2);
        let scope: BTreeMap<_, _> = [("large".to_owned(), json!(large))].into();
        let (once, _) = read("v: ['${large}']");
        assert!(once.value(&scope).is_ok());
        let (twice, _) = read("v: ['${large}', '${large}']");
        assert!(twice.value(&scope).unwrap_err().contains("has more than"));
    }
}
