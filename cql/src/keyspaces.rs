//! The names of keyspaces, checked before they are put into CQL.

use uuid::Uuid;
use weft_store::{StoreError, StoreResult};

/// The longest keyspace name that Cassandra accepts.
const LONGEST: usize = 48;

/// The longest cluster id. It leaves room for the names of logical units.
const LONGEST_CLUSTER_ID: usize = 20;

/// The UUID namespace of table ids.
const TABLE_IDS: Uuid = Uuid::from_u128(0x6f1d_9a52_1c1e_4c57_9d0e_0a9a_5e0b_77e1);

/// The keyspaces of one cluster id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyspaces {
    /// `k2viewsystem`.
    pub(crate) system: String,
    /// `k2batchprocess`.
    pub(crate) batch: String,
    cluster_id: String,
}

impl Keyspaces {
    /// The keyspaces of a cluster id, which may be empty.
    ///
    /// # Errors
    /// [`StoreError::Refused`] unless it is `[A-Za-z0-9]{0,20}`.
    pub(crate) fn new(cluster_id: &str) -> StoreResult<Self> {
        if cluster_id.len() > LONGEST_CLUSTER_ID
            || !cluster_id.chars().all(|c| c.is_ascii_alphanumeric())
        {
            return Err(StoreError::Refused(format!(
                "cluster_id {cluster_id:?} must be 1 to {LONGEST_CLUSTER_ID} letters and digits"
            )));
        }
        let cluster_id = cluster_id.to_ascii_lowercase();
        Ok(Self {
            system: suffixed("k2viewsystem", &cluster_id),
            batch: suffixed("k2batchprocess", &cluster_id),
            cluster_id,
        })
    }

    /// The keyspace of a logical unit: `k2view_<lu>` in lower case.
    ///
    /// # Errors
    /// [`StoreError::Refused`] unless the name consists of letters, digits and `_` and is short enough.
    pub(crate) fn unit(&self, logical_unit: &str) -> StoreResult<String> {
        let fits = !logical_unit.is_empty()
            && logical_unit
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
        let lower = logical_unit.to_ascii_lowercase();
        let keyspace = suffixed(&["k2view_", &lower].concat(), &self.cluster_id);
        if !fits || keyspace.len() > LONGEST {
            return Err(StoreError::Refused(format!(
                "logical unit {logical_unit:?} must be letters, digits and _, and fit into a keyspace name of \
                 {LONGEST} characters"
            )));
        }
        Ok(keyspace)
    }

    /// The id that a table is created with. It depends only on cluster id and name, so that concurrent creations make
    /// one table.
    pub(crate) fn table_id(&self, keyspace: &str, table: &str) -> Uuid {
        let name = [&self.cluster_id, "/", keyspace, ".", table].concat();
        Uuid::new_v5(&TABLE_IDS, name.as_bytes())
    }
}

fn suffixed(name: &str, cluster_id: &str) -> String {
    if cluster_id.is_empty() {
        name.to_owned()
    } else {
        [name, "_", cluster_id].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyspaces_end_with_the_cluster_id() {
        let keyspaces = Keyspaces::new("Dev1").expect("a good cluster id");
        assert_eq!(keyspaces.system, "k2viewsystem_dev1");
        assert_eq!(keyspaces.batch, "k2batchprocess_dev1");
        assert_eq!(
            keyspaces.unit("Customer").expect("a good name"),
            "k2view_customer_dev1"
        );
        let keyspaces = Keyspaces::new("").expect("none is fine");
        assert_eq!(
            keyspaces.unit("AUTODATA_DELTA").expect("a good name"),
            "k2view_autodata_delta"
        );
    }

    #[test]
    fn a_name_that_is_not_alphanumeric_is_refused() {
        assert!(Keyspaces::new("a b").is_err());
        assert!(Keyspaces::new("a;drop").is_err());
        assert!(Keyspaces::new(&"a".repeat(21)).is_err());
        let keyspaces = Keyspaces::new("").expect("none is fine");
        for name in ["", "a-b", "a.b", "a\"b", "ä", &"x".repeat(60)] {
            assert!(keyspaces.unit(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_table_has_one_id_per_cluster() {
        let one = Keyspaces::new("one").expect("good");
        let two = Keyspaces::new("two").expect("good");
        assert_eq!(one.table_id("k", "t"), one.table_id("k", "t"));
        assert_ne!(one.table_id("k", "t"), one.table_id("k", "u"));
        assert_ne!(one.table_id("k", "t"), two.table_id("k", "t"));
    }
}
