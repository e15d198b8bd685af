//! The driver's session and the settings that every statement is sent with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::timestamp_generator::TimestampGenerator;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency, Statement};
use weft_store::{StoreError, StoreResult};

use crate::driver_error;
use crate::keyspaces::Keyspaces;
use crate::options::{CassandraOptions, SerialLevel};
use crate::row::StoredRow;
use crate::write_timestamp::WriteTimestamps;

/// Interval and timeout of probes on idle connections. With the driver's 30 s for each, a node would keep a
/// connection that no longer answers for a minute.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// How statements are sent.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    /// LOCAL_QUORUM; the driver may retry.
    pub(crate) plain: ExecutionProfileHandle,
    /// LOCAL_QUORUM with the serial level of the cluster; sent exactly once.
    pub(crate) compare_and_set: ExecutionProfileHandle,
    /// The serial level as a read level.
    pub(crate) serial: Consistency,
}

impl Profiles {
    fn new(options: &CassandraOptions) -> Self {
        let (serial, serial_read) = match options.serial {
            SerialLevel::Serial => (SerialConsistency::Serial, Consistency::Serial),
            SerialLevel::LocalSerial => (SerialConsistency::LocalSerial, Consistency::LocalSerial),
        };
        let mut balancing = DefaultPolicy::builder().token_aware(true);
        if let Some(dc) = &options.local_dc {
            balancing = balancing
                .prefer_datacenter(dc.clone())
                .permit_dc_failover(false);
        }
        let base = ExecutionProfile::builder()
            .consistency(Consistency::LocalQuorum)
            .serial_consistency(Some(serial))
            .request_timeout(Some(options.request_timeout))
            .speculative_execution_policy(None)
            .load_balancing_policy(balancing.build());
        let plain = base
            .clone()
            .retry_policy(Arc::new(DefaultRetryPolicy::new()));
        let compare_and_set = base.retry_policy(Arc::new(FallthroughRetryPolicy::new()));
        Self {
            plain: plain.build().into_handle(),
            compare_and_set: compare_and_set.build().into_handle(),
            serial: serial_read,
        }
    }
}

/// A session without prepared statements. It works before the schema exists.
pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) profiles: Profiles,
    pub(crate) keyspaces: Keyspaces,
    pub(crate) timestamps: Arc<WriteTimestamps>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if no node answers, [`StoreError::Refused`] if an option is not valid.
    pub(crate) async fn open(options: &CassandraOptions) -> StoreResult<Self> {
        let keyspaces = Keyspaces::new(&options.cluster_id)?;
        if options.contact_points.is_empty() {
            return Err(StoreError::Refused("no contact point is given".to_owned()));
        }
        let profiles = Profiles::new(options);
        let timestamps = Arc::new(WriteTimestamps::default());
        let mut builder = SessionBuilder::new()
            .known_nodes(&options.contact_points)
            .connection_timeout(options.request_timeout)
            .keepalive_interval(KEEPALIVE)
            .keepalive_timeout(KEEPALIVE)
            .default_execution_profile_handle(profiles.plain.clone())
            .timestamp_generator(Arc::clone(&timestamps) as Arc<dyn TimestampGenerator>);
        if let (Some(user), Some(password)) = (&options.username, &options.password) {
            builder = builder.user(user, password);
        }
        let session = builder
            .build()
            .await
            .map_err(driver_error::from_new_session)?;
        let state = session.get_cluster_state();
        let datacentres = state
            .get_nodes_info()
            .iter()
            .filter_map(|node| node.datacenter.clone());
        check_datacentre(&datacentres.collect(), options.local_dc.as_deref())?;
        Ok(Self {
            session,
            profiles,
            keyspaces,
            timestamps,
        })
    }

    /// Sends a statement that is not prepared, and reads the rows of its answer.
    pub(crate) async fn query(
        &self,
        table: &'static str,
        statement: impl Into<Statement>,
        values: impl SerializeRow,
    ) -> StoreResult<Vec<StoredRow>> {
        let answer = self.session.query_unpaged(statement, values).await;
        StoredRow::all(table, answer.map_err(driver_error::from_execution)?)
    }

    /// Sends a prepared statement, and reads the rows of its answer.
    pub(crate) async fn execute(
        &self,
        table: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> StoreResult<Vec<StoredRow>> {
        let answer = self.session.execute_unpaged(statement, values).await;
        StoredRow::all(table, answer.map_err(driver_error::from_execution)?)
    }

    /// Waits until all nodes have the same schema.
    pub(crate) async fn await_schema_agreement(&self) -> StoreResult<()> {
        self.session
            .await_schema_agreement()
            .await
            .map(|_| ())
            .map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

/// LOCAL levels refer to the data centre of the coordinator. In a cluster of several data centres, nodes without a
/// chosen one would decide the compare-and-sets of one partition in different places.
fn check_datacentre(found: &BTreeSet<String>, chosen: Option<&str>) -> StoreResult<()> {
    let names = || found.iter().cloned().collect::<Vec<_>>().join(", ");
    match chosen {
        Some(dc) if !found.is_empty() && !found.contains(dc) => Err(StoreError::Refused(format!(
            "the cluster has no data centre {dc}, it has {}",
            names()
        ))),
        None if found.len() > 1 => Err(StoreError::Refused(format!(
            "the cluster has several data centres ({}), choose the local one",
            names()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_data_centres_need_a_choice() {
        let one = BTreeSet::from(["dc1".to_owned()]);
        let two = BTreeSet::from(["dc1".to_owned(), "dc2".to_owned()]);
        assert!(check_datacentre(&one, None).is_ok());
        assert!(check_datacentre(&two, None).is_err());
        assert!(check_datacentre(&two, Some("dc2")).is_ok());
        assert!(check_datacentre(&one, Some("dc2")).is_err());
    }
}
