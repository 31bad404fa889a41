//! What an operator wants for one service: the projection of a TrafficPolicy, and which of several counts.
//!
//! A policy is its own cluster's alone: it says how this cluster's clients are served and how its pods are judged. It is
//! a record like any other, so that it has a revision and a tombstone, but no session carries it: every daemon of the
//! cluster derives it from its own source.

use std::sync::Arc;

use crate::name::ClusterId;

/// Clusters one policy may list.
pub const MAX_POLICY_CLUSTERS: usize = 16;
const HOUR_MS: u64 = 3_600_000;

/// How a service's requests are shared among clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Mode {
    /// The own cluster while it can; what it cannot take goes to others by spare capacity and distance.
    LocalFirst = 0,
    /// Clusters in the listed order, each as much as it can take.
    Ordered = 1,
    /// The nearest cluster first, by measured round-trip time.
    Nearest = 2,
    /// All clusters at once, by weight or by capacity.
    Spread = 3,
}

impl Mode {
    /// As a TrafficPolicy spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LocalFirst => "LocalFirst",
            Self::Ordered => "Ordered",
            Self::Nearest => "Nearest",
            Self::Spread => "Spread",
        }
    }
}

/// A cluster that a policy names.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PolicyCluster {
    /// Its id.
    #[prost(string, tag = "1")]
    pub cluster: String,
    /// Its weight, for `Spread` only; 1 when absent, 0 keeps it for when no other can.
    #[prost(uint32, optional, tag = "2")]
    pub weight: Option<u32>,
}

/// Projection of one TrafficPolicy. What is absent is as it is without a policy.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PolicyRecord {
    /// `metadata.creationTimestamp`, seconds since 1970: of two policies for one service the oldest counts.
    #[prost(int64, tag = "1")]
    pub created_unix_s: i64,
    /// How requests are shared.
    #[prost(enumeration = "Mode", tag = "2")]
    pub mode: i32,
    /// The clusters, for `Ordered` and `Spread`; those not listed are used when no listed one can be.
    #[prost(message, repeated, tag = "3")]
    pub clusters: Vec<PolicyCluster>,
    /// φ in percent, 100–1000.
    #[prost(uint32, optional, tag = "4")]
    pub overprovision_percent: Option<u32>,
    /// Below which part of all clusters' capacity there is a panic, in percent, 0–100.
    #[prost(uint32, optional, tag = "5")]
    pub panic_percent: Option<u32>,
    /// The way back from nothing to all after a first failover, in milliseconds.
    #[prost(uint64, optional, tag = "6")]
    pub ramp_ms: Option<u64>,
    /// The longest way back, in milliseconds.
    #[prost(uint64, optional, tag = "7")]
    pub ramp_max_ms: Option<u64>,
    /// How long after the last fall the way back begins, in milliseconds.
    #[prost(uint64, optional, tag = "8")]
    pub hold_ms: Option<u64>,
    /// A whole request until its response head, in milliseconds.
    #[prost(uint64, optional, tag = "9")]
    pub request_ms: Option<u64>,
    /// One attempt until its response head, in milliseconds.
    #[prost(uint64, optional, tag = "10")]
    pub attempt_ms: Option<u64>,
    /// Attempts of a request that may reach a pod, the first included, 1–10.
    #[prost(uint32, optional, tag = "11")]
    pub attempts: Option<u32>,
    /// Replays under way, in percent of the requests under way, 0–100.
    #[prost(uint32, optional, tag = "12")]
    pub budget_percent: Option<u32>,
    /// Failed answers in a row that eject a pod, 1–15.
    #[prost(uint32, optional, tag = "13")]
    pub consecutive_errors: Option<u32>,
    /// The part of the last ten seconds' answers that must be good, in percent, 0–90.
    #[prost(uint32, optional, tag = "14")]
    pub min_success_percent: Option<u32>,
    /// How long a pod is left alone after a first ejection, in milliseconds.
    #[prost(uint64, optional, tag = "15")]
    pub base_ejection_ms: Option<u64>,
    /// The longest ejection, in milliseconds.
    #[prost(uint64, optional, tag = "16")]
    pub max_ejection_ms: Option<u64>,
}

/// A setting that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {found:?}: {expected}")]
pub struct PolicyFault {
    /// The field, as a TrafficPolicy spells its path below `spec`.
    pub field: &'static str,
    /// What stands there, shortened.
    pub found: String,
    /// What should.
    pub expected: &'static str,
}

