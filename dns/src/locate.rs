//! Which node of the zone's tree a name stands for.

use strait_catalog::{Import, ImportPort, Protocol, Snapshot};

use crate::name::QueryName;

/// A node of the zone. `service` is the place of the service's label within the question's name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'s> {
    /// The zone itself.
    Apex,
    /// `dns-version`.
    Version,
    /// `ns.dns`, the name server.
    NameServer,
    /// A name that exists without records of its own: it stands above others (RFC 8020), or belongs to a headless
    /// service.
    Empty,
    /// `<svc>.<ns>.svc`.
    Service { import: &'s Import, service: usize },
    /// `_<port>._<proto>.<svc>.<ns>.svc`.
    Port { import: &'s Import, port: &'s ImportPort, service: usize },
    /// Not known; another moment's catalog might have it.
    Unknown,
    /// No catalog could have it.
    Impossible,
}

/// Finds the node for a name that has `above` labels in front of the zone.
pub(crate) fn locate<'s>(name: &QueryName, above: usize, snapshot: &'s Snapshot) -> Node<'s> {
    if above == 0 {
        return Node::Apex;
    }
    match name.label(above - 1) {
        b"svc" => below_svc(name, above - 1, snapshot),
        b"dns-version" if above == 1 => Node::Version,
        b"dns" if above == 1 => Node::Empty,
        b"dns" if above == 2 && name.label(0) == b"ns" => Node::NameServer,
        _ => Node::Impossible,
    }
}

/// `depth` labels stand in front of `svc`.
fn below_svc<'s>(name: &QueryName, depth: usize, snapshot: &'s Snapshot) -> Node<'s> {
    let Some(namespace_at) = depth.checked_sub(1) else { return Node::Empty };
    let Ok(namespace) = str::from_utf8(name.label(namespace_at)) else { return Node::Impossible };
    let Some(service) = namespace_at.checked_sub(1) else {
        return if snapshot.has_namespace(namespace) { Node::Empty } else { Node::Unknown };
    };
    let Ok(service_name) = str::from_utf8(name.label(service)) else { return Node::Impossible };
    let Some(import) = snapshot.find(namespace, service_name).and_then(|view| view.import.as_ref()) else {
        return Node::Unknown;
    };
    match service {
        0 => service_node(import),
        1 => below_service(name, import),
        2 => port_node(name, import),
        _ => Node::Impossible,
    }
}

/// `<svc>.<ns>.svc`.
const fn service_node(import: &Import) -> Node<'_> {
    if import.headless { Node::Empty } else { Node::Service { import, service: 0 } }
}

/// `<label>.<svc>.<ns>.svc`: only a protocol with a named port. `<cluster>.<svc>…` must hold no records; below a
/// headless service it may stand above its pods and so is not denied.
fn below_service<'s>(name: &QueryName, import: &'s Import) -> Node<'s> {
    let exists = import.headless
        || protocol(name.label(0)).is_some_and(|p| import.ports.iter().any(|q| q.protocol == p && !q.name.is_empty()));
    if exists { Node::Empty } else { Node::Unknown }
}

/// `<label>.<label>.<svc>.<ns>.svc`.
fn port_node<'s>(name: &QueryName, import: &'s Import) -> Node<'s> {
    if import.headless {
        return Node::Empty;
    }
    let wanted = name.label(0).strip_prefix(b"_").filter(|wanted| !wanted.is_empty());
    let (Some(wanted), Some(protocol)) = (wanted, protocol(name.label(1))) else { return Node::Unknown };
    import
        .ports
        .iter()
        .find(|port| port.protocol == protocol && port.name.as_bytes().eq_ignore_ascii_case(wanted))
        .map_or(Node::Unknown, |port| Node::Port { import, port, service: 2 })
}

fn protocol(label: &[u8]) -> Option<Protocol> {
    match label {
        b"_tcp" => Some(Protocol::Tcp),
        b"_udp" => Some(Protocol::Udp),
        b"_sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}
