//! What every object has: a name and a revision.

use std::fmt;

use serde::Deserialize;

/// Which object of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ObjectName {
    /// Empty for cluster-scoped kinds.
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// One object as it was seen.
#[derive(Clone, Debug)]
pub(super) struct Sighting<F> {
    pub(super) name: ObjectName,
    pub(super) revision: u64,
    /// What it says; `None` when it says nothing of use.
    pub(super) fact: Option<F>,
}

/// One watch event.
#[derive(Clone, Debug)]
pub(super) enum Change<F> {
    /// The object was added or changed.
    Set(Sighting<F>),
    /// It was deleted at that revision.
    Gone(ObjectName, u64),
}

/// The part of any object that is read first, so that one that does not read is still named.
#[derive(Deserialize)]
pub(super) struct Head {
    metadata: HeadMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMeta {
    #[serde(default)]
    namespace: String,
    name: String,
    #[serde(default)]
    resource_version: String,
}

impl Head {
    pub(super) fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    pub(super) fn name(&self) -> ObjectName {
        ObjectName { namespace: self.metadata.namespace.as_str().into(), name: self.metadata.name.as_str().into() }
    }

    /// The revision, or the text that is none.
    pub(super) fn revision(&self) -> Result<u64, &str> {
        revision(&self.metadata.resource_version)
    }
}

/// Reads a `resourceVersion` as the integer it must be.
pub(super) fn revision(text: &str) -> Result<u64, &str> {
    text.parse().map_err(|_| text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn heads_name_the_object() {
        let head = Head::read(r#"{"metadata":{"namespace":"a","name":"b","resourceVersion":"17"},"spec":[]}"#).unwrap();
        assert_eq!((head.name().to_string().as_str(), head.revision()), ("a/b", Ok(17)));
        let node = Head::read(r#"{"metadata":{"name":"n","resourceVersion":"x-1"}}"#).unwrap();
        assert_eq!((node.name().to_string().as_str(), node.revision()), ("n", Err("x-1")));
        for bad in ["{}", r#"{"metadata":{}}"#, "[]", "7", r#"{"metadata":{"name":7}}"#] {
            assert!(Head::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn revisions_are_integers() {
        assert_eq!(revision("0"), Ok(0));
        assert_eq!(revision("18446744073709551615"), Ok(u64::MAX));
        for bad in ["", "-1", "1.5", "0x10", "18446744073709551616", "abc", " 1"] {
            assert_eq!(revision(bad), Err(bad));
        }
    }
}
