//! ServiceImports: told to this node only, never replicated.

use std::collections::BTreeMap;
use std::net::IpAddr;

use strait_catalog::{Import, Input, ServiceKey, Version};

use super::Follow;
use crate::source::error::Unfit;
use crate::source::object::{Change, ObjectName, Sighting};
use crate::source::project::{parse, project_import};

/// Turns ServiceImports into imports.
pub(in crate::source) struct Imports {
    bind: IpAddr,
    known: BTreeMap<ObjectName, ServiceKey>,
}

impl Imports {
    pub(in crate::source) const fn new(bind: IpAddr) -> Self {
        Self { bind, known: BTreeMap::new() }
    }
}

impl Follow for Imports {
    type Fact = (ServiceKey, Import);

    fn read(&self, json: &str) -> Result<Option<Self::Fact>, Unfit> {
        project_import(&parse(json)?, self.bind).map(Some)
    }

    fn known(&self) -> impl Iterator<Item = &ObjectName> + Send {
        self.known.keys()
    }

    fn listed(&mut self, _version: Version, seen: Vec<Sighting<Self::Fact>>) -> Vec<Input> {
        self.known.clear();
        let mut imports = Vec::with_capacity(seen.len());
        for sighting in seen {
            if let Some((key, import)) = sighting.fact {
                self.known.insert(sighting.name, key.clone());
                imports.push((key, import));
            }
        }
        vec![Input::Imports(imports)]
    }

    fn changed(&mut self, _epoch: u64, changes: Vec<Change<Self::Fact>>) -> Vec<Input> {
        let told = changes.into_iter().filter_map(|change| match change {
            Change::Set(Sighting { name, fact: Some((key, import)), .. }) => {
                self.known.insert(name, key.clone());
                Some(Input::Import(key, Some(import)))
            }
            Change::Set(Sighting { name, fact: None, .. }) | Change::Gone(name, _) => {
                Some(Input::Import(self.known.remove(&name)?, None))
            }
        });
        told.collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sighting(name: &str, fact: bool) -> Sighting<(ServiceKey, Import)> {
        let key = ServiceKey::new("ml", name).unwrap();
        Sighting {
            name: ObjectName { namespace: "ml".into(), name: name.into() },
            revision: 1,
            fact: fact.then(|| (key, Import::default())),
        }
    }

    #[test]
    fn imports_come_and_go() {
        let key = |name: &str| ServiceKey::new("ml", name).unwrap();
        let mut imports = Imports::new("0.0.0.0".parse().unwrap());
        let listed = imports.listed(Version::default(), vec![sighting("a", true), sighting("b", false)]);
        assert_eq!(listed, [Input::Imports(vec![(key("a"), Import::default())])]);
        let changes = vec![
            Change::Set(sighting("b", true)),
            Change::Set(sighting("a", false)), // became unusable
            Change::Gone(sighting("b", true).name, 3),
            Change::Gone(sighting("never", true).name, 4),
        ];
        let told = imports.changed(0, changes);
        let expected = [
            Input::Import(key("b"), Some(Import::default())),
            Input::Import(key("a"), None),
            Input::Import(key("b"), None),
        ];
        assert_eq!(told, expected);
        assert_eq!(imports.known().count(), 0);
    }
}
