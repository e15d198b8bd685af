//! The kinds of configuration values: what each allows, and how it reads a text.

use std::time::Duration;

/// The kind of the values of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// A whole number of milliseconds.
    Millis(u64, u64),
    /// A whole number of seconds.
    Seconds(u64, u64),
    /// The stable name of a node.
    Name,
    /// Letters and digits, at most 20: it becomes part of keyspace names.
    ClusterId,
    /// An IP address or a host name.
    Address,
    /// Addresses, separated by commas.
    Addresses,
    /// Addresses, separated by commas, with a port to allow only that port (`api.example.com:8443`).
    Hosts,
    /// Folders by their absolute paths, separated by commas.
    Folders,
    /// Logical ids, separated by commas, each with its slots if it has any (`blue:2-4`).
    LogicalIds,
}

/// A valid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Duration(Duration),
    Text(String),
    List(Vec<String>),
}

impl Kind {
    /// What is allowed, in words.
    pub fn allowed(self) -> String {
        match self {
            Self::Number(min, max) => format!("a whole number from {min} to {max}"),
            Self::Millis(min, max) => format!("whole milliseconds from {min} to {max}"),
            Self::Seconds(min, max) => format!("whole seconds from {min} to {max}"),
            Self::Name => "1 to 64 letters, digits, '-', '_' or '.'".to_owned(),
            Self::ClusterId => "1 to 20 letters or digits".to_owned(),
            Self::Address => "an IP address or a host name".to_owned(),
            Self::Addresses => "IP addresses or host names, separated by commas".to_owned(),
            Self::Hosts => {
                "host names or IP addresses, each with or without :PORT, separated by commas"
                    .to_owned()
            }
            Self::Folders => "absolute paths of folders, separated by commas".to_owned(),
            Self::LogicalIds => {
                "names separated by commas, each as NAME, NAME:MAXIMUM or NAME:RECOMMENDED-MAXIMUM"
                    .to_owned()
            }
        }
    }

    /// Reads `text` as this kind; none if it is not allowed.
    pub(super) fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Number(min, max) => whole(text, min, max).map(Value::Number),
            Self::Millis(min, max) => duration(text, min, max, 1),
            Self::Seconds(min, max) => duration(text, min, max, 1_000),
            Self::Name => is_name(text).then(|| Value::Text(text.to_owned())),
            Self::ClusterId => is_cluster_id(text).then(|| Value::Text(text.to_owned())),
            Self::Address => is_address(text).then(|| Value::Text(text.to_owned())),
            Self::Addresses => list(text, is_address),
            Self::Hosts => list(text, is_host),
            Self::Folders => list(text, is_folder),
            Self::LogicalIds => list(text, is_logical_id),
        }
    }
}

fn whole(text: &str, min: u64, max: u64) -> Option<u64> {
    let number = text.parse().ok()?;
    (min..=max).contains(&number).then_some(number)
}

fn duration(text: &str, min: u64, max: u64, millis: u64) -> Option<Value> {
    let number = whole(text, min, max)?;
    Some(Value::Duration(Duration::from_millis(
        number.saturating_mul(millis),
    )))
}

fn list(text: &str, allowed: fn(&str) -> bool) -> Option<Value> {
    let members: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .map(str::to_owned)
        .collect();
    members
        .iter()
        .all(|member| allowed(member))
        .then_some(Value::List(members))
}

/// Letters, digits, `-`, `_` and `.`, up to 64.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_cluster_id(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || is_host_name(text)
}

fn is_host_name(text: &str) -> bool {
    // Numbers with dots that are not an IP address are a typing error, not a host name.
    let all_numbers = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    !all_numbers
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
}

fn is_host(text: &str) -> bool {
    if is_address(text) {
        return true;
    }
    // An IPv6 address with a port is in brackets.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let address = match host.strip_prefix('[') {
        Some(inside) => inside
            .strip_suffix(']')
            .is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.contains(':') && is_address(host),
    };
    address && port.is_none_or(|port| whole(port, 1, 65_535).is_some())
}

/// An absolute path without `..` that is not the root.
fn is_folder(text: &str) -> bool {
    let path = std::path::Path::new(text);
    let is_plain = |part| {
        use std::path::Component;
        matches!(part, Component::RootDir | Component::Normal(_))
    };
    path.is_absolute() && path.components().count() > 1 && path.components().all(is_plain)
}

