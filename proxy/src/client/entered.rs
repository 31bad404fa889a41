//! What counts a client's connection, whatever is spoken on it.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use super::crowd::Place;
use crate::metrics::Raised;
use crate::retry::Counted;
use crate::worker::{Opened, Worker};

/// A connection that was let in, counted until dropped: among all of its worker, among its client's, for spreading
/// connections over workers, and in the metrics.
pub(crate) struct Entered {
    _of_all: Counted,
    _of_its_client: Place,
    _opened: Opened,
    _gauge: Raised,
}

impl Entered {
    /// Lets one more connection of that client in; `None` when it has as many as it may.
    pub(super) fn let_in(worker: &Rc<Worker>, client: IpAddr) -> Option<Self> {
        let place = worker.crowd.enter(client, worker.shared.limits.connections_per_client)?;
        Some(Self {
            _of_all: Counted::one(&worker.clients),
            _of_its_client: place,
            _opened: worker.opened(),
            _gauge: worker.metrics.client(),
        })
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}
