//! Connecting a cluster's CoreDNS to Strait, and undoing it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::corefile::{self, CorefileError};
use super::mount::{self, MountError, Origin};
use super::names;
use crate::api::SYSTEM_NAMESPACE;
use crate::controller::naming::{DNS_SERVICE, KUBE_SYSTEM, MANAGED_BY, NAMES_CONFIG_MAP, NAMES_KEY};

/// On the Corefile's ConfigMap: the Corefile as it was, for a person who wants to compare.
const BEFORE: &str = "strait.dev/corefile-before";

/// Labels by which others say that they own CoreDNS and would undo a change, and what to do instead.
const OWNERS: [(&str, &str); 6] = [
    ("addonmanager.kubernetes.io/mode", "the addon manager, which restores it; change the addon's manifest"),
    (
        "objectset.rio.cattle.io/hash",
        "k3s, which restores it; put the snippet into ConfigMap kube-system/coredns-custom",
    ),
    ("eks.amazonaws.com/component", "an EKS add-on; set its conflict resolution to PRESERVE and use --force"),
    ("argocd.argoproj.io/instance", "Argo CD; change its source, or exclude these fields and use --force"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux; change its source, or use --force"),
    ("helm.sh/chart", "Helm; set these values in its chart, or use --force"),
];

/// Why CoreDNS could not be connected or disconnected.
#[derive(Debug, thiserror::Error)]
pub enum CorednsError {
    /// There is no such Deployment.
    #[error(
        "Deployment kube-system/{deployment} does not exist: does this cluster use another DNS, or another name (--deployment)?"
    )]
    NoDeployment {
        /// Its name.
        deployment: String,
    },
    /// Others would undo it.
    #[error("{object} is managed by {owner}")]
    Managed {
        /// The object.
        object: String,
        /// Who, and what to do.
        owner: &'static str,
    },
    /// The Deployment is of an unknown form.
    #[error("Deployment kube-system/{deployment}: {source}")]
    Deployment {
        /// Its name.
        deployment: String,
        /// What is missing.
        source: MountError,
    },
    /// The ConfigMap has no Corefile.
    #[error("ConfigMap kube-system/{config_map} has no key {key}")]
    NoCorefile {
        /// The ConfigMap.
        config_map: String,
        /// The key.
        key: String,
    },
    /// The Corefile cannot be edited.
    #[error("Corefile in ConfigMap kube-system/{config_map}: {source}")]
    Corefile {
        /// The ConfigMap.
        config_map: String,
        /// What is wrong with it.
        source: CorefileError,
    },
    /// Strait itself is not there yet.
    #[error("{object} does not exist: install Strait first (kubectl apply -k deploy/clusters/…)")]
    NotInstalled {
        /// What is missing.
        object: &'static str,
    },
    /// The API server refused.
    #[error("{object}: {source}")]
    Api {
        /// What was read or written.
        object: String,
        /// What it said.
        source: Box<kube::Error>,
    },
}

/// What to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// CoreDNS's Deployment in `kube-system`.
    pub deployment: String,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// The zone of the cluster set.
    pub zone: String,
    /// Change it even though others manage it.
    pub force: bool,
    /// Only say what would be written.
    pub dry_run: bool,
}

/// What was changed, or would be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// One line each, for people; empty when everything was as it should be.
    pub done: Vec<String>,
    /// The objects as written (or as they would be), without fields that only the server sets.
    pub objects: Vec<Value>,
    /// CoreDNS does not take up its Corefile by itself: its pods have to be restarted.
    pub needs_restart: bool,
}

struct Cluster {
    maps: Api<ConfigMap>,
    deployments: Api<DynamicObject>,
    client: Client,
}

fn api(object: impl Into<String>) -> impl FnOnce(kube::Error) -> CorednsError {
    let object = object.into();
    |source| CorednsError::Api { object, source: Box::new(source) }
}

/// What stands: the Deployment and the ConfigMap with its Corefile.
struct Standing {
    deployment: Value,
    origin: Origin,
    map: ConfigMap,
    corefile: String,
}

impl Cluster {
    fn new(client: Client) -> Self {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        Self {
            maps: Api::namespaced(client.clone(), KUBE_SYSTEM),
            deployments: Api::namespaced_with(client.clone(), KUBE_SYSTEM, &kind),
            client,
        }
    }

