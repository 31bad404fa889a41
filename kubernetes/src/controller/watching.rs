//! The controller's own watches: the few kinds that it writes, kept as they stand.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use strait_catalog::ServiceKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::naming::{DERIVED_NAME, KUBE_SYSTEM, NAMES_CONFIG_MAP, NAMES_KEY};
use super::observed::{DerivedService, ObjectKey, Observed};
use crate::api::{ClusterPeer, SYSTEM_NAMESPACE, ServiceExport, ServiceImport, TrafficPolicy};

/// How long one watch request lasts, in seconds: a half-dead connection is noticed soon after.
const WATCH_SECONDS: u32 = 55;

type Map<V> = Option<BTreeMap<String, V>>;

/// What the watches hold; a map is absent until its first list is complete.
#[derive(Clone, Debug, Default)]
struct Held {
    namespaces: Map<Option<String>>,
    exports: Map<ServiceExport>,
    imports: Map<ServiceImport>,
    derived: Map<(String, DerivedService)>,
    names: Map<String>,
    peers: Map<ClusterPeer>,
    /// An API server from before the kind does not serve it: it is not waited for.
    policies: Map<TrafficPolicy>,
}

/// What the controller watches. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    held: Arc<Mutex<Held>>,
    changed: Arc<Notify>,
}

