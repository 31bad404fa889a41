//! The load reports that go with every answer to another cluster, made at most every 100 ms a service.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use crate::route::{RouteKey, ServiceRoute};

/// How long a report is repeated, in milliseconds: the balancer does not look more often either.
const REPEAT_MS: u64 = 100;
/// Reports kept; more services than this start over.
const MOST: usize = 4_096;

/// One worker's newest reports.
#[derive(Default)]
pub(crate) struct Reports(RefCell<HashMap<RouteKey, (u64, HeaderValue)>>);

impl Reports {
    /// The header's value for that service.
    pub(crate) fn of(&self, route: &Arc<ServiceRoute>, now_ms: u64) -> Option<HeaderValue> {
        let mut reports = self.0.borrow_mut();
        if let Some((at, value)) = reports.get(&route.key)
            && now_ms.saturating_sub(*at) < REPEAT_MS
        {
            return Some(value.clone());
        }
        let value = HeaderValue::try_from(route.load_report().to_string()).ok()?;
        if reports.len() >= MOST {
            reports.clear();
        }
        reports.insert(route.key.clone(), (now_ms, value.clone()));
        Some(value)
    }
}
