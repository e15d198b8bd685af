//! Conditions of stages: comparisons of links and literals, combined with `and`, `or`, `not` and parentheses.

use std::cmp::Ordering;

use serde_json::Value;
use weft_model::number::Decimal;

use super::expression::{Link, Lookup};
use super::value::kind_of;

/// The deepest nesting of parentheses and `not`.
const DEPTH: usize = 32;

/// Decides whether a stage runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Not(Box<Condition>),
    Compare(Term, Comparison, Term),
    /// A single value. False, null, 0, an empty text, list or map, and the text `false` do not hold.
    Is(Term),
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    Literal(Value),
    Link(Link),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const OPERATORS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    /// It cannot be parsed.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text };
        let condition = reader.any(0)?;
        match reader.rest.trim_start() {
            "" => Ok(condition),
            rest => Err(format!(
                "unexpected `{rest}`; combine conditions with `and` or `or`"
            )),
        }
    }

    /// Appends the links of the condition to `found`.
    pub(crate) fn links(&self, found: &mut Vec<Link>) {
        match self {
            Self::Or(parts) | Self::And(parts) => {
                for part in parts {
                    part.links(found);
                }
            }
            Self::Not(part) => part.links(found),
            Self::Compare(left, _, right) => {
                left.links(found);
                right.links(found);
            }
            Self::Is(term) => term.links(found),
        }
    }

    /// Evaluates the condition.
    ///
    /// # Errors
    /// A link cannot be resolved, or values have no order.
    pub(crate) fn holds(&self, scope: &dyn Lookup) -> Result<bool, String> {
        match self {
            Self::Or(parts) => {
                for part in parts {
                    if part.holds(scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::And(parts) => {
                for part in parts {
                    if !part.holds(scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Not(part) => part.holds(scope).map(|holds| !holds),
            Self::Is(term) => term.value(scope).map(is_true),
            Self::Compare(left, comparison, right) => {
                comparison.holds(left.value(scope)?, right.value(scope)?)
            }
        }
    }
}

impl Term {
    fn links(&self, found: &mut Vec<Link>) {
        if let Self::Link(link) = self {
            found.push(link.clone());
        }
    }

    fn value<'s>(&'s self, scope: &'s dyn Lookup) -> Result<&'s Value, String> {
        match self {
            Self::Literal(value) => Ok(value),
            Self::Link(link) => link.follow(scope),
        }
    }
}

impl Comparison {
    fn holds(self, left: &Value, right: &Value) -> Result<bool, String> {
        let numbers = number(left).zip(number(right));
        let order_of_numbers = numbers.map(|(left, right)| left.cmp(&right));
        let is_equal = match order_of_numbers {
            Some(order) => order.is_eq(),
            None => left == right,
        };
        match self {
            Self::Equal => return Ok(is_equal),
            Self::NotEqual => return Ok(!is_equal),
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => (),
        }
        // Null has no order.
        if left.is_null() || right.is_null() {
            return Ok(false);
        }
        let order = match (order_of_numbers, left, right) {
            (Some(order), _, _) => Some(order),
            (None, Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            _ => None,
        };
        let order = order
            .ok_or_else(|| format!("{} and {} have no order", kind_of(left), kind_of(right)))?;
        Ok(match self {
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Greater => order == Ordering::Greater,
            Self::GreaterOrEqual | Self::Equal | Self::NotEqual => order != Ordering::Less,
        })
    }
}

/// The number that a value is, or that its text is, with all its digits.
fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => Decimal::parse(number.as_str()),
        Value::String(text) => Decimal::parse(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(_) => number(value).is_none_or(|number| !number.is_zero()),
        Value::String(text) => !text.is_empty() && text != "false",
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.all(depth)?];
        while self.accept_word("or") || self.accept("||") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Condition::Or))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut parts = vec![self.one(depth)?];
        while self.accept_word("and") || self.accept("&&") {
            parts.push(self.one(depth)?);
        }
        Ok(one_or(parts, Condition::And))
    }

    fn one(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        if self.accept_word("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.accept("(") {
            let inner = self.any(depth + 1)?;
            return match self.accept(")") {
                true => Ok(inner),
                false => Err("`(` is not closed".to_owned()),
            };
        }
        let left = self.term()?;
        let found = OPERATORS
            .into_iter()
            .find(|(operator, _)| self.accept(operator));
        match found {
            Some((_, comparison)) => Ok(Condition::Compare(left, comparison, self.term()?)),
            None => Ok(Condition::Is(left)),
        }
    }

    fn term(&mut self) -> Result<Term, String> {
        self.rest = self.rest.trim_start();
        if let Some(behind) = self.rest.strip_prefix("${") {
            let closed = behind.split_once('}');
            let (inside, rest) = closed.ok_or("`${` is not closed")?;
            self.rest = rest;
            return Link::read(inside).map(Term::Link);
        }
        let Some(first) = self.rest.chars().next() else {
            return Err("a value is missing at the end".to_owned());
        };
        if first == '\'' || first == '"' {
            let closed = self.rest[1..].split_once(first);
            let (text, rest) = closed.ok_or_else(|| format!("{first} is not closed"))?;
            self.rest = rest;
            return Ok(Term::Literal(Value::from(text)));
        }
        let is_part = |c: char| c.is_alphanumeric() || "_.+-".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let literal = match word {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" => Some(Value::Null),
            _ => serde_json::from_str(word).ok().filter(Value::is_number),
        };
        let literal = literal.ok_or_else(|| {
            let what = if word.is_empty() { first.to_string() } else { word.to_owned() };
            format!("`{what}` is not a value: write a link `${{…}}`, a number, a text in quotes, true, false or null")
        })?;
        self.rest = rest;
        Ok(Term::Literal(literal))
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(symbol);
        if let Some(rest) = found {
            self.rest = rest;
        }
        found.is_some()
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(word);
        let ends = |rest: &&str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let found = found.filter(ends);
        if let Some(rest) = found {
            self.rest = rest;
        }
        found.is_some()
    }
}

fn one_or(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.len() {
        1 => parts.remove(0),
        _ => join(parts),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn scope() -> BTreeMap<String, Value> {
        let a = json!({"n": 2, "text": "10", "word": "abc", "list": [], "none": null, "yes": true});
        [("a".to_owned(), a)].into()
    }

    #[test]
    fn comparisons_combine_with_the_usual_precedence() {
        let check = |text: &str, expected: bool| {
            let condition = Condition::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(condition.holds(&scope()), Ok(expected), "{text}");
        };
        check("${a.n} > 1", true);
        check("${a.n}>=2 and ${a.n}<=2", true);
        check("${a.n} != 2", false);
        // Compared as numbers.
        check("${a.text} > 9", true);
        check("${a.text} == '1e1'", true);
        check("'123456789012345678' == '123456789012345679'", false);
        check("123456789012345678 < 123456789012345679", true);
        check("'0.10' == 0.1", true);
        check("${a.word} > 'abb'", true);
        check("${a.word} == \"abc\"", true);
        check("${a.none} == null", true);
        check("${a.none} > 0", false);
        check("${a.yes}", true);
        check("${a.list}", false);
        check("not ${a.list} && ${a.yes}", true);
        check("false and false or true", true);
        check("false and (false or true)", false);
        check("${a.list} or ${a.missing} or -1.5 < 0", true);
        check("${missing.x} != 'x'", true);
    }

    #[test]
    fn invalid_conditions_are_refused() {
        let check = |text: &str, part: &str| {
            let error = Condition::read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("", "a value is missing");
        check("${a} >", "a value is missing");
        check("${a} = 1", "unexpected `= 1`");
        check("count > 1", "`count` is not a value");
        check("(${a}", "`(` is not closed");
        check("'x", "' is not closed");
        check("${a", "`${` is not closed");
        check("@", "`@` is not a value");
        check(&"(".repeat(100), "nested too deeply");
        check(&"not ".repeat(100), "nested too deeply");
        let condition = Condition::read("${a.list} < 1").unwrap();
        assert_eq!(
            condition.holds(&scope()).unwrap_err(),
            "a list and a number have no order"
        );
    }
}
