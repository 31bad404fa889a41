//! One daemon: its engine, its watches, and what it was seen to hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use strait_catalog::{Catalog, ClusterId, Input, Key, Kind, Peer, Snapshot};

use super::checks::Shadow;
use super::source::{KINDS, Source};
use super::watch::Watches;
use super::world::empty;
use crate::config::DaemonId;
use crate::engine::{Engine, EngineConfig, Limits, SessionId};
use crate::frame::{Body, Frame};

pub(super) struct Node {
    pub(super) cluster: usize,
    pub(super) id: DaemonId,
    /// `None` while it is dead.
    pub(super) engine: Option<Engine>,
    pub(super) incarnation: u32,
    pub(super) watches: Watches,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) wake_at: u64,
    shadow: Shadow,
}

/// An engine as a daemon would make it.
pub(super) fn engine_of(daemon: &DaemonId, seed: u64, catalog: Catalog) -> Engine {
    let expected = if catalog.clusters().next().is_some() { BTreeSet::new() } else { KINDS.into() };
    let config = EngineConfig {
        daemon: daemon.clone(),
        leaf: false,
        expected,
        imports_expected: false,
        seed,
        limits: Limits::default(),
    };
    Engine::new(config, catalog)
}

impl Node {
    pub(super) fn new(cluster: usize, id: DaemonId, own: ClusterId) -> Self {
        Self {
            cluster,
            id,
            engine: None,
            incarnation: 0,
            watches: Watches::default(),
            snapshot: Arc::new(Snapshot::empty(own)),
            wake_at: u64::MAX,
            shadow: Shadow::default(),
        }
    }

    pub(super) fn start(&mut self, now: u64, sources: &[Source], rng: &mut fastrand::Rng) {
        let own = &sources[self.cluster].cluster;
        let mut engine = engine_of(&self.id, rng.u64(..), empty(own));
        let peers = sources.iter().filter(|s| s.cluster != *own).map(|s| Peer {
            cluster: s.cluster.clone(),
            gateways: Vec::new(),
            ca_bundle: String::new(),
            pod_cidrs: Vec::new(),
            namespaces: Vec::new(),
        });
        engine.input(now, Input::Peers(peers.collect()));
        self.engine = Some(engine);
        self.incarnation += 1;
        self.watches = Watches::start(now, rng);
        self.shadow = Shadow::default();
        self.snapshot = Arc::new(Snapshot::empty(own.clone()));
    }

    /// Dies with everything it knew.
    pub(super) fn stop(&mut self) {
        self.engine = None;
        self.wake_at = u64::MAX;
    }

    /// Gives the engine what its watches have brought, and checks after each piece.
    pub(super) fn take_inputs(&mut self, now: u64, sources: &[Source]) -> Result<(), String> {
        if self.engine.is_none() {
            return Ok(());
        }
        self.watches.due(now, &sources[self.cluster]).into_iter().try_for_each(|input| self.input(now, input, sources))
    }

    /// The same for a list out of turn.
    pub(super) fn relist(
        &mut self,
        now: u64,
        kind: Kind,
        sources: &[Source],
        rng: &mut fastrand::Rng,
    ) -> Result<(), String> {
        let list = self.engine.as_ref().and_then(|_| self.watches.relist(kind, &sources[self.cluster], rng));
        list.map_or(Ok(()), |input| self.input(now, input, sources))
    }

    fn input(&mut self, now: u64, input: Input, sources: &[Source]) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let mut keys: Vec<Key> = Vec::new();
        if let Input::Records(records) = &input {
            keys.extend(records.iter().map(|r| r.key().clone()));
        }
        engine.input(now, input);
        if keys.is_empty() {
            keys.extend(engine.catalog().keys(engine.catalog().local()).cloned());
        }
        self.shadow.records(engine, sources, keys)?;
        self.publish(sources)
    }

    /// A frame arrives.
    pub(super) fn frame(&mut self, now: u64, id: SessionId, frame: Frame, sources: &[Source]) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let mut keys = Vec::new();
        if let Some(Body::Push(push)) = &frame.body
            && let Ok(cluster) = ClusterId::parse(&push.cluster)
        {
            let key = |r: &crate::frame::WireRecord| Key {
                cluster: cluster.clone(),
                kind: Kind(r.kind),
                name: r.name.as_str().into(),
            };
            keys.extend(push.records.iter().map(key));
        }
        engine.frame(now, id, frame);
        self.shadow.records(engine, sources, keys)
    }

    /// Publishes if something changed, and checks what readers see then.
    pub(super) fn publish(&mut self, sources: &[Source]) -> Result<(), String> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let Some(snapshot) = engine.publish() else { return Ok(()) };
        self.snapshot = snapshot;
        self.shadow.snapshot(engine, &self.snapshot, sources)
    }
}
