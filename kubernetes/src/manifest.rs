//! Objects as YAML that `kubectl apply -f` takes.

use crate::api::crds as definitions;

/// An object that cannot be written as YAML: a fault of this program.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Its type does not serialize.
    #[error("object cannot be written: {0}")]
    Object(#[from] serde_json::Error),
    /// The YAML writer refused.
    #[error("object cannot be written as YAML: {0}")]
    Yaml(String),
}

/// Strait's own CustomResourceDefinitions, one document each.
///
/// # Errors
/// When a definition cannot be written as YAML.
pub fn crds() -> Result<String, ManifestError> {
    let mut text = String::from("# Strait's own kinds, as `strait crds` prints them.\n");
    for definition in definitions() {
        text.push_str(&document(&serde_json::to_value(definition)?)?);
    }
    Ok(text)
}

/// One document with its `---`, without `status` and without empty metadata.
///
/// # Errors
/// When the object cannot be written as YAML.
pub fn document(object: &serde_json::Value) -> Result<String, ManifestError> {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    let yaml = serde_saphyr::to_string(&object).map_err(|e| ManifestError::Yaml(e.to_string()))?;
    Ok(format!("---\n{yaml}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_definitions_are_those_of_this_program() {
        let installed = include_str!("../../deploy/base/crds.yaml");
        assert_eq!(installed, crds().unwrap(), "write the output of `strait crds` to deploy/base/crds.yaml");
    }
}
