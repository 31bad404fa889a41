//! A service's policy as the data plane follows it: what its TrafficPolicy says, and the daemon's own settings for what
//! it leaves open.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use strait_catalog::{ClusterId, Mode, PolicyRecord};

use crate::balance::{Ranking, Settings};
use crate::config::Timeouts;
use crate::health::{self, ClusterNumber};
use crate::retry::Allowance;

/// What is in force for one service. By default nothing is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePolicy {
    /// The TrafficPolicy's name; `None` without one.
    name: Option<Arc<str>>,
    record: PolicyRecord,
}

/// The same, for status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyStatus {
    /// How requests are shared: `LocalFirst`, `Ordered`, `Nearest` or `Spread`.
    pub mode: &'static str,
    /// The TrafficPolicy's name; `None` without one.
    pub name: Option<Arc<str>>,
    /// The clusters it lists, in order.
    pub clusters: Vec<String>,
}

impl ServicePolicy {
    /// What the catalog holds for a service.
    #[must_use]
    pub fn of(policy: Option<&strait_catalog::Policy>) -> Self {
        policy.map_or_else(Self::default, |p| Self { name: Some(p.name.clone()), record: p.record.clone() })
    }

    /// What the balancer goes by.
    #[must_use]
    pub fn settings(&self, own: Settings) -> Settings {
        let record = &self.record;
        let part = |percent: u32| f64::from(percent) / 100.0;
        let ramp_ms = record.ramp_ms.unwrap_or(own.ramp_ms);
        // Flapping makes the way back ten times as long at most, whatever its length is.
        let longest = record.ramp_ms.map_or(own.ramp_max_ms, |ms| ms.saturating_mul(10));
        Settings {
            overprovision: record.overprovision_percent.map_or(own.overprovision, part),
            panic_below: record.panic_percent.map_or(own.panic_below, part),
            ramp_ms,
            ramp_max_ms: record.ramp_max_ms.unwrap_or(longest).max(ramp_ms),
            hold_ms: record.hold_ms.unwrap_or(own.hold_ms),
            ..own
        }
    }

    /// Which clusters come before which. A listed cluster that nobody knows takes no place.
    #[must_use]
    pub fn ranking(&self, number: impl Fn(&ClusterId) -> ClusterNumber) -> Ranking {
        let listed = self.record.clusters.iter().filter_map(|c| {
            let id = ClusterId::parse(&c.cluster).ok()?;
            Some((number(&id), f64::from(c.weight.unwrap_or(1))))
        });
        match self.record.mode() {
            Mode::LocalFirst => Ranking::LocalFirst,
            Mode::Ordered => Ranking::Ordered(listed.map(|(number, _)| number).collect()),
            Mode::Nearest => Ranking::Nearest,
            Mode::Spread => Ranking::Spread(listed.collect()),
        }
    }

    /// A whole request until its response head.
    #[must_use]
    pub fn request(&self, own: &Timeouts) -> Duration {
        self.record.request_ms.map_or(own.request, Duration::from_millis)
    }

    /// One attempt until its response head, if that is limited.
    #[must_use]
    pub fn attempt(&self, own: &Timeouts) -> Option<Duration> {
        self.record.attempt_ms.map(Duration::from_millis).or(own.attempt)
    }

    /// How often a request may be sent again.
    #[must_use]
    pub(crate) fn allowance(&self) -> Allowance {
        let own = Allowance::default();
        Allowance {
            sent: self.record.attempts.unwrap_or(own.sent),
            budget_percent: self.record.budget_percent.unwrap_or(own.budget_percent),
        }
    }