impl PolicyFault {
    /// The fault of one field.
    #[must_use]
    pub fn new(field: &'static str, found: impl ToString, expected: &'static str) -> Self {
        Self { field, found: found.to_string().chars().take(80).collect(), expected }
    }
}

impl PolicyRecord {
    /// Checks that every setting is in its range and belongs to the mode.
    ///
    /// # Errors
    /// [`PolicyFault`], naming the first field that is wrong.
    pub fn check(&self) -> Result<(), PolicyFault> {
        self.check_clusters()?;
        within("spill.overprovisionPercent", self.overprovision_percent, 100..=1_000, "expected 100 to 1000")?;
        within("spill.panicThresholdPercent", self.panic_percent, 0..=100, "expected 0 to 100")?;
        within("failback.ramp", self.ramp_ms, 1_000..=HOUR_MS, "expected 1s to 1h")?;
        within("failback.rampMax", self.ramp_max_ms, 1_000..=HOUR_MS, "expected 1s to 1h")?;
        within("failback.hold", self.hold_ms, 0..=HOUR_MS, "expected up to 1h")?;
        within("timeouts.request", self.request_ms, 1..=HOUR_MS, "expected 1ms to 1h")?;
        within("timeouts.attempt", self.attempt_ms, 1..=HOUR_MS, "expected 1ms to 1h")?;
        within("retries.attempts", self.attempts, 1..=10, "expected 1 to 10")?;
        within("retries.budgetPercent", self.budget_percent, 0..=100, "expected 0 to 100")?;
        within("outlier.consecutiveErrors", self.consecutive_errors, 1..=15, "expected 1 to 15")?;
        within("outlier.minSuccessPercent", self.min_success_percent, 0..=90, "expected 0 to 90")?;
        within("outlier.baseEjection", self.base_ejection_ms, 100..=HOUR_MS, "expected 100ms to 1h")?;
        within("outlier.maxEjection", self.max_ejection_ms, 100..=HOUR_MS, "expected 100ms to 1h")?;
        ordered("failback.rampMax", self.ramp_ms, self.ramp_max_ms, "expected no less than failback.ramp")?;
        ordered("timeouts.request", self.attempt_ms, self.request_ms, "expected no less than timeouts.attempt")?;
        let (base, max) = (self.base_ejection_ms, self.max_ejection_ms);
        ordered("outlier.maxEjection", base, max, "expected no less than outlier.baseEjection")
    }

    fn check_clusters(&self) -> Result<(), PolicyFault> {
        let fault = |found: &dyn ToString, expected| Err(PolicyFault::new("clusters", found.to_string(), expected));
        let mode = self.mode();
        match mode {
            Mode::Ordered if self.clusters.is_empty() => return fault(&"", "mode Ordered needs the clusters in order"),
            Mode::LocalFirst | Mode::Nearest if !self.clusters.is_empty() => {
                return fault(&self.clusters.len(), "only modes Ordered and Spread list clusters");
            }
            _ => {}
        }
        if self.clusters.len() > MAX_POLICY_CLUSTERS {
            return fault(&self.clusters.len(), "expected 16 at most");
        }
        for (at, named) in self.clusters.iter().enumerate() {
            if ClusterId::parse(&named.cluster).is_err() {
                return fault(&named.cluster, "is no cluster id, which is one DNS label");
            }
            if self.clusters[..at].iter().any(|c| c.cluster == named.cluster) {
                return fault(&named.cluster, "is listed twice");
            }
            match named.weight {
                Some(_) if mode != Mode::Spread => return fault(&named.cluster, "a weight is for mode Spread only"),
                Some(weight) if weight > 1_000 => return fault(&named.cluster, "expected a weight of 0 to 1000"),
                _ => {}
            }
        }
        if !self.clusters.is_empty() && self.clusters.iter().all(|c| c.weight == Some(0)) {
            return fault(&"0", "expected one weight above 0 at least");
        }
        Ok(())
    }
}

fn within<T: PartialOrd + ToString>(
    field: &'static str,
    value: Option<T>,
    range: std::ops::RangeInclusive<T>,
    expected: &'static str,
) -> Result<(), PolicyFault> {
    match value {
        Some(value) if !range.contains(&value) => Err(PolicyFault::new(field, value, expected)),
        _ => Ok(()),
    }
}

