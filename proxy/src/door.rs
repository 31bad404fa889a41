//! What all connections of one listener share: the service it stands for, its route, its counters.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use crate::client::{Detour, HintSampling};
use crate::metrics::ServiceMetrics;
use crate::plan::{PodSpeech, Purpose, Speech};
use crate::route::{RouteKey, RouteTable, ServiceRoute};
use crate::worker::Worker;

/// A listener's service as its requests see it.
pub(crate) struct Door {
    pub(crate) key: RouteKey,
    pub(crate) speech: Speech,
    pub(crate) metrics: ServiceMetrics,
    /// For HTTP/1.0 requests that name no host.
    pub(crate) host: HeaderValue,
    /// Whether pods have early hints.
    pub(crate) hints: HintSampling,
    /// Pods have answered in HTTP.
    pub(crate) speaks_http: Cell<bool>,
    /// Of all clients off the fast path.
    pub(crate) detour: Detour,
    known: RefCell<Option<Known>>,
}

/// A table and what it says of the service.
type Known = (Arc<RouteTable>, Option<Arc<ServiceRoute>>);

/// Whether a listener's service is there to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    Open,
    /// Its last export was taken back. Requests are served while caches remember its name; HTTP connections are asked to
    /// end, so that clients ask for the name again.
    Lingering,
    /// It is no more.
    Gone,
}

impl Door {
    pub(crate) fn new(purpose: &Purpose, worker: &Worker) -> Self {
        let key = purpose.key();
        let metrics = ServiceMetrics::new(&purpose.service, &worker.shared.local);
        let host = format!("{}.{}", key.service.name(), key.service.namespace());
        let host = HeaderValue::try_from(host).expect("two DNS labels and a dot");
        Self {
            key,
            speech: purpose.speech,
            metrics,
            host,
            hints: HintSampling::default(),
            speaks_http: Cell::new(false),
            detour: Detour::default(),
            known: RefCell::default(),
        }
    }

    /// True when its requests may take the fast path: pods are spoken to in HTTP/1.1 for a client that speaks it.
    pub(crate) fn is_fast(&self) -> bool {
        self.speech.to_pods(false, false) == PodSpeech::Http1
    }

    /// By the newest route.
    pub(crate) fn standing(&self, worker: &Rc<Worker>) -> Standing {
        match self.route(worker) {
            Some(route) if route.lingering => Standing::Lingering,
            Some(_) => Standing::Open,
            None => Standing::Gone,
        }
    }

    /// The newest route; looked up once a table, not once a request.
    pub(crate) fn route(&self, worker: &Rc<Worker>) -> Option<Arc<ServiceRoute>> {
        worker.with_routes(|table| {
            let mut known = self.known.borrow_mut();
            match &*known {
                Some((of, route)) if Arc::ptr_eq(of, table) => route.clone(),
                _ => {
                    let route = table.get(&self.key).cloned();
                    *known = Some((table.clone(), route.clone()));
                    route
                }
            }
        })
    }
}
