//! A catalog on the one side, an API server that does what it is told on the other, and a clock.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strait_catalog::{
    Authority, Catalog, ExportRecord, Key, Kind, Peer, Record, ServicePort, ServiceRecord, Value, Version,
};

use super::*;
use crate::api::ServiceExport;
use crate::controller::observed::DerivedService;

pub(super) struct Bench {
    pub(super) catalog: Catalog,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) observed: Observed,
    pub(super) memory: Memory,
    pub(super) settings: Settings,
    pub(super) now: Now,
    /// Agents become ready behind a new derived Service at once.
    pub(super) agents: usize,
    revision: u64,
    next_address: u8,
}

pub(super) fn id(name: &str) -> ClusterId {
    ClusterId::parse(name).unwrap()
}

impl Bench {
    /// The controller of us-west, whose peers us-east and eu-west have been heard for long.
    pub(super) fn new() -> Self {
        let mut catalog = Catalog::new(id("us-west"));
        let peer = |name| Peer {
            cluster: id(name),
            gateways: Vec::new(),
            ca_bundle: String::new(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        };
        catalog.set_peers(vec![peer("us-east"), peer("eu-west")]);
        catalog.mark_synced();
        let mut bench = Self {
            snapshot: Arc::new(Snapshot::empty(id("us-west"))),
            catalog,
            observed: Observed {
                namespaces: ["ml", "kube-system", "strait-system"].map(str::to_owned).into(),
                system_uid: Some("ns-uid".into()),
                names: Some(names::render([], "cluster.local")),
                ..Observed::default()
            },
            memory: Memory::default(),
            settings: Settings::default(),
            now: Now { unix_s: 1_700_000_000, mono: Duration::from_secs(1000) },
            agents: 2,
            revision: 100,
            next_address: 1,
        };
        bench.hear_all();
        bench
    }

    pub(super) fn hear(&mut self, cluster: &str) {
        self.catalog.freshness(&id(cluster)).note(1, 0);
        self.publish();
    }

    /// All peers have been heard for long.
    pub(super) fn hear_all(&mut self) {
        self.hear("us-east");
        self.hear("eu-west");
        let _ = unsettled(self.world_now(), &mut self.memory.clone());
        let mut memory = std::mem::take(&mut self.memory);
        let _ = unsettled(self.world_now(), &mut memory);
        self.memory = memory;
        self.advance(10);
    }

    /// As after a restart: nothing is known of that cluster.
    pub(super) fn forget(&mut self, cluster: &str) {
        let peers = self.forget_peer(cluster);
        self.know_peers(peers);
    }

    /// The same, and not even that it is a peer.
    pub(super) fn forget_peer(&mut self, cluster: &str) -> Vec<Peer> {
        let peers: Vec<_> = self.catalog.peers().values().cloned().collect();
        self.catalog.set_peers(peers.iter().filter(|p| p.cluster != id(cluster)).cloned().collect());
        self.publish();
        peers
    }

    pub(super) fn know_peers(&mut self, peers: Vec<Peer>) {
        self.catalog.set_peers(peers);
        self.publish();
    }

    fn publish(&mut self) {
        if let Some(next) = self.catalog.publish() {
            self.snapshot = next;
        }
    }

    fn put(&mut self, cluster: &str, kind: Kind, service: &str, value: Option<Value>) {
        self.revision += 1;
        let at = Key::of_service(&id(cluster), kind, &key(service));
        let version = Version::new(0, self.revision);
        let record = match value {
            Some(value) => Record::live(at, version, value),
            None => Record::tombstone(at, version),
        };
        self.catalog.apply(record, Authority::Owner, 0);
        self.publish();
    }

    /// The own source reads an object at its next revision.
    pub(super) fn source_reads(&mut self, record: impl FnOnce(Version) -> Record) {
        self.revision += 1;
        self.catalog.apply(record(Version::new(0, self.revision)), Authority::Owner, 0);
        self.publish();
    }

    /// The own source reads the ServiceImport.
    pub(super) fn import_is_read(&mut self, service: &str) {
        self.catalog.set_import(key(service), Some(strait_catalog::Import::default()));
        self.publish();
    }

    pub(super) fn export(&mut self, cluster: &str, service: &str, created: i64, ports: &[(&str, u32)]) {
        self.export_with(cluster, service, created, ports, |_, _| ());
    }

    pub(super) fn export_with(
        &mut self,
        cluster: &str,
        service: &str,
        created: i64,
        ports: &[(&str, u32)],
        edit: impl FnOnce(&mut ServiceRecord, &mut ExportRecord),
    ) {
        let mut export = ExportRecord { created_unix_s: created, ..ExportRecord::default() };
        let mut record = ServiceRecord {
            ports: ports
                .iter()
                .map(|(name, port)| ServicePort { name: (*name).into(), port: *port, ..ServicePort::default() })
                .collect(),
            ..ServiceRecord::default()
        };
        edit(&mut record, &mut export);
        if cluster == "us-west" {
            let (namespace, name) = service.split_once('/').unwrap();
            let mut object = ServiceExport::new(namespace, name);
            if export.plain_name {
                object.metadata.annotations = Some([("strait.dev/plain-name".to_owned(), "true".to_owned())].into());
            }
            self.observed.exports.insert(key(service), object);
        }
        self.put(cluster, Kind::SERVICE, service, Some(Value::Service(record)));
        self.put(cluster, Kind::EXPORT, service, Some(Value::Export(export)));
    }

    pub(super) fn local_service(&mut self, service: &str, edit: impl FnOnce(&mut ServiceRecord)) {
        let mut record = ServiceRecord::default();
        edit(&mut record);
        self.put("us-west", Kind::SERVICE, service, Some(Value::Service(record)));
    }

    pub(super) fn delete_service(&mut self, cluster: &str, service: &str) {
        self.put(cluster, Kind::SERVICE, service, None);
    }

    pub(super) fn unexport(&mut self, cluster: &str, service: &str) {
        if cluster == "us-west" {
            self.observed.exports.remove(&key(service));
        }
        self.put(cluster, Kind::EXPORT, service, None);
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now.mono += Duration::from_secs(seconds);
        self.now.unix_s += i64::try_from(seconds).unwrap();
    }

    fn world_now(&self) -> World<'_> {
        World { snapshot: &self.snapshot, observed: &self.observed, settings: &self.settings, now: self.now }
    }

