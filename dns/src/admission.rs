//! How many TCP connections may be open, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::Gauge;

/// Counts open connections.
pub(crate) struct Admission {
    limit: usize,
    limit_per_source: usize,
    open: Mutex<Open>,
    gauge: Gauge,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

impl Admission {
    pub(crate) fn new(limit: usize, limit_per_source: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { limit, limit_per_source, open: Mutex::default(), gauge })
    }

    /// A permit that counts as one connection until it is dropped; `None` when a limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Option<Permit> {
        let source = source.to_canonical();
        let mut open = self.lock();
        let from_source = open.by_source.get(&source).copied().unwrap_or(0);
        if open.total >= self.limit || from_source >= self.limit_per_source {
            return None;
        }
        open.total += 1;
        open.by_source.insert(source, from_source + 1);
        drop(open);
        self.gauge.increment(1.0);
        Some(Permit { admission: self.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    source: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.lock();
        open.total = open.total.saturating_sub(1);
        let left = open.by_source.get(&self.source).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            open.by_source.remove(&self.source);
        } else {
            open.by_source.insert(self.source, left);
        }
        drop(open);
        self.admission.gauge.decrement(1.0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn source(last: u8) -> IpAddr {
        Ipv4Addr::new(127, 0, 0, last).into()
    }

    #[test]
    fn both_limits_hold_and_permits_come_back() {
        let admission = Admission::new(3, 2, Gauge::noop());
        let first = admission.admit(source(1)).unwrap();
        let _second = admission.admit(source(1)).unwrap();
        assert!(admission.admit(source(1)).is_none(), "per source");
        assert!(admission.admit("::ffff:127.0.0.1".parse().unwrap()).is_none(), "a mapped address is the same source");
        let _third = admission.admit(source(2)).unwrap();
        assert!(admission.admit(source(3)).is_none(), "in all");
        drop(first);
        assert!(admission.admit(source(3)).is_some());
    }

    #[test]
    fn nothing_is_remembered_of_closed_connections() {
        let admission = Admission::new(10, 10, Gauge::noop());
        drop((admission.admit(source(1)), admission.admit(source(1)), admission.admit(source(2))));
        assert!(admission.lock().by_source.is_empty());
        assert_eq!(admission.lock().total, 0);
    }
}
