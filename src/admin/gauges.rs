//! Gauges that are read from the state when somebody asks.
#![allow(clippy::disallowed_macros)]

use std::time::SystemTime;

use super::AdminState;
use crate::readiness;

/// Brings them up to date.
pub fn refresh(state: &AdminState) {
    metrics::describe_gauge!("strait_ready", "1 when this daemon wants traffic");
    metrics::describe_gauge!(
        "strait_certificate_expiry_timestamp_seconds",
        "When the certificate in use ends, seconds since 1970; 0 without one"
    );
    metrics::describe_gauge!("strait_snapshot_number", "The number of the newest snapshot of this process");
    let ready = state.readiness.state() == readiness::State::Ready;
    metrics::gauge!("strait_ready").set(f64::from(u8::from(ready)));
    let not_after = state.identity.borrow().not_after();
    let expiry = not_after.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok());
    metrics::gauge!("strait_certificate_expiry_timestamp_seconds").set(expiry.map_or(0.0, |d| d.as_secs_f64()));
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!("strait_snapshot_number").set(state.published.load().number as f64);
}