    /// When one of the own cluster's pods is left alone, and for how long.
    #[must_use]
    pub fn pods(&self) -> health::Policy {
        let own = health::Policy::POD;
        let small = |value: Option<u32>, own: u8| value.map_or(own, |v| u8::try_from(v).unwrap_or(own));
        let base_ms = self.record.base_ejection_ms.unwrap_or(own.base_ms);
        health::Policy {
            base_ms,
            max_ms: self.record.max_ejection_ms.unwrap_or(own.max_ms).max(base_ms),
            run: small(self.record.consecutive_errors, own.run),
            min_percent: small(self.record.min_success_percent, own.min_percent),
        }
    }

    /// For status.
    #[must_use]
    pub fn status(&self) -> PolicyStatus {
        PolicyStatus {
            mode: self.record.mode().as_str(),
            name: self.name.clone(),
            clusters: self.record.clusters.iter().map(|c| c.cluster.clone()).collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use strait_catalog::PolicyCluster;

    use super::*;

    fn following(record: PolicyRecord) -> ServicePolicy {
        ServicePolicy { name: Some("p".into()), record }
    }

    #[test]
    fn what_a_policy_leaves_open_is_the_daemons_own() {
        let (none, own) = (ServicePolicy::default(), Timeouts::default());
        assert_eq!(none.settings(Settings::default()), Settings::default());
        assert_eq!((none.request(&own), none.attempt(&own)), (own.request, own.attempt));
        assert_eq!(none.allowance(), Allowance::default());
        assert_eq!(none.pods(), health::Policy::POD);
        assert_eq!(none.ranking(|_| ClusterNumber(0)), Ranking::LocalFirst);
    }

    #[test]
    fn every_setting_of_a_policy_is_followed() {
        let policy = following(PolicyRecord {
            overprovision_percent: Some(200),
            panic_percent: Some(30),
            ramp_ms: Some(5_000),
            hold_ms: Some(7_000),
            request_ms: Some(4_000),
            attempt_ms: Some(900),
            attempts: Some(2),
            budget_percent: Some(50),
            consecutive_errors: Some(3),
            min_success_percent: Some(80),
            base_ejection_ms: Some(400),
            max_ejection_ms: Some(8_000),
            ..PolicyRecord::default()
        });
        let settings = policy.settings(Settings::default());
        let want = Settings {
            overprovision: 2.0,
            panic_below: 0.3,
            ramp_ms: 5_000,
            ramp_max_ms: 50_000,
            hold_ms: 7_000,
            ..Settings::default()
        };
        assert_eq!(settings, want);
        let own = Timeouts::default();
        assert_eq!(policy.request(&own), Duration::from_secs(4));
        assert_eq!(policy.attempt(&own), Some(Duration::from_millis(900)));
        assert_eq!(policy.allowance(), Allowance { sent: 2, budget_percent: 50 });
        assert_eq!(policy.pods(), health::Policy { base_ms: 400, max_ms: 8_000, run: 3, min_percent: 80 });
        let capped = following(PolicyRecord { ramp_max_ms: Some(60_000), ..policy.record });
        assert_eq!(capped.settings(Settings::default()).ramp_max_ms, 60_000);
    }

    #[test]
    fn modes_name_their_clusters_by_number() {
        let cluster = |name: &str, weight| PolicyCluster { cluster: name.into(), weight };
        let number = |id: &ClusterId| ClusterNumber(if id.as_str() == "us-east" { 7 } else { 3 });
        let of = |mode: Mode, clusters| {
            following(PolicyRecord { mode: mode.into(), clusters, ..PolicyRecord::default() }).ranking(number)
        };
        let listed = vec![cluster("us-east", None), cluster("eu-west", None)];
        assert_eq!(of(Mode::Ordered, listed), Ranking::Ordered(vec![ClusterNumber(7), ClusterNumber(3)]));
        let weighed = vec![cluster("us-east", Some(3)), cluster("eu-west", None)];
        assert_eq!(of(Mode::Spread, weighed), Ranking::Spread(vec![(ClusterNumber(7), 3.0), (ClusterNumber(3), 1.0)]));
        assert_eq!(of(Mode::Nearest, Vec::new()), Ranking::Nearest);
    }
}