    async fn standing(&self, options: &Options) -> Result<Standing, CorednsError> {
        let name = &options.deployment;
        let object = format!("Deployment kube-system/{name}");
        let deployment = self.deployments.get_opt(name).await.map_err(api(&object))?;
        let deployment = deployment.ok_or_else(|| CorednsError::NoDeployment { deployment: name.clone() })?;
        check_owner(&object, deployment.metadata.labels.as_ref(), options.force)?;
        let deployment = json!(deployment);
        let refused = |source| CorednsError::Deployment { deployment: name.clone(), source };
        let origin = mount::origin(&deployment).map_err(refused)?;
        let object = format!("ConfigMap kube-system/{}", origin.config_map);
        let map = self.maps.get(&origin.config_map).await.map_err(api(&object))?;
        check_owner(&object, map.metadata.labels.as_ref(), options.force)?;
        let found = map.data.as_ref().and_then(|d| d.get(&origin.key)).cloned();
        let missing = || CorednsError::NoCorefile { config_map: origin.config_map.clone(), key: origin.key.clone() };
        Ok(Standing { corefile: found.ok_or_else(missing)?, deployment, map, origin })
    }

    async fn write_map(&self, map: &ConfigMap, dry_run: bool) -> Result<(), CorednsError> {
        if dry_run {
            return Ok(());
        }
        let name = map.metadata.name.clone().unwrap_or_default();
        let object = format!("ConfigMap kube-system/{name}");
        self.maps.replace(&name, &PostParams::default(), map).await.map(drop).map_err(api(object))
    }

    async fn write_deployment(&self, name: &str, value: &Value, dry_run: bool) -> Result<(), CorednsError> {
        if dry_run {
            return Ok(());
        }
        let object = format!("Deployment kube-system/{name}");
        let wrong = |e: serde_json::Error| kube::Error::SerdeError(e);
        let typed: DynamicObject = serde_json::from_value(value.clone()).map_err(wrong).map_err(api(&object))?;
        self.deployments.replace(name, &PostParams::default(), &typed).await.map(drop).map_err(api(object))
    }

    async fn dns_address(&self) -> Result<String, CorednsError> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), SYSTEM_NAMESPACE);
        let found = services.get_opt(DNS_SERVICE).await.map_err(api("Service strait-system/strait-dns"))?;
        let address = found.and_then(|s| s.spec).and_then(|s| s.cluster_ip).filter(|ip| !ip.is_empty() && ip != "None");
        address.ok_or(CorednsError::NotInstalled { object: "Service strait-system/strait-dns" })
    }

    /// The snippet's ConfigMap; it goes with Strait's namespace, so that no rewrite outlives what it leads to.
    async fn snippet(&self, options: &Options) -> Result<Option<ConfigMap>, CorednsError> {
        let object = "ConfigMap kube-system/coredns-strait";
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let system = namespaces.get_opt(SYSTEM_NAMESPACE).await.map_err(api("Namespace strait-system"))?;
        let system = system.ok_or(CorednsError::NotInstalled { object: "Namespace strait-system" })?;
        let uid = system.metadata.uid.unwrap_or_default();
        let held = self.maps.get_opt(NAMES_CONFIG_MAP).await.map_err(api(object))?;
        let owned = |m: &ConfigMap| m.metadata.owner_references.iter().flatten().any(|o| o.uid == uid);
        if held.as_ref().is_some_and(owned) {
            return Ok(None);
        }
        let existed = held.is_some();
        let mut map = held.unwrap_or_else(|| ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAMES_CONFIG_MAP.into()),
                namespace: Some(KUBE_SYSTEM.into()),
                ..ObjectMeta::default()
            },
            data: Some([(NAMES_KEY.to_owned(), names::render([], &options.cluster_domain))].into()),
            ..ConfigMap::default()
        });
        map.metadata.labels.get_or_insert_default().insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
        map.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".into(),
            kind: "Namespace".into(),
            name: SYSTEM_NAMESPACE.into(),
            uid,
            ..OwnerReference::default()
        }]);
        if !options.dry_run {
            let written = if existed {
                self.maps.replace(NAMES_CONFIG_MAP, &PostParams::default(), &map).await
            } else {
                self.maps.create(&PostParams::default(), &map).await
            };
            written.map_err(api(object))?;
        }
        Ok(Some(map))
    }
}

fn check_owner(object: &str, labels: Option<&BTreeMap<String, String>>, force: bool) -> Result<(), CorednsError> {
    if force {
        return Ok(());
    }
    let found = OWNERS
        .iter()
        .find(|(label, _)| labels.and_then(|l| l.get(*label)).is_some_and(|value| value != "EnsureExists"));
    match found {
        Some((_, owner)) => Err(CorednsError::Managed { object: object.into(), owner }),
        None => Ok(()),
    }
}

/// For printing: without what only the server sets.
fn shown(kind: (&str, &str), object: &impl serde::Serialize) -> Value {
    let mut value = json!(object);
    value["apiVersion"] = json!(kind.0);
    value["kind"] = json!(kind.1);
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"] {
            meta.remove(key);
        }
    }
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    value
}