    pub(super) fn pass(&mut self) -> Plan {
        let mut memory = std::mem::take(&mut self.memory);
        let plan = plan(self.world_now(), &mut memory);
        self.memory = memory;
        plan
    }

    /// Passes until nothing is left to do; panics when that does not end.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            let plan = self.pass();
            if plan.actions.is_empty() {
                return;
            }
            self.apply(plan);
        }
        let plan = self.pass();
        panic!("never at rest: {:?}", plan.actions);
    }

    pub(super) fn apply(&mut self, plan: Plan) {
        for action in plan.actions {
            self.apply_one(action);
        }
    }

    /// What an API server makes of it.
    fn apply_one(&mut self, action: Action) {
        match action {
            Action::WriteNames(text) => self.observed.names = Some(text),
            Action::ApplyDerived { name, service, ports, same_node } => {
                self.next_address += 1;
                let fresh = [10, 111, 0, self.next_address].into();
                let held = self.observed.derived.get(&name);
                let derived = DerivedService {
                    uid: format!("uid-{name}"),
                    service: Some(service),
                    ports,
                    addresses: held.map_or_else(|| vec![fresh], |d| d.addresses.clone()),
                    families: vec!["IPv4".into()],
                    distribution: if same_node { "PreferSameNode" } else { "" }.into(),
                    selects_agents: true,
                    leaving: false,
                };
                self.observed.ready.insert(name.clone(), self.agents);
                self.observed.derived.insert(name, derived);
            }
            Action::ApplyImport(import) => {
                let meta = &import.metadata;
                let at = ServiceKey::new(meta.namespace.as_ref().unwrap(), meta.name.as_ref().unwrap()).unwrap();
                let mut import = *import;
                import.metadata.uid = Some(format!("uid-{at}"));
                import.status = self.observed.imports.get(&at).and_then(|i| i.status.clone());
                self.observed.imports.insert(at, import);
            }
            Action::ImportStatus(service, status) => {
                self.observed.imports.get_mut(&service).unwrap().status = Some(*status);
            }
            Action::ExportStatus(service, status) => {
                self.observed.exports.get_mut(&service).unwrap().status = Some(*status);
            }
            Action::PolicyStatus(policy, status) => {
                self.observed.policies.get_mut(&policy).unwrap().status = Some(*status);
            }
            Action::DeleteImport(service, uid) => {
                let gone = self.observed.imports.remove(&service).unwrap();
                assert_eq!(gone.metadata.uid, Some(uid));
            }
            Action::DeleteDerived { name, uid, .. } => {
                let gone = self.observed.derived.remove(&name).unwrap();
                assert_eq!(gone.uid, uid);
                self.observed.ready.remove(&name);
            }
        }
    }

    /// Type, status and reason of one condition of an own export.
    pub(super) fn export_condition(&self, service: &str, type_: &str) -> (String, String, String) {
        let found = |c: &Condition| (c.type_.clone(), c.status.clone(), c.reason.clone());
        let status = self.observed.exports[&key(service)].status.as_ref().unwrap();
        status.conditions.iter().find(|c| c.type_ == type_).map(found).unwrap()
    }
}
