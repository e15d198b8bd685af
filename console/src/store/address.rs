//! The address of a store, as given to `--store`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// One SQLite file.
    Sqlite(PathBuf),
    /// A Cassandra or ScyllaDB cluster.
    Cassandra(CassandraAddress),
}

/// The address of a cluster. User and password come from the environment, because others can see an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CassandraAddress {
    /// Some nodes, each as `host` or `host:port`.
    pub hosts: Vec<String>,
    /// `dc=`: the data centre whose quorum answers.
    pub dc: Option<String>,
    /// `serial=serial`: compare-and-sets over all data centres instead of the local one.
    pub serial_everywhere: bool,
    /// `replication=`: copies per data centre, used when keyspaces are created.
    pub replication: Option<u8>,
    /// `cluster=`: appended to the names of keyspaces.
    pub cluster_id: Option<String>,
}

impl FromStr for StoreAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("cassandra://") {
            return cassandra(rest).map(Self::Cassandra);
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err("`sqlite:` needs the path of a file".to_owned());
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        Err(format!(
            "`{text}` is not a store address, write cassandra://HOST[:PORT][,HOST…] or sqlite:PATH"
        ))
    }
}

fn cassandra(rest: &str) -> Result<CassandraAddress, String> {
    let (hosts, query) = rest.split_once('?').unwrap_or((rest, ""));
    if hosts.contains('@') {
        return Err(
            "the address of a store holds no user or password, set WEFT_STORE_USER and WEFT_STORE_PASSWORD or WEFT_STORE_PASSWORD_FILE"
                .to_owned(),
        );
    }
    let hosts: Vec<String> = hosts
        .trim_end_matches('/')
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
        .collect();
    if hosts.is_empty() {
        return Err("`cassandra://` needs at least one host".to_owned());
    }
    let mut address = CassandraAddress {
        hosts,
        ..CassandraAddress::default()
    };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        set(&mut address, name, value)?;
    }
    Ok(address)
}

fn set(address: &mut CassandraAddress, name: &str, value: &str) -> Result<(), String> {
    let is_cluster_id =
        (1..=20).contains(&value.len()) && value.chars().all(|c| c.is_ascii_alphanumeric());
    match (name, value) {
        (_, "") => return Err(format!("`{name}=` needs a value")),
        ("dc", dc) => address.dc = Some(dc.to_owned()),
        ("serial", "local") => address.serial_everywhere = false,
        ("serial", "serial" | "global") => address.serial_everywhere = true,
        ("serial", other) => {
            return Err(format!(
                "`serial={other}` is not allowed, write local or serial"
            ));
        }
        ("replication", number) => match number.parse() {
            Ok(copies @ 1..=9) => address.replication = Some(copies),
            Ok(_) | Err(_) => {
                return Err(format!(
                    "`replication={number}` is not allowed, write 1 to 9"
                ));
            }
        },
        ("cluster", id) if is_cluster_id => address.cluster_id = Some(id.to_owned()),
        ("cluster", id) => {
            return Err(format!(
                "`cluster={id}` is not allowed, write 1 to 20 letters or digits"
            ));
        }
        (other, _) => {
            return Err(format!(
                "`{other}` is not a parameter of a store address, there are dc, serial, replication and cluster"
            ));
        }
    }
    Ok(())
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = match self {
            Self::Sqlite(path) => return write!(f, "sqlite:{}", path.display()),
            Self::Cassandra(address) => address,
        };
        write!(f, "cassandra://{}", address.hosts.join(","))?;
        let mut parameters = Vec::new();
        if let Some(dc) = &address.dc {
            parameters.push(format!("dc={dc}"));
        }
        if address.serial_everywhere {
            parameters.push("serial=serial".to_owned());
        }
        if let Some(copies) = address.replication {
            parameters.push(format!("replication={copies}"));
        }
        if let Some(id) = &address.cluster_id {
            parameters.push(format!("cluster={id}"));
        }
        if !parameters.is_empty() {
            write!(f, "?{}", parameters.join("&"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read() {
        for text in [
            "sqlite:/data/weft.db",
            "sqlite:.weft/weft.db",
            "cassandra://h1:9042,h2",
            "cassandra://h1?dc=DC1&serial=serial&replication=3&cluster=prod1",
        ] {
            let address: StoreAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        let with_slashes: StoreAddress = "sqlite:///data/weft.db".parse().expect("an address");
        assert_eq!(with_slashes, StoreAddress::Sqlite("/data/weft.db".into()));
    }

    #[test]
    fn an_invalid_address_is_refused_with_what_is_allowed() {
        for (text, expected) in [
            ("weft.db", "cassandra://HOST"),
            ("sqlite:", "path of a file"),
            ("cassandra://", "at least one host"),
            ("cassandra://u:p@h", "WEFT_STORE_PASSWORD"),
            ("cassandra://h?replication=0", "1 to 9"),
            ("cassandra://h?serial=x", "local or serial"),
            (
                "cassandra://h?rack=1",
                "dc, serial, replication and cluster",
            ),
            ("cassandra://h?cluster=a-b", "letters or digits"),
            ("cassandra://h?dc=", "needs a value"),
        ] {
            let error = text.parse::<StoreAddress>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