/// `less ≤ more` where both are set.
fn ordered(
    field: &'static str,
    less: Option<u64>,
    more: Option<u64>,
    expected: &'static str,
) -> Result<(), PolicyFault> {
    match (less, more) {
        (Some(less), Some(more)) if less > more => Err(PolicyFault::new(field, more, expected)),
        _ => Ok(()),
    }
}

/// The policy in force for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The TrafficPolicy's name, in the service's namespace.
    pub name: Arc<str>,
    /// What it says.
    pub record: PolicyRecord,
}

impl Policy {
    /// Which of several policies for one service counts: the oldest, and of two made in the same second the first by
    /// name.
    #[must_use]
    pub fn in_force<'a>(all: impl Iterator<Item = (&'a str, &'a PolicyRecord)>) -> Option<Self> {
        let (name, record) = all.min_by_key(|(name, record)| (record.created_unix_s, *name))?;
        Some(Self { name: name.into(), record: record.clone() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cluster(name: &str, weight: Option<u32>) -> PolicyCluster {
        PolicyCluster { cluster: name.into(), weight }
    }

    fn of(mode: Mode, clusters: Vec<PolicyCluster>) -> PolicyRecord {
        PolicyRecord { mode: mode.into(), clusters, ..PolicyRecord::default() }
    }

    #[test]
    fn a_policy_that_cannot_be_followed_is_refused_by_field() {
        let empty = PolicyRecord::default();
        let listed = vec![cluster("us-east", None), cluster("us-west", None)];
        for (good, record) in [
            (None, empty.clone()),
            (None, of(Mode::Ordered, listed.clone())),
            (None, of(Mode::Spread, vec![cluster("us-east", Some(3)), cluster("us-west", Some(0))])),
            (Some("clusters"), of(Mode::Ordered, Vec::new())),
            (Some("clusters"), of(Mode::Nearest, listed.clone())),
            (Some("clusters"), of(Mode::Ordered, vec![cluster("a", None), cluster("a", None)])),
            (Some("clusters"), of(Mode::Ordered, vec![cluster("Not A Label", None)])),
            (Some("clusters"), of(Mode::Ordered, vec![cluster("a", Some(2))])),
            (Some("clusters"), of(Mode::Spread, vec![cluster("a", Some(0))])),
            (Some("clusters"), of(Mode::Ordered, (0..17).map(|n| cluster(&format!("c{n}"), None)).collect())),
            (
                Some("spill.overprovisionPercent"),
                PolicyRecord { overprovision_percent: Some(99), ..PolicyRecord::default() },
            ),
            (Some("failback.ramp"), PolicyRecord { ramp_ms: Some(0), ..PolicyRecord::default() }),
            (
                Some("failback.rampMax"),
                PolicyRecord { ramp_ms: Some(60_000), ramp_max_ms: Some(30_000), ..PolicyRecord::default() },
            ),
            (
                Some("timeouts.request"),
                PolicyRecord { request_ms: Some(100), attempt_ms: Some(200), ..PolicyRecord::default() },
            ),
            (Some("retries.attempts"), PolicyRecord { attempts: Some(0), ..PolicyRecord::default() }),
            (
                Some("outlier.consecutiveErrors"),
                PolicyRecord { consecutive_errors: Some(16), ..PolicyRecord::default() },
            ),
            (
                Some("outlier.minSuccessPercent"),
                PolicyRecord { min_success_percent: Some(91), ..PolicyRecord::default() },
            ),
            (
                Some("outlier.maxEjection"),
                PolicyRecord { base_ejection_ms: Some(900), max_ejection_ms: Some(800), ..PolicyRecord::default() },
            ),
        ] {
            assert_eq!(record.check().err().map(|fault| fault.field), good, "{record:?}");
        }
    }

    #[test]
    fn the_oldest_policy_counts_and_then_the_first_by_name() {
        let at = |created_unix_s| PolicyRecord { created_unix_s, ..PolicyRecord::default() };
        let (old, new) = (at(5), at(9));
        let name = |all: &[(&str, &PolicyRecord)]| Policy::in_force(all.iter().copied()).unwrap().name;
        assert_eq!(&*name(&[("a", &new), ("z", &old)]), "z");
        assert_eq!(&*name(&[("z", &old), ("b", &old), ("a", &new)]), "b");
        assert_eq!(Policy::in_force(std::iter::empty()), None);
    }
}