impl Watched {
    /// Starts all watches.
    pub(super) fn start(&self, client: &Client, tracker: &TaskTracker, stop: &CancellationToken) {
        let system = |c: &Client| Api::<Service>::namespaced(c.clone(), SYSTEM_NAMESPACE);
        let all = Config::default();
        let names = Config::default().fields(&format!("metadata.name={NAMES_CONFIG_MAP}"));
        let spaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
        self.follow(
            spaces,
            all.clone(),
            tracker,
            stop,
            |h| &mut h.namespaces,
            |n| n.metadata.deletion_timestamp.is_none().then(|| n.metadata.uid.clone()),
        );
        self.follow(
            Api::all(client.clone()),
            all.clone(),
            tracker,
            stop,
            |h| &mut h.exports,
            |e: ServiceExport| Some(bare(e)),
        );
        self.follow(
            Api::all(client.clone()),
            all.clone(),
            tracker,
            stop,
            |h| &mut h.imports,
            |i: ServiceImport| Some(bare(i)),
        );
        let derived = Config::default().labels(DERIVED_NAME);
        self.follow(system(client), derived, tracker, stop, |h| &mut h.derived, |s: Service| DerivedService::read(&s));
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), KUBE_SYSTEM);
        self.follow(
            maps,
            names,
            tracker,
            stop,
            |h| &mut h.names,
            |m: ConfigMap| Some(m.data.unwrap_or_default().remove(NAMES_KEY).unwrap_or_default()),
        );
        let policies = Api::all(client.clone());
        self.follow(policies, all.clone(), tracker, stop, |h| &mut h.policies, |p: TrafficPolicy| Some(bare(p)));
        self.follow(Api::all(client.clone()), all, tracker, stop, |h| &mut h.peers, |p: ClusterPeer| Some(bare(p)));
    }

    fn follow<K, V>(
        &self,
        api: Api<K>,
        config: Config,
        tracker: &TaskTracker,
        stop: &CancellationToken,
        place: fn(&mut Held) -> &mut Map<V>,
        read: fn(K) -> Option<V>,
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        K::DynamicType: Default + Clone + Send + Sync,
        V: Send + 'static,
    {
        let (this, stop) = (self.clone(), stop.clone());
        let kind = K::kind(&K::DynamicType::default()).into_owned();
        tracker.spawn(async move {
            let events = watcher(api, config.timeout(WATCH_SECONDS)).default_backoff();
            let mut events = std::pin::pin!(events);
            let (mut listing, mut troubled) = (BTreeMap::new(), false);
            loop {
                let event = tokio::select! {
                    () = stop.cancelled() => return,
                    event = events.next() => event,
                };
                match event {
                    None => return,
                    Some(Ok(event)) => {
                        troubled = false;
                        this.take(event, &mut listing, place, read);
                    }
                    Some(Err(error)) if !troubled => {
                        troubled = true;
                        tracing::warn!(kind, %error, "watch failed; trying again");
                    }
                    Some(Err(_)) => {}
                }
            }
        });
    }

    fn take<K: Resource, V>(
        &self,
        event: Event<K>,
        listing: &mut BTreeMap<String, V>,
        place: fn(&mut Held) -> &mut Map<V>,
        read: fn(K) -> Option<V>,
    ) {
        let key = |object: &K| format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(object) => {
                let at = key(&object);
                listing.extend(read(object).map(|value| (at, value)));
            }
            Event::InitDone => {
                let listed = std::mem::take(listing);
                *place(&mut self.lock()) = Some(listed);
                self.changed.notify_one();
            }
            Event::Apply(object) => {
                let at = key(&object);
                let value = read(object);
                if let Some(map) = place(&mut self.lock()) {
                    match value {
                        Some(value) => map.insert(at, value),
                        None => map.remove(&at),
                    };
                }
                self.changed.notify_one();
            }
            Event::Delete(object) => {
                if let Some(map) = place(&mut self.lock()) {
                    map.remove(&key(&object));
                }
                self.changed.notify_one();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        // A panic while it was held would have been in the small assignments above, which cannot panic half way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changed since the last wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The kinds whose first list is still awaited.
    pub(super) fn awaited(&self) -> Vec<&'static str> {
        let held = self.lock();
        let all = [
            ("Namespace", held.namespaces.is_some()),
            ("ServiceExport", held.exports.is_some()),
            ("ServiceImport", held.imports.is_some()),
            ("Service", held.derived.is_some()),
            ("ConfigMap kube-system/coredns-strait", held.names.is_some()),
            ("ClusterPeer", held.peers.is_some()),
        ];
        all.into_iter().filter(|(_, done)| !done).map(|(kind, _)| kind).collect()
    }

    /// What stands, once every first list is complete.
    pub(super) fn observed(&self) -> Option<Observed> {
        let held = self.lock().clone();
        held.peers.as_ref()?;
        let namespaces = held.namespaces?;
        let system_uid = namespaces.get(&format!("/{SYSTEM_NAMESPACE}")).cloned().flatten();
        Some(Observed {
            system_uid,
            namespaces: namespaces.into_keys().map(|key| key.trim_start_matches('/').to_owned()).collect(),
            exports: by_service(held.exports?),
            policies: held.policies.unwrap_or_default().into_iter().filter_map(named).collect(),
            imports: by_service(held.imports?),
            derived: held.derived?.into_values().collect(),
            ready: BTreeMap::new(),
            names: held.names?.into_values().next(),
        })
    }

    /// The ClusterPeers by name, once their first list is complete.
    pub(super) fn peers(&self) -> Option<BTreeMap<String, ClusterPeer>> {
        let held = self.lock().peers.clone()?;
        Some(held.into_iter().map(|(key, peer)| (key.trim_start_matches('/').to_owned(), peer)).collect())
    }
}

/// Names that are no DNS labels (possible for custom resources) belong to no Service and are left out.
fn by_service<V>(map: BTreeMap<String, V>) -> BTreeMap<ServiceKey, V> {
    map.into_iter().filter_map(|(key, value)| Some((ServiceKey::parse(&key).ok()?, value))).collect()
}

fn named<V>((key, value): (String, V)) -> Option<(ObjectKey, V)> {
    let (namespace, name) = key.split_once('/')?;
    Some((ObjectKey { namespace: namespace.into(), name: name.into() }, value))
}

fn bare<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

/// Reads ServiceImports and derived Services anew, from a quorum: what a predecessor wrote last is in it.
pub(super) async fn fresh(client: &Client) -> Result<Observed, kube::Error> {
    let everything = kube::api::ListParams::default();
    let imports: Api<ServiceImport> = Api::all(client.clone());
    let services: Api<Service> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let imports = imports.list(&everything).await?;
    let services = services.list(&everything.labels(DERIVED_NAME)).await?;
    let key = |i: &ServiceImport| ServiceKey::new(&i.namespace().unwrap_or_default(), &i.name_any()).ok();
    Ok(Observed {
        imports: imports.items.into_iter().filter_map(|i| Some((key(&i)?, i))).collect(),
        derived: services.items.iter().filter_map(DerivedService::read).collect(),
        ..Observed::default()
    })
}
