//! The source against a real API server: one plane, one story, since a plane takes long to start.
//!
//! Needs `etcd` and `kube-apiserver` in `KUBEBUILDER_ASSETS` or in `strait/bin` of the user's cache. Without them it
//! says SKIP, and fails where `CI` is set.
#![allow(missing_docs, clippy::unwrap_used)]

mod plane;
mod relay;
mod witness;

use std::io::Write as _;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::json;
use strait_catalog::{ClusterId, Key, Kind, ServiceKey, Value, Version};
use strait_kubernetes::api::{ClusterPeer, PolicyMode, ServiceExport, ServiceImport, TrafficPolicy, crds};
use strait_kubernetes::epoch::raise_epoch;
use strait_kubernetes::source::{self, SourceConfig, SourceStatus, WatchState};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use plane::Plane;
use relay::Relay;
use witness::Witness;

fn cluster() -> ClusterId {
    ClusterId::parse("us-west").unwrap()
}

fn service() -> ServiceKey {
    ServiceKey::parse("ml/model").unwrap()
}

fn key(kind: Kind) -> Key {
    Key::of_service(&cluster(), kind, &service())
}

async fn create<K>(api: Api<K>, object: serde_json::Value) -> Result<K, kube::Error>
where
    K: Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
}

fn revision_of(meta: &kube::core::ObjectMeta) -> Version {
    Version::new(0, meta.resource_version.as_ref().unwrap().parse().unwrap())
}

fn state(status: &SourceStatus, kind: &str) -> WatchState {
    status.report().iter().find(|line| line.kind == kind).unwrap().state
}

/// Applies the agent's rights as they are shipped: the source runs with these and no others.
async fn grant_agent(admin: &Client) {
    create::<Namespace>(Api::all(admin.clone()), json!({"metadata": {"name": "strait-system"}})).await.unwrap();
    for text in include_str!("../../../deploy/base/agent-rbac.yaml").split("\n---\n") {
        let object: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let path = match object["kind"].as_str().unwrap() {
            "ClusterRole" => format!("{rbac}/clusterroles"),
            "ClusterRoleBinding" => format!("{rbac}/clusterrolebindings"),
            "Role" => format!("{rbac}/namespaces/strait-system/roles"),
            "RoleBinding" => format!("{rbac}/namespaces/strait-system/rolebindings"),
            "ServiceAccount" => continue,
            other => panic!("{other}"),
        };
        let body = serde_json::to_vec(&object).unwrap();
        let request = http::Request::post(path).header("content-type", "application/json").body(body).unwrap();
        admin.request_text(request).await.unwrap();
    }
}

