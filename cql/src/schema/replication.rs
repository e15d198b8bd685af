//! How many copies of each row the keyspaces get that are created.

use std::collections::BTreeMap;

use weft_store::{StoreError, StoreResult};

use crate::connection::Connection;
use crate::inspect::read_keyspaces;
use crate::options::CassandraOptions;

/// The copies per data centre: those that the options name, else those that the keyspaces of this cluster have, else by the
/// number of servers.
///
/// # Errors
/// [`StoreError::Refused`] if the options must name them.
pub(crate) async fn copies(connection: &Connection, options: &CassandraOptions) -> StoreResult<u8> {
    if let Some(copies) = options.replication_factor {
        return Ok(copies);
    }
    let keyspaces = read_keyspaces(connection).await?;
    let existing = keyspaces.iter().flat_map(|keyspace| &keyspace.copies);
    if let Some(copies) = existing.map(|(_, copies)| *copies).min() {
        return Ok(u8::try_from(copies.max(1)).unwrap_or(u8::MAX));
    }
    let mut servers: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for node in connection.session.get_cluster_state().get_nodes_info() {
        *servers.entry(node.datacenter.clone()).or_default() += 1;
    }
    for_servers(servers.into_values().min().unwrap_or(1))
}

/// The copies where the smallest data centre has so many servers.
fn for_servers(servers: usize) -> StoreResult<u8> {
    match servers {
        0..=1 => Ok(1),
        // Neither answer is good: a quorum of two copies needs both servers, and one copy needs its own server.
        2 => Err(StoreError::Refused(
            "there are two servers in a data centre: add `replication=1` or `replication=2` to the address of the store, \
             or a third server. With either number, work stops when a server is lost"
                .to_owned(),
        )),
        3.. => Ok(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_servers_get_three_copies_and_two_need_an_answer() {
        assert_eq!(for_servers(1).ok(), Some(1));
        assert!(for_servers(2).is_err());
        assert_eq!(for_servers(3).ok(), Some(3));
        assert_eq!(for_servers(9).ok(), Some(3));
    }
}
