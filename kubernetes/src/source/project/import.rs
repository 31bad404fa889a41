//! ServiceImport → Import.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use strait_catalog::{Import, ImportPort, Protocol, ServiceKey};

use super::{is_true, service_key};
use crate::api::{ImportedPort, LINGERING_ANNOTATION, LISTENERS_ANNOTATION, ServiceImport, ServiceImportType};
use crate::source::Unfit;

/// What a ServiceImport tells this node: the service's addresses, its ports, and on which port of `bind` the proxy
/// listens for each. A port without an entry in the annotation [`LISTENERS_ANNOTATION`] has no listener yet.
///
/// # Errors
/// [`Unfit`] when its name cannot stand in DNS.
pub fn project_import(import: &ServiceImport, bind: IpAddr) -> Result<(ServiceKey, Import), Unfit> {
    let key = service_key(&import.metadata)?;
    let listeners = listeners_of(import, &key);
    let value = Import {
        ips: import.spec.ips.iter().filter_map(|text| text.parse().ok()).collect(),
        ports: import.spec.ports.iter().filter_map(|p| port(p, &listeners, bind)).collect(),
        headless: import.spec.type_ == ServiceImportType::Headless,
        lingering: is_true(&import.metadata, LINGERING_ANNOTATION),
    };
    Ok((key, value))
}

type Listeners = BTreeMap<(u16, Protocol), u16>;

/// Reads the annotation [`LISTENERS_ANNOTATION`]: `{"80/TCP":20017}` → listener 20017 for port 80 over TCP.
///
/// # Errors
/// [`Unfit`], naming the entry, when any part of it is not a port or a protocol.
pub fn read_listeners(annotation: &str) -> Result<Listeners, Unfit> {
    let unfit = |found: &str| Unfit::field(LISTENERS_ANNOTATION, found, "a JSON object such as {\"80/TCP\":20017}");
    let written: BTreeMap<String, u16> = serde_json::from_str(annotation).map_err(|_| unfit(annotation))?;
    let entry = |text: &str, listener: u16| {
        let (port, protocol) = text.split_once('/')?;
        let port = port.parse::<u16>().ok().filter(|n| *n != 0)?;
        let protocol = Protocol::parse(Some(protocol)).filter(|_| !protocol.is_empty())?;
        (listener != 0).then_some(((port, protocol), listener))
    };
    written.iter().map(|(text, listener)| entry(text, *listener).ok_or_else(|| unfit(text))).collect()
}

/// An annotation that does not read leaves the import without listeners: it is still known to DNS.
fn listeners_of(import: &ServiceImport, key: &ServiceKey) -> Listeners {
    let Some(annotation) = import.metadata.annotations.as_ref().and_then(|all| all.get(LISTENERS_ANNOTATION)) else {
        return Listeners::new();
    };
    read_listeners(annotation).unwrap_or_else(|reason| {
        tracing::warn!(service = %key, %reason, "ServiceImport without listeners");
        Listeners::new()
    })
}

fn port(port: &ImportedPort, listeners: &Listeners, bind: IpAddr) -> Option<ImportPort> {
    let protocol = Protocol::parse(port.protocol.as_deref())?;
    let number = u16::try_from(port.port).ok().filter(|n| *n != 0)?;
    Some(ImportPort {
        name: port.name.clone().unwrap_or_default(),
        protocol,
        port: number,
        app_protocol: port.app_protocol.clone().unwrap_or_default(),
        listener: listeners.get(&(number, protocol)).map(|listener| SocketAddr::new(bind, *listener)),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn projected(annotations: &Json, spec: &Json) -> Import {
        let object =
            json!({"metadata": {"namespace": "ml", "name": "model", "annotations": annotations}, "spec": spec});
        let (key, import) =
            project_import(&serde_json::from_value(object).unwrap(), "0.0.0.0".parse().unwrap()).unwrap();
        assert_eq!(key.to_string(), "ml/model");
        import
    }

    #[test]
    fn listeners_come_from_the_annotation() {
        let spec = json!({"type": "ClusterSetIP", "ips": ["10.111.0.9", "fd00::9"], "ports": [
            {"name": "http", "port": 80, "protocol": "TCP", "appProtocol": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"},
            {"port": 81},
        ]});
        let import =
            projected(&json!({"strait.dev/listeners": r#"{"80/TCP":20017,"53/UDP":20018,"99/TCP":1}"#}), &spec);
        let listeners: Vec<_> = import.ports.iter().map(|p| (p.port, p.listener.map(|l| l.to_string()))).collect();
        assert_eq!(listeners, [(80, Some("0.0.0.0:20017".into())), (53, Some("0.0.0.0:20018".into())), (81, None)]);
        assert_eq!(import.ips, ["10.111.0.9".parse::<IpAddr>().unwrap(), "fd00::9".parse().unwrap()]);
        assert!(!import.headless && !import.lingering);
    }

    #[test]
    fn headless_and_lingering() {
        let import = projected(&json!({"strait.dev/lingering": "true"}), &json!({"type": "Headless", "ports": []}));
        assert!(import.headless && import.lingering);
        assert!(!projected(&json!({"strait.dev/lingering": "false"}), &json!({"type": "Headless"})).lingering);
    }

    #[test]
    fn a_broken_annotation_costs_the_listeners_only() {
        for broken in
            ["", "[]", "{", r#"{"80":1}"#, r#"{"80/":1}"#, r#"{"x/TCP":1}"#, r#"{"80/TCP":70000}"#, r#"{"80/TCP":0}"#]
        {
            assert!(read_listeners(broken).is_err(), "{broken}");
            let import = projected(
                &json!({"strait.dev/listeners": broken}),
                &json!({"type": "ClusterSetIP", "ips": ["10.111.0.9"], "ports": [{"port": 80}]}),
            );
            assert_eq!((import.ports[0].listener, import.ips.len()), (None, 1), "{broken}");
        }
        assert_eq!(read_listeners("{}").unwrap().len(), 0);
    }
}