/// The source, its receiving end, and the administrator's own way to the API server.
struct Story {
    plane: Plane,
    relay: Relay,
    admin: Client,
    witness: Witness,
    status: SourceStatus,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Story {
    async fn begin(assets: std::path::PathBuf) -> Self {
        let plane = Plane::start(assets).await;
        let relay = Relay::to(plane.port()).await;
        let admin = plane.client(plane.port(), "admin").await;
        grant_agent(&admin).await;
        let (tx, rx) = mpsc::channel(64);
        let (status, stop) = (SourceStatus::new(), CancellationToken::new());
        let config = SourceConfig {
            cluster: cluster(),
            epoch: 0,
            gateway_port: Some(31_443),
            bind: "0.0.0.0".parse().unwrap(),
            server: format!("https://127.0.0.1:{}", plane.port()),
        };
        let client = plane.client(relay.port(), "agent").await;
        let task = tokio::spawn(source::run(client, config, tx, status.clone(), stop.clone()));
        Self { plane, relay, admin, witness: Witness::new(cluster(), rx), status, stop, task }
    }

    async fn ml<K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>>(&self) -> Api<K>
    where
        K::DynamicType: Default,
    {
        Api::namespaced(self.admin.clone(), "ml")
    }

    /// Nothing is there yet: no custom resources, no namespace of ours. All kinds are listed all the same.
    async fn an_empty_cluster_syncs(&mut self) {
        let kubernetes = Key::of_service(&cluster(), Kind::SERVICE, &ServiceKey::parse("default/kubernetes").unwrap());
        let kinds = [Kind::CLUSTER, Kind::SERVICE, Kind::EXPORT, Kind::SLICE, Kind::GATEWAY, Kind::POLICY];
        self.witness.until("a first list of every kind", |w| kinds.iter().all(|kind| w.listed(*kind) == 1)).await;
        self.witness.until("the API server's own Service", |w| w.live(&kubernetes)).await;
        self.status.wait_synced().await;
        for kind in ["ServiceExport", "ServiceImport", "ClusterPeer", "TrafficPolicy"] {
            assert_eq!(state(&self.status, kind), WatchState::Absent, "{kind}");
        }
        assert_eq!(state(&self.status, "Service"), WatchState::Watching);
    }

    async fn objects_arrive_at_their_own_revision(&mut self) {
        let meta = |name: &str| json!({"metadata": {"name": name}});
        create::<Namespace>(Api::all(self.admin.clone()), meta("ml")).await.unwrap();
        let made: Service = create(
            self.ml().await,
            json!({"metadata": {"name": "model"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        )
        .await
        .unwrap();
        self.witness.until("the Service", |w| w.live(&key(Kind::SERVICE))).await;
        assert_eq!(self.witness.record(&key(Kind::SERVICE)).unwrap().version(), revision_of(&made.metadata));

        let config = json!({"metadata": {"name": "strait-cluster"},
            "data": {"id": "us-west", "region": "us-west-2", "podCIDRs": "10.11.0.0/16"}});
        create::<ConfigMap>(Api::namespaced(self.admin.clone(), "strait-system"), config).await.unwrap();
        self.witness.until("the Cluster record", |w| w.live(&Key::of_cluster(&cluster()))).await;

        let node = json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "us-west-1a"}}});
        create::<Node>(Api::all(self.admin.clone()), node).await.unwrap();
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.77.0.11"}],
            "conditions": [{"type": "Ready", "status": "True"}]}});
        let nodes: Api<Node> = Api::all(self.admin.clone());
        nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        let gateway = Key::of_gateway(&cluster(), "n1");
        let ready = |w: &Witness| {
            matches!(w.record(&gateway).and_then(|r| r.value()),
            Some(Value::Gateway(g)) if g.ready && g.address == "10.77.0.11:31443" && g.zone == "us-west-1a")
        };
        self.witness.until("the node's gateway", ready).await;
    }

    async fn custom_resources_appear_with_their_crds(&mut self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.admin.clone());
        let upstream = [
            include_str!("../../../deploy/mcs/multicluster.x-k8s.io_serviceexports.yaml"),
            include_str!("../../../deploy/mcs/multicluster.x-k8s.io_serviceimports.yaml"),
        ];
        let upstream = upstream.map(|text| serde_saphyr::from_str::<CustomResourceDefinition>(text).unwrap());
        for crd in upstream.into_iter().chain(crds()) {
            api.create(&PostParams::default(), &crd).await.unwrap();
        }
        let made = self.create_export().await;
        self.witness.until("the export", |w| w.live(&key(Kind::EXPORT))).await;
        assert_eq!(self.witness.record(&key(Kind::EXPORT)).unwrap().version(), revision_of(&made.metadata));

        let import = json!({"apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": "ServiceImport",
            "metadata": {"name": "model", "annotations": {"strait.dev/listeners": r#"{"80/TCP":20017}"#}},
            "spec": {"type": "ClusterSetIP", "ips": ["10.96.7.7"], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}});
        create::<ServiceImport>(self.ml().await, import).await.unwrap();
        self.witness.until("the import", |w| w.imports.contains_key(&service())).await;
        let port = &self.witness.imports[&service()].ports[0];
        assert_eq!(port.listener, Some("0.0.0.0:20017".parse().unwrap()));
        let imports: Api<ServiceImport> = self.ml().await;
        imports.delete("model", &DeleteParams::default()).await.unwrap();
        self.witness.until("the import's end", |w| w.imports.is_empty()).await;
    }

    async fn create_export(&self) -> ServiceExport {
        let api: Api<ServiceExport> = self.ml().await;
        let export = ServiceExport::new("ml", "model");
        // A CRD takes a moment until it is served.
        for _ in 0..150 {
            match api.create(&PostParams::default(), &export).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                other => return other.unwrap(),
            }
        }
        panic!("ServiceExports are not served");
    }

    async fn peers_are_checked_by_their_schema(&mut self) {
        let peer = |name: &str, spec: serde_json::Value| json!({"apiVersion": "strait.dev/v1alpha1", "kind": "ClusterPeer", "metadata": {"name": name}, "spec": spec});
        for (name, spec) in [
            ("us-east", json!({"clusterID": "other"})),
            ("us-east", json!({"clusterID": "us-east", "gateways": ["no port"]})),
            ("us-east", json!({"clusterID": "us-east", "podCIDRs": ["10.0.0.0"]})),
            ("us.east", json!({"clusterID": "us.east"})),
            ("us-east", json!({"clusterID": ""})),
        ] {
            let refused = create::<ClusterPeer>(Api::all(self.admin.clone()), peer(name, spec.clone())).await;
            assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 422), "{spec}: {refused:?}");
        }
        let good = json!({"clusterID": "us-east", "gateways": ["10.77.0.12:31443", "[fd00::1]:443", "gw.example:443"],
            "podCIDRs": ["10.12.0.0/16", "fd00:12::/48"], "caBundle": "PEM", "namespaces": ["ml"]});
        create::<ClusterPeer>(Api::all(self.admin.clone()), peer("us-east", good)).await.unwrap();
        self.witness.until("the peer", |w| w.peers.len() == 1).await;
        assert_eq!(self.witness.peers[0].gateways.len(), 3);
        let renamed = json!({"spec": {"clusterID": "us-west"}});
        let api: Api<ClusterPeer> = Api::all(self.admin.clone());
        assert!(api.patch("us-east", &PatchParams::default(), &Patch::Merge(&renamed)).await.is_err(), "immutable");
    }

    async fn create_slice(&self) -> Key {
        let slice = json!({"metadata": {"name": "model-1", "labels": {"kubernetes.io/service-name": "model"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": ["10.11.0.5"]}]});
        let made: EndpointSlice = create(self.ml().await, slice).await.unwrap();
        Key::of_slice(&cluster(), &service(), made.metadata.uid.as_ref().unwrap())
    }

    /// The connection breaks, the object goes, the connection returns: the watch resumes and tells of the deletion.
    /// The schema refuses what no agent could follow, and fills in what is left out.
    async fn policies_are_checked_by_their_schema_and_followed(&mut self) {
        let policy = |name: &str, spec: serde_json::Value| json!({"apiVersion": "strait.dev/v1alpha1", "kind": "TrafficPolicy", "metadata": {"name": name}, "spec": spec});
        let api: Api<TrafficPolicy> = self.ml().await;
        for (what, more) in [
            ("needs the clusters in order", json!({"mode": "Ordered"})),
            ("list clusters", json!({"mode": "Nearest", "clusters": [{"cluster": "a"}]})),
            ("for mode Spread only", json!({"mode": "Ordered", "clusters": [{"cluster": "a", "weight": 2}]})),
            ("one weight above 0", json!({"mode": "Spread", "clusters": [{"cluster": "a", "weight": 0}]})),
            ("listed twice", json!({"mode": "Ordered", "clusters": [{"cluster": "a"}, {"cluster": "a"}]})),
            ("overprovisioningPercent", json!({"spill": {"overprovisioningPercent": 99}})),
            ("should match", json!({"timeouts": {"request": "soon"}})),
            ("expected 1ms to 1h", json!({"timeouts": {"request": "2h"}})),
            ("request must not be below attempt", json!({"timeouts": {"request": "1s", "attempt": "2s"}})),
            ("rampMax must not be below ramp", json!({"failback": {"ramp": "1m", "rampMax": "59s"}})),
            ("is for a Service", json!({"targetRef": {"kind": "Pod", "name": "model"}})),
        ] {
            let mut spec = json!({"targetRef": {"name": "model"}});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let refused = create(api.clone(), policy("wrong", spec.clone())).await;
            let error = refused.expect_err(&format!("{spec} is taken")).to_string();
            assert!(error.contains(what), "{spec}: {error}");
        }
        let sample: serde_json::Value =
            serde_saphyr::from_str(include_str!("../../../deploy/samples/traffic-policy.yaml")).unwrap();
        let made = create(api.clone(), policy("p", sample["spec"].clone())).await.unwrap();
        let key = Key::of_policy(&cluster(), &ServiceKey::parse("ml/model-server").unwrap(), "p");
        self.witness.until("the policy", |w| w.live(&key)).await;
        let record = self.witness.record(&key).unwrap();
        assert_eq!(record.version(), revision_of(&made.metadata));
        let created = made.metadata.creation_timestamp.as_ref().unwrap().0.as_second();
        assert_eq!(record.value(), Some(&Value::Policy(made.spec.record(created).unwrap())));

        // Another target is another record.
        let moved = json!({"spec": {"targetRef": {"name": "model"}}});
        api.patch("p", &PatchParams::default(), &Patch::Merge(&moved)).await.unwrap();
        let next = Key::of_policy(&cluster(), &service(), "p");
        self.witness.until("the policy of the other Service", |w| w.live(&next) && !w.live(&key)).await;
        let plain = create(api.clone(), policy("plain", json!({"targetRef": {"name": "other"}}))).await.unwrap();
        assert_eq!((plain.spec.mode, plain.spec.target_ref.kind.as_str()), (PolicyMode::LocalFirst, "Service"));
        for name in ["p", "plain"] {
            api.delete(name, &DeleteParams::default()).await.unwrap();
        }
        self.witness.until("the policy's end", |w| !w.live(&next)).await;
    }

    async fn a_deletion_during_a_short_break_is_told(&mut self) {
        let slice = self.create_slice().await;
        self.witness.until("the slice", |w| w.live(&slice)).await;
        let lists = self.witness.listed(Kind::SLICE);
        self.relay.pull();
        let slices: Api<EndpointSlice> = self.ml().await;
        slices.delete("model-1", &DeleteParams::default()).await.unwrap();
        self.relay.plug();
        self.witness.until("the slice's end", |w| w.buried(&slice)).await;
        assert_eq!(self.witness.listed(Kind::SLICE), lists, "resumed, not listed again");
    }

    /// The API server is killed and started again: the watches go on.
    async fn a_restarted_api_server_is_found_again(&mut self) {
        self.plane.kill_api();
        let status = self.status.clone();
        while status.broken_for().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(status.synced(), "trouble after the first list is a matter of age");
        self.plane.start_api().await;
        let slice = self.create_slice().await;
        self.witness.until("a slice after the restart", |w| w.live(&slice)).await;
        assert!(self.witness.live(&key(Kind::SERVICE)), "what was known is kept");
    }

    /// The watch is away for so long that its revision is gone (410): a list finds out what was deleted.
    async fn a_deletion_during_a_long_break_is_found_by_a_list(&mut self) {
        let lists = self.witness.listed(Kind::SERVICE);
        let before = self.witness.record(&key(Kind::SERVICE)).unwrap().version();
        self.relay.pull();
        let services: Api<Service> = self.ml().await;
        services.delete("model", &DeleteParams::default()).await.unwrap();
        // A server that starts anew remembers no events from before.
        self.plane.kill_api();
        self.plane.start_api().await;
        self.relay.plug();
        self.witness.until("the Service's end", |w| w.buried(&key(Kind::SERVICE))).await;
        assert!(self.witness.listed(Kind::SERVICE) > lists, "found by a list");
        assert!(self.witness.record(&key(Kind::SERVICE)).unwrap().version() > before);
    }

    async fn a_removed_crd_takes_its_objects_along(&mut self) {
        assert!(self.witness.live(&key(Kind::EXPORT)));
        let api: Api<CustomResourceDefinition> = Api::all(self.admin.clone());
        api.delete("serviceexports.multicluster.x-k8s.io", &DeleteParams::default()).await.unwrap();
        self.witness.until("the export's end", |w| w.buried(&key(Kind::EXPORT))).await;
        let status = self.status.clone();
        let absent = async {
            while state(&status, "ServiceExport") != WatchState::Absent {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), absent).await.expect("an absent kind");
        assert!(self.status.synced());
    }

    async fn a_raised_epoch_reaches_every_record(&mut self) {
        assert_eq!(raise_epoch(self.admin.clone(), 0).await.unwrap(), 1);
        assert_eq!(raise_epoch(self.admin.clone(), 0).await.unwrap(), 1, "raised by another already");
        self.all_at_epoch(1).await;
        assert_eq!(raise_epoch(self.admin.clone(), 1).await.unwrap(), 2);
        self.all_at_epoch(2).await;
    }

    async fn all_at_epoch(&mut self, epoch: u64) {
        let all_new = |w: &Witness| {
            let mut live = w.catalog.view(&cluster(), strait_catalog::Audience::Sibling).peekable();
            live.peek().is_some() && live.all(|record| record.version().epoch == epoch)
        };
        self.witness.until("every record at the new epoch", all_new).await;
    }

    /// etcd comes back from a backup: nothing of it is believed until the epoch is raised, and then all of it is.
    async fn a_restored_etcd_waits_for_a_new_epoch(&mut self) {
        self.plane.back_up().await;
        let late = Key::of_service(&cluster(), Kind::SERVICE, &ServiceKey::parse("ml/late").unwrap());
        // The restarted server writes some objects of its own; the backup must stay clearly behind.
        for number in 0..200 {
            let map = json!({"metadata": {"name": format!("filler-{number}")}});
            create::<ConfigMap>(self.ml().await, map).await.unwrap();
        }
        let made = json!({"metadata": {"name": "late"}, "spec": {"ports": [{"port": 80}]}});
        create::<Service>(self.ml().await, made).await.unwrap();
        self.witness.until("a Service that the backup lacks", |w| w.live(&late)).await;
        let epoch = self.witness.record(&late).unwrap().version().epoch;

        self.plane.restore().await;
        let status = self.status.clone();
        let noticed = async {
            while !status.report().iter().any(|line| line.kind == "Service" && line.error.contains("strait-epoch")) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let noticed = tokio::time::timeout(std::time::Duration::from_secs(120), noticed).await;
        assert!(noticed.is_ok(), "revisions that went back were not noticed: {:#?}", self.status.report());
        assert!(self.witness.live(&late), "nothing of the restored server was told");
        let raised = raise_epoch(self.admin.clone(), epoch).await.unwrap();
        self.witness.until("the end of what the backup lacks", |w| w.buried(&late)).await;
        assert_eq!(self.witness.record(&late).unwrap().version().epoch, raised);
        let other = Key::of_service(&cluster(), Kind::SERVICE, &ServiceKey::parse("default/kubernetes").unwrap());
        self.witness
            .until("what the backup has", |w| w.record(&other).is_some_and(|r| r.version().epoch == raised))
            .await;
        assert!(self.witness.live(&other));
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(std::time::Duration::from_secs(10), self.task).await.expect("a prompt end").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_follow_a_real_api_server() {
    let Some(assets) = plane::assets() else {
        assert!(!in_ci(), "etcd and kube-apiserver are needed: set KUBEBUILDER_ASSETS");
        let what =
            "SKIP: watches against a real API server: no etcd and kube-apiserver in KUBEBUILDER_ASSETS or the cache";
        // Past the capture of tests that pass.
        let _ = writeln!(std::io::stderr(), "{what}");
        return;
    };
    let mut story = Story::begin(assets).await;
    story.an_empty_cluster_syncs().await;
    story.objects_arrive_at_their_own_revision().await;
    story.custom_resources_appear_with_their_crds().await;
    story.peers_are_checked_by_their_schema().await;
    story.policies_are_checked_by_their_schema_and_followed().await;
    story.a_deletion_during_a_short_break_is_told().await;
    story.a_restarted_api_server_is_found_again().await;
    story.a_deletion_during_a_long_break_is_found_by_a_list().await;
    story.a_removed_crd_takes_its_objects_along().await;
    story.a_raised_epoch_reaches_every_record().await;
    story.a_restored_etcd_waits_for_a_new_epoch().await;
    story.end().await;
}

/// Whether this runs for a merge gate, where nothing may be left out.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|v| !v.is_empty() && v != "false" && v != "0")
}