/// Connects CoreDNS. Doing it again changes nothing, or only what has moved meanwhile.
///
/// # Errors
/// [`CorednsError`], naming the object and what to do.
pub async fn install(client: Client, options: &Options) -> Result<Changes, CorednsError> {
    let cluster = Cluster::new(client);
    let dns = cluster.dns_address().await?;
    let Standing { deployment, origin, mut map, corefile } = cluster.standing(options).await?;
    let wrong = |source| CorednsError::Corefile { config_map: origin.config_map.clone(), source };
    let connected = corefile::connect(&corefile, &options.cluster_domain, &options.zone, &dns).map_err(wrong)?;
    let refused = |source| CorednsError::Deployment { deployment: options.deployment.clone(), source };
    let mounted = mount::mount(&deployment).map_err(refused)?;
    let mut changes = Changes::default();
    if let Some(snippet) = cluster.snippet(options).await? {
        changes.done.push("ConfigMap kube-system/coredns-strait: created for the plain names".into());
        changes.objects.push(shown(("v1", "ConfigMap"), &snippet));
    }
    if mounted != deployment {
        cluster.write_deployment(&options.deployment, &mounted, options.dry_run).await?;
        changes.done.push(format!("Deployment kube-system/{}: mounts it; its pods are replaced", options.deployment));
        changes.objects.push(shown(("apps/v1", "Deployment"), &mounted));
    }
    if connected != corefile {
        let before = corefile::disconnect(&corefile);
        map.metadata.annotations.get_or_insert_default().insert(BEFORE.into(), before);
        map.data.get_or_insert_default().insert(origin.key.clone(), connected.clone());
        cluster.write_map(&map, options.dry_run).await?;
        changes.done.push(format!(
            "ConfigMap kube-system/{}: imports it and sends {} to {dns}",
            origin.config_map, options.zone
        ));
        changes.objects.push(shown(("v1", "ConfigMap"), &map));
        // Pods that are replaced anyway start with the new Corefile.
        changes.needs_restart = !corefile::reloads(&connected) && mounted == deployment;
    }
    Ok(changes)
}

/// Disconnects CoreDNS: names first, then the mount, then the snippet.
///
/// # Errors
/// [`CorednsError`], naming the object and what to do.
pub async fn remove(client: Client, options: &Options) -> Result<Changes, CorednsError> {
    let cluster = Cluster::new(client);
    let Standing { deployment, origin, mut map, corefile } = cluster.standing(options).await?;
    let mut changes = Changes::default();
    let before = corefile::disconnect(&corefile);
    let noted = map.metadata.annotations.as_mut().and_then(|a| a.remove(BEFORE));
    if before != corefile || noted.is_some() {
        if map.metadata.annotations.as_ref().is_some_and(BTreeMap::is_empty) {
            map.metadata.annotations = None;
        }
        map.data.get_or_insert_default().insert(origin.key.clone(), before.clone());
        cluster.write_map(&map, options.dry_run).await?;
        let kept = if noted.is_some_and(|noted| noted != before) { "; later edits by others were kept" } else { "" };
        changes.done.push(format!("ConfigMap kube-system/{}: Corefile as it was before{kept}", origin.config_map));
        changes.objects.push(shown(("v1", "ConfigMap"), &map));
    }
    let unmounted = mount::unmount(&deployment);
    changes.needs_restart = before != corefile && !corefile::reloads(&before) && unmounted == deployment;
    if unmounted != deployment {
        cluster.write_deployment(&options.deployment, &unmounted, options.dry_run).await?;
        changes
            .done
            .push(format!("Deployment kube-system/{}: mounts it no longer; its pods are replaced", options.deployment));
        changes.objects.push(shown(("apps/v1", "Deployment"), &unmounted));
    }
    let object = "ConfigMap kube-system/coredns-strait";
    if cluster.maps.get_opt(NAMES_CONFIG_MAP).await.map_err(api(object))?.is_some() {
        if !options.dry_run {
            cluster.maps.delete(NAMES_CONFIG_MAP, &DeleteParams::default()).await.map_err(api(object))?;
        }
        changes.done.push(format!("{object}: deleted"));
    }
    Ok(changes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn others_property_is_refused_unless_forced() {
        let labels = |pair: (&str, &str)| BTreeMap::from([(pair.0.to_owned(), pair.1.to_owned())]);
        for (label, _) in OWNERS {
            let labels = labels((label, "x"));
            let error = check_owner("Deployment kube-system/coredns", Some(&labels), false).unwrap_err();
            assert!(error.to_string().starts_with("Deployment kube-system/coredns is managed by"), "{error}");
            assert!(check_owner("x", Some(&labels), true).is_ok());
        }
        assert!(check_owner("x", Some(&labels(("k8s-app", "kube-dns"))), false).is_ok());
        assert!(check_owner("x", Some(&labels(("addonmanager.kubernetes.io/mode", "EnsureExists"))), false).is_ok());
    }
}
