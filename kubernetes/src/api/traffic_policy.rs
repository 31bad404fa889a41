//! `TrafficPolicy`: how one service's requests are shared, limited and repeated, for this cluster's clients.

#![allow(unreachable_pub, reason = "KubeSchema repeats the types inside a function")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use strait_catalog::{Mode, PolicyCluster, PolicyFault, PolicyRecord, ServiceKey};

use super::duration;

/// Condition: the policy can be followed and is the one that counts for its Service.
pub const POLICY_ACCEPTED: &str = "Accepted";
/// Condition: agents of this cluster go by it.
pub const POLICY_IN_FORCE: &str = "InForce";

/// Reasons of a TrafficPolicy's conditions.
pub mod policy_reason {
    /// It counts.
    pub const ACCEPTED: &str = "Accepted";
    /// Its Service does not exist.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// An older policy has the same Service.
    pub const CONFLICTED: &str = "Conflicted";
    /// A setting cannot be followed.
    pub const INVALID: &str = "Invalid";
    /// It is followed.
    pub const IN_FORCE: &str = "InForce";
    /// It is not accepted.
    pub const NOT_ACCEPTED: &str = "NotAccepted";
    /// It was not seen by the own source yet, or its Service is neither exported nor imported.
    pub const PENDING: &str = "Pending";
}

/// How one service's requests are shared among clusters, limited and repeated, for the clients of the cluster in which
/// the object stands. What is not set is as it is without a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "strait.dev",
    version = "v1alpha1",
    kind = "TrafficPolicy",
    plural = "trafficpolicies",
    shortname = "tp",
    category = "strait",
    namespaced,
    status = "TrafficPolicyStatus",
    derive = "PartialEq",
    doc = "How one service's requests are shared among clusters, limited and repeated, for this cluster's clients.",
    validation = Rule::new("self.spec.mode != 'Ordered' || (has(self.spec.clusters) && size(self.spec.clusters) > 0)").message("mode Ordered needs the clusters in order"),
    validation = Rule::new("self.spec.mode in ['Ordered', 'Spread'] || !has(self.spec.clusters) || size(self.spec.clusters) == 0").message("only modes Ordered and Spread list clusters"),
    validation = Rule::new("self.spec.mode == 'Spread' || !has(self.spec.clusters) || self.spec.clusters.all(c, !has(c.weight))").message("a weight is for mode Spread only"),
    validation = Rule::new("!has(self.spec.clusters) || size(self.spec.clusters) == 0 || self.spec.clusters.exists(c, !has(c.weight) || c.weight > 0)").message("one weight above 0 is needed at least"),
    validation = Rule::new("!has(self.spec.clusters) || self.spec.clusters.all(c, self.spec.clusters.exists_one(d, d.cluster == c.cluster))").message("a cluster is listed twice"),
    printcolumn(name = "Service", type_ = "string", json_path = ".spec.targetRef.name", description = "The Service it is for"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "How requests are shared among clusters"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].reason", description = "Accepted, or why not"),
    printcolumn(name = "InForce", type_ = "string", json_path = ".status.conditions[?(@.type==\"InForce\")].status", description = "Agents go by it"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicySpec {
    /// The Service it is for, in its own namespace. Of several policies for one Service the oldest counts.
    pub target_ref: TargetRef,
    /// How requests are shared among clusters.
    #[serde(default)]
    pub mode: PolicyMode,
    /// For Ordered: the clusters in their order. For Spread: the clusters with their weights; without any, all by
    /// capacity. A cluster that is not listed is used when no listed one can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub clusters: Vec<PolicyClusterRef>,
    /// When a cluster's requests go elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spill: Option<SpillSettings>,
    /// How a cluster that was left gets its requests back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failback: Option<FailbackSettings>,
    /// How long a request may take until its answer begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutSettings>,
    /// How often a request is sent again when a pod may have received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetrySettings>,
    /// When a pod of this cluster is left alone, and for how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<OutlierSettings>,
}

/// The object that a policy is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.group == '' && self.kind == 'Service'").message("a TrafficPolicy is for a Service: group \"\", kind Service"))]
pub struct TargetRef {
    /// Empty, the group of Services.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Service.
    #[serde(default = "service")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The Service's name.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

fn service() -> String {
    "Service".into()
}

/// How requests are shared among clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum PolicyMode {
    /// The own cluster while it can; what it cannot take goes to others by spare capacity and distance.
    #[default]
    LocalFirst,
    /// The listed clusters in their order, each as much as it can take.
    Ordered,
    /// The nearest cluster first, by measured round-trip time.
    Nearest,
    /// All clusters at once, by weight or by capacity.
    Spread,
}

/// A cluster that a policy names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct PolicyClusterRef {
    /// Its id.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub cluster: String,
    /// For Spread: its part, against the others' weights; 1 when absent. 0 keeps it for when no other can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<u32>,
}

