//! A route out of nothing, for benches of the pick.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use strait_catalog::{ClusterId, NameError, ServiceKey};

use crate::health::{Registry, Target};
use crate::route::{Address, Candidate, Class, ClusterRoute, RouteKey, ServiceRoute, Targets};

/// A route of `pods` local pods, of which everything is asked, and two other clusters of two gateways.
///
/// # Errors
/// Never: the names in it are good ones.
#[doc(hidden)]
pub fn sample_route(pods: u32) -> Result<Arc<ServiceRoute>, NameError> {
    let registry = Registry::new();
    let key = RouteKey { service: ServiceKey::new("bench", "model-server")?, port: 80 };
    let mut clusters = Vec::new();
    for (name, local) in [("us-west", true), ("us-east", false), ("eu-west", false)] {
        let id = ClusterId::parse(name)?;
        let number = registry.number(&id);
        let candidate = |at: u32| {
            let (target, address) = if local {
                let address = SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0001 + at), 8080));
                (Target::Pod { service: key.service.clone(), address }, Address::Pod(address))
            } else {
                let address: Arc<str> = format!("{name}-{at}:31443").into();
                (Target::Gateway { cluster: id.clone(), address: address.clone() }, Address::Gateway(address))
            };
            Candidate::new(registry.slot(&target, number, 0), address, Class::Ready)
        };
        let count = if local { pods } else { 2 };
        clusters.push(ClusterRoute {
            targets: Arc::new(Targets::new((0..count).map(candidate).collect())),
            number,
            local,
            class: Class::Ready,
            ready: count,
            place: Arc::default(),
            freshness: Arc::default(),
            link: registry.link(&id),
            due: 0.into(),
            id,
        });
    }
    let route = ServiceRoute::new(key, clusters, Arc::default(), false);
    route.shares.publish(&[0.7, 0.2, 0.1], &[0, 1, 2]);
    Ok(Arc::new(route))
}
