//! Random changes at an API server, of the sorts that real ones see.

use strait_catalog::{
    ClusterRecord, ExportRecord, GatewayRecord, Key, Kind, ServiceKey, ServicePort, ServiceRecord, SliceEndpoint,
    SliceRecord, Value, ZoneCounts,
};

use super::source::Source;

/// Every third service may be deleted or scaled to nothing; the others always have a ready endpoint.
fn mortal(number: usize) -> bool {
    number.is_multiple_of(3)
}

fn service_key(number: usize) -> ServiceKey {
    ServiceKey::parse(&format!("ns-{}/svc-{number}", number % 2)).expect("two labels")
}

fn slice_value(ready: u32, headless: bool, rng: &mut fastrand::Rng) -> Value {
    let total = ready + rng.u32(0..2);
    let zone = ZoneCounts { zone: "a".into(), ready, serving: ready, terminating: total - ready, total };
    let endpoints = (0..total).map(|i| SliceEndpoint {
        addresses: vec![format!("10.0.{}.{i}", rng.u8(1..=250))],
        ready: i < ready,
        serving: i < ready,
        terminating: i >= ready,
        ..SliceEndpoint::default()
    });
    Value::Slice(SliceRecord { zones: vec![zone], endpoints: endpoints.collect(), ports: Vec::new(), headless })
}

impl Source {
    /// One change, or the few that belong together.
    pub(super) fn random_write(&mut self, at_ms: u64, services: usize, rng: &mut fastrand::Rng) {
        let number = rng.usize(0..services);
        let service = service_key(number);
        let exists = self.objects.contains_key(&Key::of_service(&self.cluster, Kind::SERVICE, &service));
        if !exists {
            return self.create(at_ms, number, &service, rng);
        }
        match rng.u8(0..20) {
            0..8 => self.scale(at_ms, number, &service, rng),
            8..11 => self.roll(at_ms, number, &service, rng),
            11..15 => self.toggle_export(at_ms, &service, rng),
            15 if mortal(number) => self.remove(at_ms, &service, rng),
            16 => self.gateway(at_ms, rng),
            17 => {
                let key = Key { cluster: self.cluster.clone(), kind: Kind(77), name: "later".into() };
                self.put_opaque(at_ms, key, vec![rng.u8(..); 5].into());
            }
            18 => {
                let key = Key::of_cluster(&self.cluster);
                let region = format!("region-{}", rng.u8(0..3));
                self.put(at_ms, key, Value::Cluster(ClusterRecord { region, ..ClusterRecord::default() }));
            }
            // A revision that belongs to an object nobody watches.
            _ => self.revision += 1,
        }
    }

    fn add_slice(&mut self, at_ms: u64, number: usize, service: &ServiceKey, rng: &mut fastrand::Rng) {
        let uid = format!("uid-{}", self.revision + 1);
        let value = slice_value(rng.u32(1..4), number == 1, rng);
        self.put(at_ms, Key::of_slice(&self.cluster, service, &uid), value);
    }

    fn create(&mut self, at_ms: u64, number: usize, service: &ServiceKey, rng: &mut fastrand::Rng) {
        for _ in 0..rng.usize(1..=3) {
            self.add_slice(at_ms, number, service, rng);
        }
        let port = ServicePort { port: 80, ..ServicePort::default() };
        let record = ServiceRecord { ports: vec![port], headless: number == 1, ..ServiceRecord::default() };
        self.put(at_ms, Key::of_service(&self.cluster, Kind::SERVICE, service), Value::Service(record));
        if rng.u8(0..4) > 0 {
            self.toggle_export(at_ms, service, rng);
        }
    }

    fn scale(&mut self, at_ms: u64, number: usize, service: &ServiceKey, rng: &mut fastrand::Rng) {
        let Some(slice) = rng.choice(self.slices(service)) else {
            return self.add_slice(at_ms, number, service, rng);
        };
        let others = self.ready(service) - super::source::slice_ready(&self.objects[&slice]);
        let least = u32::from(!mortal(number) && others == 0);
        let value = slice_value(rng.u32(least..5), number == 1, rng);
        self.put(at_ms, slice, value);
    }

    /// A new slice first, then an old one goes, as in a rollout.
    fn roll(&mut self, at_ms: u64, number: usize, service: &ServiceKey, rng: &mut fastrand::Rng) {
        let old = rng.choice(self.slices(service));
        self.add_slice(at_ms, number, service, rng);
        if let Some(old) = old {
            self.delete(at_ms, &old);
        }
    }

    fn toggle_export(&mut self, at_ms: u64, service: &ServiceKey, rng: &mut fastrand::Rng) {
        let key = Key::of_service(&self.cluster, Kind::EXPORT, service);
        if self.objects.contains_key(&key) {
            self.delete(at_ms, &key);
        } else {
            let created_unix_s = i64::from(rng.u16(..));
            self.put(at_ms, key, Value::Export(ExportRecord { created_unix_s, ..ExportRecord::default() }));
        }
    }

    fn remove(&mut self, at_ms: u64, service: &ServiceKey, rng: &mut fastrand::Rng) {
        let mut keys = self.slices(service);
        keys.push(Key::of_service(&self.cluster, Kind::SERVICE, service));
        keys.push(Key::of_service(&self.cluster, Kind::EXPORT, service));
        rng.shuffle(&mut keys);
        keys.iter().for_each(|key| self.delete(at_ms, key));
    }

    fn gateway(&mut self, at_ms: u64, rng: &mut fastrand::Rng) {
        let key = Key::of_gateway(&self.cluster, &format!("node-{}", rng.u8(0..3)));
        if rng.bool() && self.objects.contains_key(&key) {
            self.delete(at_ms, &key);
        } else {
            let address = format!("192.0.2.{}:15443", rng.u8(..));
            self.put(at_ms, key, Value::Gateway(GatewayRecord { address, zone: "a".into(), ready: rng.bool() }));
        }
    }
}
