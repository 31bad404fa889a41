//! The volume in CoreDNS's Deployment through which it reads the snippet: put in and taken out of the object as JSON,
//! so that fields this program does not know survive.

use serde_json::{Value, json};

use super::corefile::SNIPPETS;
use crate::controller::naming::NAMES_CONFIG_MAP;

/// The volume's name.
pub const VOLUME: &str = "strait-names";

/// Why a Deployment is not one that can be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// No container looks like CoreDNS.
    #[error("no container of it runs CoreDNS with -conf; is this the cluster's DNS?")]
    NoContainer,
    /// The Corefile does not come from a ConfigMap.
    #[error("its Corefile {path} does not come from a ConfigMap volume")]
    NoConfigMap {
        /// The path of the Corefile in the container.
        path: String,
    },
}

/// Where CoreDNS reads its Corefile from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The ConfigMap.
    pub config_map: String,
    /// The key within it.
    pub key: String,
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn arguments(container: &Value) -> Vec<&str> {
    ["/command", "/args"].iter().flat_map(|p| list(container, p)).filter_map(Value::as_str).collect()
}

/// The path of the Corefile, if the container runs CoreDNS.
fn conf(container: &Value) -> Option<String> {
    let args = arguments(container);
    let follows = args.windows(2).find(|w| matches!(w[0], "-conf" | "--conf")).map(|w| w[1].to_owned());
    let joined = || args.iter().find_map(|a| a.trim_start_matches('-').strip_prefix("conf=").map(str::to_owned));
    follows.or_else(joined)
}

fn container(deployment: &Value) -> Option<usize> {
    let all = list(deployment, "/spec/template/spec/containers");
    let named = all.iter().position(|c| text(c, "name") == "coredns" && conf(c).is_some());
    named.or_else(|| all.iter().position(|c| conf(c).is_some()))
}

/// Which ConfigMap and key hold the Corefile.
///
/// # Errors
/// [`MountError`] when that cannot be told.
pub fn origin(deployment: &Value) -> Result<Origin, MountError> {
    let at = container(deployment).ok_or(MountError::NoContainer)?;
    let container = &list(deployment, "/spec/template/spec/containers")[at];
    let path = conf(container).ok_or(MountError::NoContainer)?;
    let missing = || MountError::NoConfigMap { path: path.clone() };
    let (folder, file) = path.rsplit_once('/').ok_or_else(missing)?;
    let mount = list(container, "/volumeMounts").iter().find(|m| text(m, "mountPath").trim_end_matches('/') == folder);
    let name = mount.map(|m| text(m, "name")).ok_or_else(missing)?;
    let volume = list(deployment, "/spec/template/spec/volumes").iter().find(|v| text(v, "name") == name);
    let map = volume.and_then(|v| v.get("configMap")).ok_or_else(missing)?;
    let item = list(map, "/items").iter().find(|i| text(i, "path") == file);
    Ok(Origin { config_map: text(map, "name").to_owned(), key: item.map_or(file, |i| text(i, "key")).to_owned() })
}

/// True when the volume is in.
#[must_use]
pub fn mounted(deployment: &Value) -> bool {
    list(deployment, "/spec/template/spec/volumes").iter().any(|v| text(v, "name") == VOLUME)
}

/// The Deployment with the volume; unchanged when it is in already.
///
/// # Errors
/// [`MountError::NoContainer`].
pub fn mount(deployment: &Value) -> Result<Value, MountError> {
    let at = container(deployment).ok_or(MountError::NoContainer)?;
    let mut after = unmount(deployment);
    let volume = json!({"name": VOLUME, "configMap": {"name": NAMES_CONFIG_MAP, "optional": true, "defaultMode": 420}});
    push(&mut after, "/spec/template/spec", "volumes", volume);
    let place = format!("/spec/template/spec/containers/{at}");
    push(&mut after, &place, "volumeMounts", json!({"name": VOLUME, "mountPath": SNIPPETS, "readOnly": true}));
    Ok(if mounted(deployment) && same_mount(deployment, &after) { deployment.clone() } else { after })
}

