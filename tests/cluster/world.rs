//! What the steps share.

use crate::clients::Client;
use crate::rig::Rig;
use crate::table::Table;

/// The clusters in the order of their distance from the clients, which are in the first.
pub const CLUSTERS: [&str; 3] = ["us-west", "us-east", "eu-west"];
pub const HOME: &str = "us-west";
pub const NEAR: &str = "us-east";
pub const FAR: &str = "eu-west";

/// The service every fault is about: in every cluster.
pub const NAMESPACE: &str = "ml-production";
pub const SERVICE: &str = "model-server";

pub struct World {
    pub rig: Rig,
    pub full: bool,
    pub clients: Vec<Client>,
    pub table: Table,
}

impl World {
    pub fn new(rig: Rig, full: bool) -> Self {
        Self { rig, full, clients: Vec::new(), table: Table::default() }
    }

    /// Replicas of the model server.
    pub fn replicas(&self, cluster: &str) -> usize {
        let [short, full] = match cluster {
            HOME => [6, 20],
            NEAR => [4, 15],
            _ => [3, 10],
        };
        if self.full { full } else { short }
    }
}
