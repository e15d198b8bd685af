//! CLUSTERSTATUS and CLUSTERID.

pub(crate) mod id;
pub(crate) mod status;
