//! Reads the names of the parameters from the text of a function.

/// The parameters of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// In order.
    pub names: Vec<String>,
    /// The number of parameters before the first default, as in `Function.length`.
    pub required: usize,
}

/// Reads the parameters of `function name(a, b = 1) {…}`.
///
/// # Errors
/// A sentence: a parameter has no name that ARGS could use.
pub(super) fn read(function: &str) -> Result<Parameters, String> {
    let mut scan = Scan { rest: function };
    let mut list = Vec::new();
    if scan.until(&['(']).is_none() {
        return Err("its parameters cannot be read".to_owned());
    }
    loop {
        let Some((text, end)) = scan.until(&[',', ')']) else {
            return Err("its parameters cannot be read".to_owned());
        };
        list.push(text);
        if end == ')' {
            break;
        }
    }
    // `()` has no parameters, and the last one may be followed by a comma.
    if list.last().is_some_and(|text| text.trim().is_empty()) {
        list.pop();
    }
    let mut parameters = Parameters::default();
    let mut has_default = false;
    for text in list {
        let (name, default) = match text.split_once('=') {
            Some((name, _)) => (name.trim(), true),
            None => (text.trim(), false),
        };
        let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!(
                "the parameter `{}` has no name that ARGS could use",
                text.trim()
            ));
        }
        has_default |= default;
        if !has_default {
            parameters.required += 1;
        }
        parameters.names.push(name.to_owned());
    }
    Ok(parameters)
}

struct Scan<'t> {
    rest: &'t str,
}

impl Scan<'_> {
    /// Advances past the next of `ends` outside of brackets, texts and comments. Returns the text before it, without
    /// comments.
    fn until(&mut self, ends: &[char]) -> Option<(String, char)> {
        let mut before = String::new();
        let mut depth = 0_usize;
        while let Some(first) = self.rest.chars().next() {
            if let Some(comment) = self.rest.strip_prefix("//") {
                self.rest = comment.find('\n').map_or("", |at| &comment[at..]);
                continue;
            }
            if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = comment.find("*/").map_or("", |at| &comment[at + 2..]);
                before.push(' ');
                continue;
            }
            let behind = &self.rest[first.len_utf8()..];
            if depth == 0 && ends.contains(&first) {
                self.rest = behind;
                return Some((before, first));
            }
            match first {
                '\'' | '"' | '`' => {
                    self.rest = skip_text(behind, first);
                    before.push_str("''");
                    continue;
                }
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => (),
            }
            before.push(first);
            self.rest = behind;
        }
        None
    }
}

fn skip_text(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return &text[at + c.len_utf8()..],
            _ => (),
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let check = |function: &str, names: &[&str], required: usize| {
            let read = read(function).unwrap();
            assert_eq!(
                (read.names.as_slice(), read.required),
                (texts(names).as_slice(), required)
            );
        };
        check("function f() {}", &[], 0);
        check("function f(a) { return (b, c); }", &["a"], 1);
        check("async function f ( a,\n  b, ) {}", &["a", "b"], 2);
        check(
            "function /* (x) */ f(a /* , b) */, // c\n $d) {}",
            &["a", "$d"],
            2,
        );
        check(
            "function f(a, b = 'x,)', c = [1, (2)], d = {e: `,${1}`}) {}",
            &["a", "b", "c", "d"],
            1,
        );
        check(
            "function f(größe, b = g(1, 2), c) {}",
            &["größe", "b", "c"],
            1,
        );
    }

    #[test]
    fn parameters_without_a_name_are_refused() {
        let check = |function: &str, expected: &str| {
            assert_eq!(read(function).unwrap_err(), expected);
        };
        check(
            "function f({a, b}) {}",
            "the parameter `{a, b}` has no name that ARGS could use",
        );
        check(
            "function f(a, ...rest) {}",
            "the parameter `...rest` has no name that ARGS could use",
        );
        check("function f", "its parameters cannot be read");
    }

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}
