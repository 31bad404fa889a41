//! Who leads: one Lease, taken and kept by compare-and-swap.
//!
//! Time is never compared between machines: a lease counts as abandoned when *this* process has seen it unchanged
//! for as long as the lease says. The holder counts from the moment it *sent* its last successful renewal and stops
//! a second early, so two never lead at once as long as their clocks run at about the same speed.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a lease lasts without renewal.
const DURATION: Duration = Duration::from_secs(6);
/// How often it is renewed, and how often others look.
const RENEW: Duration = Duration::from_secs(2);
/// How much earlier than its end the holder stops.
const MARGIN: Duration = Duration::from_secs(1);
/// How long one request may take: a renewal that hangs must not outlive the lease.
const REQUEST: Duration = Duration::from_millis(1500);

/// Whether this process leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// How much longer this process leads, unless it renews; `None` when it does not.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let until = (*self.until.borrow())?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// True while this process leads.
    #[must_use]
    pub fn held(&self) -> bool {
        self.left().is_some()
    }

    /// Waits for news, which may be a mere renewal.
    pub async fn changed(&mut self) {
        if self.until.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One candidate for a lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    holder: String,
    until: watch::Sender<Option<Instant>>,
    seen: Seen,
}

/// The lease as last seen, and since when it has looked like that.
#[derive(Clone, Debug, Default)]
struct Seen {
    holder: String,
    renewed: Option<MicroTime>,
    since: Option<Instant>,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is ours: renew it.
    Renew,
    /// Nobody holds it, or its holder fell silent: take it.
    Take,
    /// Another holds it.
    Wait,
}

impl Seen {
    /// Notes what the lease looks like now and says what to do. `before` is when it was asked for.
    fn step(&mut self, spec: &LeaseSpec, me: &str, now: Instant) -> Step {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if self.since.is_none() || self.holder != holder || self.renewed != spec.renew_time {
            *self = Self { holder: holder.into(), renewed: spec.renew_time.clone(), since: Some(now) };
        }
        let lasts =
            spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).map_or(DURATION, Duration::from_secs);
        let silent = self.since.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        match holder {
            "" => Step::Take,
            _ if holder == me => Step::Renew,
            _ if silent >= lasts => Step::Take,
            _ => Step::Wait,
        }
    }
}

impl Candidate {
    /// A candidate of that name (unique, such as the pod's) for a lease.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, holder: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.into(),
            holder: holder.into(),
            until: watch::Sender::new(None),
            seen: Seen::default(),
        }
    }

    /// Tells whether this process leads.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        Leadership { until: self.until.subscribe() }
    }

    /// Takes part until stopped, then gives the lease back, so that the next one need not wait.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut troubled = false;
        loop {
            match timeout(REQUEST, self.attempt()).await.unwrap_or(Err(None)) {
                Ok(()) => troubled = false,
                Err(error) if !troubled => {
                    troubled = true;
                    let error = error.map_or_else(|| "no answer in time".to_owned(), |e| e.to_string());
                    tracing::warn!(lease = self.name, error, "cannot renew or read the lease");
                }
                Err(_) => {}
            }
            self.step_down_when_over();
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(RENEW) => {}
                () = self.end() => self.step_down_when_over(),
            }
        }
        self.release().await;
    }

    /// Waits until the held lease is over; for ever when none is held.
    async fn end(&self) {
        let until = *self.until.borrow();
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    fn step_down_when_over(&self) {
        let over = self.until.borrow().is_some_and(|until| until <= Instant::now());
        if over {
            self.until.send_replace(None);
            tracing::warn!(
                lease = self.name,
                holder = self.holder,
                "no longer leading: the lease was not renewed in time"
            );
        }
    }

    async fn attempt(&mut self) -> Result<(), Option<kube::Error>> {
        let sent = Instant::now();
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let fresh = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(&LeaseSpec::default())),
            };
            self.api.create(&PostParams::default(), &fresh).await?;
            self.lead_from(sent);
            return Ok(());
        };
        let spec = lease.spec.clone().unwrap_or_default();
        match self.seen.step(&spec, &self.holder, sent) {
            Step::Wait => {
                self.until.send_if_modified(|until| until.take().is_some());
                Ok(())
            }
            Step::Renew | Step::Take => {
                // The resourceVersion that came along makes this a compare-and-swap.
                lease.spec = Some(self.spec(&spec));
                lease.metadata.managed_fields = None;
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
                self.lead_from(sent);
                Ok(())
            }
        }
    }

    fn spec(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mine = before.holder_identity.as_deref() == Some(&self.holder);
        LeaseSpec {
            holder_identity: Some(self.holder.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if mine { before.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!mine)),
            ..LeaseSpec::default()
        }
    }

    fn lead_from(&self, sent: Instant) {
        let before = self.until.send_replace(Some(sent + DURATION - MARGIN));
        if before.is_none() {
            tracing::info!(lease = self.name, holder = self.holder, "leading");
        }
    }

    async fn release(&self) {
        if self.until.send_replace(None).is_none() {
            return;
        }
        let given_back = async {
            let mut lease = self.api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.holder) {
                spec.holder_identity = Some(String::new());
                lease.metadata.managed_fields = None;
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(REQUEST, given_back).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "lease given back"),
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, %error, "cannot give the lease back; it runs out by itself")
            }
            Err(_) => tracing::warn!(lease = self.name, "cannot give the lease back in time; it runs out by itself"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
