//! Status conditions: what they should say, and whether that is news.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// One condition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Its type.
    pub type_: &'static str,
    /// True or false.
    pub holds: bool,
    /// CamelCase, or several joined by commas.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Stated {
    /// A condition that holds.
    pub fn yes(type_: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { type_, holds: true, reason: reason.into(), message: message.into() }
    }

    /// A condition that does not hold.
    pub fn no(type_: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { type_, holds: false, reason: reason.into(), message: message.into() }
    }
}

/// The conditions to write. The time of a condition is that of its last change between true and false, kept while
/// it does not change; conditions that are not stated are dropped, since the controller owns all of them.
#[must_use]
pub fn written(held: &[Condition], stated: &[Stated], generation: Option<i64>, unix_s: i64) -> Vec<Condition> {
    stated
        .iter()
        .map(|s| {
            let status = if s.holds { "True" } else { "False" };
            let since = held.iter().find(|h| h.type_ == s.type_ && h.status == status).map_or_else(
                || Time(Timestamp::from_second(unix_s).unwrap_or_default()),
                |h| h.last_transition_time.clone(),
            );
            Condition {
                type_: s.type_.into(),
                status: status.into(),
                reason: s.reason.clone(),
                message: s.message.chars().take(4096).collect(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// True when both lists say the same, in any order.
#[must_use]
pub fn same(a: &[Condition], b: &[Condition]) -> bool {
    a.len() == b.len() && a.iter().all(|x| b.contains(x))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_last_change() {
        let first = written(&[], &[Stated::no("Ready", "Pending", "a")], Some(1), 100);
        let reworded = written(&first, &[Stated::no("Ready", "Pending", "b")], Some(2), 200);
        assert_eq!(reworded[0].last_transition_time, first[0].last_transition_time);
        assert_eq!((reworded[0].message.as_str(), reworded[0].observed_generation), ("b", Some(2)));
        let changed = written(&reworded, &[Stated::yes("Ready", "Ready", "")], Some(2), 300);
        assert_eq!(changed[0].last_transition_time.0.as_second(), 300);
        assert!(!same(&reworded, &changed));
        assert!(same(&changed, &written(&changed, &[Stated::yes("Ready", "Ready", "")], Some(2), 400)));
    }
}
