//! How many connections one client has, so that none takes all that there may be.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

type Counts = Rc<RefCell<HashMap<IpAddr, u32>>>;

/// One worker's open connections by client address.
#[derive(Debug, Default)]
pub(crate) struct Crowd(Counts);

impl Crowd {
    /// A place for one more connection of that client, until dropped; `None` when it has `most` already.
    pub(crate) fn enter(&self, client: IpAddr, most: usize) -> Option<Place> {
        let client = client.to_canonical();
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(client).or_default();
        if *count as usize >= most {
            return None;
        }
        *count += 1;
        Some(Place { counts: self.0.clone(), client })
    }
}

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct Place {
    counts: Counts,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.borrow_mut();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_number_and_leaves_nothing_behind() {
        let crowd = Crowd::default();
        let [a, mapped, b] = ["10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        let first = crowd.enter(a, 2).unwrap();
        let second = crowd.enter(mapped, 2).unwrap();
        assert!(crowd.enter(a, 2).is_none(), "the same client, however its address is written");
        assert!(crowd.enter(b, 2).is_some());
        drop(first);
        assert!(crowd.enter(a, 2).is_some());
        drop(second);
        assert!(crowd.0.borrow().is_empty());
    }
}