/// When a cluster's requests go elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpillSettings {
    /// How much more than its healthy part a cluster is trusted with: 140 keeps everything there until 71 % of its
    /// capacity is left, 100 spills with the first loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1000))]
    pub overprovisioning_percent: Option<u32>,
    /// With less than this part of all clusters' capacity left, pods that answer badly are used too, and what the rest
    /// cannot bear is turned away. 50 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub panic_threshold_percent: Option<u32>,
}

/// How a cluster that was left gets its requests back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ramp) || !has(self.rampMax) || duration(self.rampMax) >= duration(self.ramp)").message("rampMax must not be below ramp"))]
pub struct FailbackSettings {
    /// From nothing to all after a first failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = duration::PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("expected 1s to 1h"))]
    pub ramp: Option<String>,
    /// The same after many; ten times the ramp unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = duration::PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("expected 1s to 1h"))]
    pub ramp_max: Option<String>,
    /// How long after a failover the way back begins; at once unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = duration::PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) <= duration('1h')").message("expected up to 1h"))]
    pub hold: Option<String>,
}

/// How long a request may take until its answer begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.attempt) || !has(self.request) || duration(self.request) >= duration(self.attempt)").message("request must not be below attempt"))]
pub struct TimeoutSettings {
    /// All attempts together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = duration::PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1ms') && duration(self) <= duration('1h')").message("expected 1ms to 1h"))]
    pub request: Option<String>,
    /// One attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = duration::PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1ms') && duration(self) <= duration('1h')").message("expected 1ms to 1h"))]
    pub attempt: Option<String>,
}

/// How often a request is sent again when a pod may have received it. What cannot have reached a pod is not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetrySettings {
    /// Attempts that may reach a pod, the first included; 3 unless set, 1 is no retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: Option<u32>,
    /// Retries under way, in percent of the requests under way, 3 at least; 20 unless set, 0 is no retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub budget_percent: Option<u32>,
}

/// When a pod of this cluster is left alone, and for how long. One that refuses connections is left at once whatever stands
/// here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.baseEjection) || !has(self.maxEjection) || duration(self.maxEjection) >= duration(self.baseEjection)").message("maxEjection must not be below baseEjection"))]
pub struct OutlierSettings {
    /// Failed answers in a row; 5 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15))]
    pub consecutive_errors: Option<u32>,
    /// The part of the last ten seconds' answers that must be good, with 20 of them or more; 50 unless set, 0 does not
    /// look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 90))]
    pub min_success_percent: Option<u32>,
    /// How long it is left alone the first time; doubled each further time. 1s unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = duration::PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('1h')").message("expected 100ms to 1h"))]
    pub base_ejection: Option<String>,
    /// The longest time; 1m unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = duration::PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms') && duration(self) <= duration('1h')").message("expected 100ms to 1h"))]
    pub max_ejection: Option<String>,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicyStatus {
    /// What the agents of this cluster go by; absent when it is not this policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<PolicyInForce>,
    /// At most one of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What the agents of this cluster go by, as far as a policy decides it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyInForce {
    /// The mode.
    pub mode: PolicyMode,
    /// The clusters it lists, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// Those of them that do not export the Service, as far as is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Every setting that differs from what holds without a policy, as `name=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
}

impl From<PolicyMode> for Mode {
    fn from(mode: PolicyMode) -> Self {
        match mode {
            PolicyMode::LocalFirst => Self::LocalFirst,
            PolicyMode::Ordered => Self::Ordered,
            PolicyMode::Nearest => Self::Nearest,
            PolicyMode::Spread => Self::Spread,
        }
    }
}

impl From<Mode> for PolicyMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::LocalFirst => Self::LocalFirst,
            Mode::Ordered => Self::Ordered,
            Mode::Nearest => Self::Nearest,
            Mode::Spread => Self::Spread,
        }
    }
}