/// Fields that the API server fills in are no difference.
fn same_mount(a: &Value, b: &Value) -> bool {
    let of = |v: &Value| {
        let volume = list(v, "/spec/template/spec/volumes").iter().find(|v| text(v, "name") == VOLUME).cloned();
        let mounts: Vec<Value> = list(v, "/spec/template/spec/containers")
            .iter()
            .flat_map(|c| list(c, "/volumeMounts"))
            .filter(|m| text(m, "name") == VOLUME)
            .map(|m| json!([text(m, "mountPath"), m.get("readOnly")]))
            .collect();
        (volume.and_then(|v| v.pointer("/configMap/name").cloned()), mounts)
    };
    of(a) == of(b)
}

fn push(object: &mut Value, pointer: &str, key: &str, item: Value) {
    let Some(parent) = object.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    if let Some(list) = parent.entry(key).or_insert_with(|| json!([])).as_array_mut() {
        list.push(item);
    }
}

/// The Deployment without the volume; lists that only it filled are gone.
#[must_use]
pub fn unmount(deployment: &Value) -> Value {
    let mut after = deployment.clone();
    take_out(&mut after, "/spec/template/spec", "volumes");
    for i in 0..list(deployment, "/spec/template/spec/containers").len() {
        take_out(&mut after, &format!("/spec/template/spec/containers/{i}"), "volumeMounts");
    }
    after
}

fn take_out(object: &mut Value, pointer: &str, key: &str) {
    let Some(parent) = object.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    let Some(list) = parent.get_mut(key).and_then(Value::as_array_mut) else { return };
    let before = list.len();
    list.retain(|item| text(item, "name") != VOLUME);
    if list.is_empty() && before > 0 {
        parent.remove(key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kubeadm() -> Value {
        json!({"spec": {"replicas": 2, "unknownField": {"kept": true}, "template": {"spec": {
            "containers": [{
                "name": "coredns", "args": ["-conf", "/etc/coredns/Corefile"],
                "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true}],
            }],
            "volumes": [{"name": "config-volume", "configMap": {"name": "coredns", "defaultMode": 420,
                "items": [{"key": "Corefile", "path": "Corefile"}]}}],
        }}}})
    }

    fn bare() -> Value {
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "proxy"}, {"name": "dns", "command": ["/coredns", "-conf=/conf/Corefile"]}]}}}})
    }

    #[test]
    fn in_and_out_leaves_the_object_equal() {
        for before in [kubeadm(), bare()] {
            let after = mount(&before).unwrap();
            assert!(mounted(&after) && !mounted(&before));
            assert_eq!(mount(&after).unwrap(), after, "a second time changes nothing");
            assert_eq!(unmount(&after), before);
        }
    }

    #[test]
    fn the_mount_goes_to_the_container_that_runs_coredns() {
        let after = mount(&bare()).unwrap();
        assert_eq!(after.pointer("/spec/template/spec/containers/0/volumeMounts"), None);
        assert_eq!(after.pointer("/spec/template/spec/containers/1/volumeMounts/0/mountPath"), Some(&json!(SNIPPETS)));
        assert_eq!(after.pointer("/spec/template/spec/volumes/0/configMap/optional"), Some(&json!(true)));
    }

    #[test]
    fn the_corefile_is_found_where_the_container_reads_it() {
        assert_eq!(origin(&kubeadm()).unwrap(), Origin { config_map: "coredns".into(), key: "Corefile".into() });
        assert!(matches!(origin(&bare()), Err(MountError::NoConfigMap { .. })));
        assert_eq!(origin(&json!({})), Err(MountError::NoContainer));
        assert_eq!(mount(&json!({})), Err(MountError::NoContainer));
    }
}
