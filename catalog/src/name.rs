//! Names that must not be mixed up, checked once where they enter.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, too long, or with a character that DNS labels do not have.
    #[error("{what} {name:?} is not a DNS label: 1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'")]
    NotALabel {
        /// What the name stands for.
        what: &'static str,
        /// The refused text, shortened to 80 characters.
        name: String,
    },
    /// A service was not given as `namespace/name`.
    #[error("service {name:?} is not of the form namespace/name")]
    NotAServiceKey {
        /// The refused text, shortened to 80 characters.
        name: String,
    },
}

fn shortened(name: &str) -> String {
    name.chars().take(80).collect()
}

/// True for an RFC 1123 label: 1 to 63 of `a-z0-9-`, with no dash at either end.
fn is_label(name: &str) -> bool {
    let inside = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    matches!(name.len(), 1..=63) && name.bytes().all(|b| inside(&b)) && !name.starts_with('-') && !name.ends_with('-')
}

/// The name of a cluster within its set: one DNS label, since it stands inside DNS names and SPIFFE ids.
///
/// A kubeconfig context's name is not a cluster id; the id is what ConfigMap `strait-cluster` says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(Arc<str>);

impl ClusterId {
    /// Checks that the name is one DNS label.
    ///
    /// # Errors
    /// [`NameError::NotALabel`] otherwise.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if is_label(name) {
            Ok(Self(name.into()))
        } else {
            Err(NameError::NotALabel { what: "cluster id", name: shortened(name) })
        }
    }

    /// The label itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for ClusterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A service by namespace and name; the same pair means the same service in every cluster (MCS "sameness").
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl ServiceKey {
    /// Checks that both parts are DNS labels.
    ///
    /// # Errors
    /// [`NameError::NotALabel`], naming the part.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        for (what, part) in [("namespace", namespace), ("service name", name)] {
            if !is_label(part) {
                return Err(NameError::NotALabel { what, name: shortened(part) });
            }
        }
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }

    /// Parses `namespace/name`.
    ///
    /// # Errors
    /// [`NameError`] when there is no single slash or a part is not a label.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Err(NameError::NotAServiceKey { name: shortened(text) }),
        }
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Namespace and name, borrowed: a map keyed by [`ServiceKey`] is searched by these without making a key.
pub(crate) trait ServiceParts {
    fn parts(&self) -> (&str, &str);
}

impl ServiceParts for ServiceKey {
    fn parts(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }
}

impl ServiceParts for (&str, &str) {
    fn parts(&self) -> (&str, &str) {
        *self
    }
}

impl<'a> Borrow<dyn ServiceParts + 'a> for ServiceKey {
    fn borrow(&self) -> &(dyn ServiceParts + 'a) {
        self
    }
}

/// The order of [`ServiceKey`]: first the namespace, then the name.
impl Ord for dyn ServiceParts + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for dyn ServiceParts + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn ServiceParts + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn ServiceParts + '_ {}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl serde::Serialize for ServiceKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_checked_at_the_edge() {
        for good in ["a", "us-west", "eu-west-1", &"x".repeat(63)] {
            assert_eq!(ClusterId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "US", "a.b", "-a", "a-", "a_b", "a/b", "ü", &"x".repeat(64)] {
            assert!(ClusterId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn service_keys_round_trip() {
        let key = ServiceKey::parse("ml-production/model-server").unwrap();
        assert_eq!((key.namespace(), key.name()), ("ml-production", "model-server"));
        assert_eq!(ServiceKey::parse(&key.to_string()).unwrap(), key);
        for bad in ["x", "a/b/c", "/b", "a/", "A/b"] {
            assert!(ServiceKey::parse(bad).is_err(), "{bad}");
        }
    }
}