impl TrafficPolicySpec {
    /// The Service that a policy in that namespace is for.
    ///
    /// # Errors
    /// [`PolicyFault`] when it is for something else, or when the name cannot be a Service's.
    pub fn target(&self, namespace: &str) -> Result<ServiceKey, PolicyFault> {
        let TargetRef { group, kind, name } = &self.target_ref;
        if !group.is_empty() || kind != "Service" {
            let found = format!("{group}/{kind}");
            return Err(PolicyFault::new("targetRef", found, "expected group \"\" and kind Service"));
        }
        ServiceKey::new(namespace, name)
            .map_err(|_| PolicyFault::new("targetRef.name", name, "is no name of a Service"))
    }

    /// The settings as a record, created at that time.
    ///
    /// # Errors
    /// [`PolicyFault`], naming the field: the API server's schema refuses the same, and files have no schema.
    pub fn record(&self, created_unix_s: i64) -> Result<PolicyRecord, PolicyFault> {
        let (spill, failback) = (self.spill.clone().unwrap_or_default(), self.failback.clone().unwrap_or_default());
        let (timeouts, retries) = (self.timeouts.clone().unwrap_or_default(), self.retries.clone().unwrap_or_default());
        let outlier = self.outlier.clone().unwrap_or_default();
        let record = PolicyRecord {
            created_unix_s,
            mode: Mode::from(self.mode).into(),
            clusters: self.clusters.iter().map(PolicyClusterRef::record).collect(),
            overprovision_percent: spill.overprovisioning_percent,
            panic_percent: spill.panic_threshold_percent,
            ramp_ms: length("failback.ramp", failback.ramp)?,
            ramp_max_ms: length("failback.rampMax", failback.ramp_max)?,
            hold_ms: length("failback.hold", failback.hold)?,
            request_ms: length("timeouts.request", timeouts.request)?,
            attempt_ms: length("timeouts.attempt", timeouts.attempt)?,
            attempts: retries.attempts,
            budget_percent: retries.budget_percent,
            consecutive_errors: outlier.consecutive_errors,
            min_success_percent: outlier.min_success_percent,
            base_ejection_ms: length("outlier.baseEjection", outlier.base_ejection)?,
            max_ejection_ms: length("outlier.maxEjection", outlier.max_ejection)?,
        };
        record.check()?;
        Ok(record)
    }
}

impl PolicyClusterRef {
    fn record(&self) -> PolicyCluster {
        PolicyCluster { cluster: self.cluster.clone(), weight: self.weight }
    }
}

fn length(field: &'static str, text: Option<String>) -> Result<Option<u64>, PolicyFault> {
    let read = |text: String| {
        duration::milliseconds(&text)
            .ok_or_else(|| PolicyFault::new(field, &text, "expected a time such as 10s or 500ms"))
    };
    text.map(read).transpose()
}

impl PolicyInForce {
    /// What a record puts in force.
    #[must_use]
    pub fn of(record: &PolicyRecord) -> Self {
        let percent = |value: Option<u32>| value.map(|v| format!("{v}%"));
        let number = |value: Option<u32>| value.map(|v| v.to_string());
        let time = |value: Option<u64>| value.map(duration::text);
        let settings = [
            ("overprovisioning", percent(record.overprovision_percent)),
            ("panicThreshold", percent(record.panic_percent)),
            ("ramp", time(record.ramp_ms)),
            ("rampMax", time(record.ramp_max_ms)),
            ("hold", time(record.hold_ms)),
            ("request", time(record.request_ms)),
            ("attempt", time(record.attempt_ms)),
            ("attempts", number(record.attempts)),
            ("retryBudget", percent(record.budget_percent)),
            ("consecutiveErrors", number(record.consecutive_errors)),
            ("minSuccess", percent(record.min_success_percent)),
            ("baseEjection", time(record.base_ejection_ms)),
            ("maxEjection", time(record.max_ejection_ms)),
        ];
        let set = settings.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        Self {
            mode: record.mode().into(),
            clusters: record.clusters.iter().map(|c| c.cluster.clone()).collect(),
            missing: Vec::new(),
            settings: set.collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
