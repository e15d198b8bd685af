//! The options of the store.

use std::fmt;
use std::time::Duration;

/// The level of compare-and-sets and SERIAL reads. Every node of a cluster must use the same one: on a partition that
/// is written at both levels, compare-and-sets are not linearizable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SerialLevel {
    /// A quorum of all data centres decides.
    Serial,
    /// A quorum of the local data centre decides, as in Fabric; all nodes must then use the same data centre.
    #[default]
    LocalSerial,
}

/// How to reach the cluster and which levels to use.
#[derive(Clone)]
pub struct CassandraOptions {
    /// `host` or `host:port` of at least one node; the driver discovers the others.
    pub contact_points: Vec<String>,
    /// Suffix of the keyspace names (`[A-Za-z0-9]{1,20}`); empty means no suffix.
    pub cluster_id: String,
    /// The data centre of LOCAL_QUORUM and LOCAL_SERIAL; required if the cluster has several.
    pub local_dc: Option<String>,
    /// The level of compare-and-sets and SERIAL reads.
    pub serial: SerialLevel,
    /// Replicas of each row per data centre, for keyspaces that are created. None: as many as the existing keyspaces have,
    /// else one for one server and three for three or more.
    pub replication_factor: Option<u8>,
    /// User name, if the cluster requires authentication.
    pub username: Option<String>,
    /// Password of `username`.
    pub password: Option<String>,
    /// Time limit of one request. Longer than the server's own 2 s, so that its answer usually arrives.
    pub request_timeout: Duration,
}

impl CassandraOptions {
    /// The defaults: LOCAL_SERIAL, copies by the number of servers, 4 s, no cluster id, no user.
    pub fn at(contact_points: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            contact_points: contact_points.into_iter().map(Into::into).collect(),
            cluster_id: String::new(),
            local_dc: None,
            serial: SerialLevel::default(),
            replication_factor: None,
            username: None,
            password: None,
            request_timeout: Duration::from_secs(4),
        }
    }
}

impl fmt::Debug for CassandraOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraOptions")
            .field("contact_points", &self.contact_points)
            .field("cluster_id", &self.cluster_id)
            .field("local_dc", &self.local_dc)
            .field("serial", &self.serial)
            .field("replication_factor", &self.replication_factor)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_password() {
        let mut options = CassandraOptions::at(["127.0.0.1"]);
        options.password = Some("hunter2".to_owned());
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