/// Whether this is a logical id as in node.id: `Name`, `Name:4`, `Name:2-4`, `Name:2 4` or `Name:2:4`.
pub fn is_logical_id(text: &str) -> bool {
    let Some((name, sizes)) = text.split_once(':') else {
        return is_id_name(text);
    };
    let mut numbers = sizes
        .split(['-', ' ', ':'])
        .map(|part| part.parse::<u32>().ok());
    let are_sizes = match (numbers.next().flatten(), numbers.next(), numbers.next()) {
        (Some(_), None, None) => true,
        // The recommended and the maximum size.
        (Some(first), Some(Some(last)), None) => first <= last,
        _ => false,
    };
    is_id_name(name) && are_sizes
}

/// A leading `-` would mark a logical id that is removed.
fn is_id_name(text: &str) -> bool {
    is_name(text.trim()) && !text.trim().starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_the_values_that_it_allows() {
        let allowed = [
            (Kind::Number(0, 8), "0", Value::Number(0)),
            (Kind::Number(0, 8), "8", Value::Number(8)),
            (
                Kind::Seconds(1, 60),
                "7",
                Value::Duration(Duration::from_secs(7)),
            ),
            (
                Kind::Address,
                "10.21.2.102",
                Value::Text("10.21.2.102".to_owned()),
            ),
            (Kind::Address, "::1", Value::Text("::1".to_owned())),
            (
                Kind::Address,
                "db-1.example",
                Value::Text("db-1.example".to_owned()),
            ),
            (
                Kind::LogicalIds,
                "ANY:0, blue:2-4,x",
                Value::List(vec!["ANY:0".into(), "blue:2-4".into(), "x".into()]),
            ),
            (
                Kind::Addresses,
                "a, ,b",
                Value::List(vec!["a".into(), "b".into()]),
            ),
            (
                Kind::Hosts,
                "api.example.com, localhost:8080,10.0.0.1,[::1]:80,::1,[fe80::1]",
                Value::List(vec![
                    "api.example.com".into(),
                    "localhost:8080".into(),
                    "10.0.0.1".into(),
                    "[::1]:80".into(),
                    "::1".into(),
                    "[fe80::1]".into(),
                ]),
            ),
            (
                Kind::Folders,
                "/srv/in, /srv/out dir",
                Value::List(vec!["/srv/in".into(), "/srv/out dir".into()]),
            ),
            (Kind::ClusterId, "prod1", Value::Text("prod1".to_owned())),
        ];
        for (kind, text, expected) in allowed {
            assert_eq!(kind.read(text), Some(expected), "{kind:?} {text}");
        }
    }

    #[test]
    fn a_kind_refuses_other_values() {
        let refused = [
            (Kind::Number(0, 8), "9"),
            (Kind::Number(0, 8), "-1"),
            (Kind::Number(0, 8), "8.0"),
            (Kind::Number(0, 8), ""),
            (Kind::Millis(100, 200), "99"),
            (Kind::Address, "10.21.2.999"),
            (Kind::Address, "a b"),
            (Kind::Address, "-a"),
            (Kind::ClusterId, "a-b"),
            (Kind::ClusterId, "abcdefghijklmnopqrstu"),
            (Kind::LogicalIds, "blue:x"),
            (Kind::LogicalIds, "blue:1-2-3"),
            (Kind::Hosts, "a:0"),
            (Kind::Hosts, "a:65536"),
            (Kind::Hosts, "a:"),
            (Kind::Hosts, ":80"),
            (Kind::Hosts, "http://a"),
            (Kind::Hosts, "a/b"),
            (Kind::Hosts, "*"),
            (Kind::Hosts, "u@a"),
            (Kind::Hosts, "[a]:80"),
            (Kind::Hosts, "10.0.0.256:80"),
            (Kind::Folders, "data"),
            (Kind::Folders, "/"),
            (Kind::Folders, "/a/../b"),
            (Kind::Name, "a b"),
        ];
        for (kind, text) in refused {
            assert_eq!(kind.read(text), None, "{kind:?} {text}");
        }
    }
}
