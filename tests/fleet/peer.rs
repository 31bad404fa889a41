//! A daemon of another cluster, or a sibling, played by hand: frames over mTLS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use strait_catalog::{ClusterId, Record};
use strait_gossip::frame::{Body, Frame, Head, Heads, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Push, WireRecord};
use strait_identity::{Alpn, Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::wait;
use crate::world::{Site, World};

/// Well below the silence after which a session is given up.
const BEAT: Duration = Duration::from_millis(700);

/// An open session with a real daemon.
pub struct Player {
    out: mpsc::Sender<Bytes>,
    heard: Arc<Mutex<Vec<Body>>>,
    head: Arc<Mutex<Option<Head>>>,
    task: JoinHandle<()>,
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Player {
    /// Connects with a good certificate of `cluster` and says hello.
    pub async fn join(world: &World, cluster: &str, to: Site) -> Self {
        Self::join_as(world, cluster, cluster, to).await
    }

    /// Connects with a good certificate of one cluster and says to be of another.
    pub async fn join_as(world: &World, cluster: &str, said: &str, to: Site) -> Self {
        let stream = TcpStream::connect(to.gateway()).await.unwrap();
        let there = ClusterId::parse(to.name).unwrap();
        let tls = world.identity(cluster).client_config(&there, &[Alpn::Sync]).unwrap();
        let mut stream = TlsConnector::from(tls).connect(Identity::server_name(&there), stream).await.unwrap();
        stream.write_all(&hello(said).to_wire()).await.unwrap();
        let (heard, head) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None::<Head>)));
        let (out, mut outgoing) = mpsc::channel::<Bytes>(16);
        let (listening, telling) = (heard.clone(), head.clone());
        let task = tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut beat = tokio::time::interval(BEAT);
            let mut buffer = BytesMut::new();
            loop {
                tokio::select! {
                    read = reader.read_buf(&mut buffer) => if read.map_or(true, |n| n == 0) { return },
                    Some(bytes) = outgoing.recv() => if writer.write_all(&bytes).await.is_err() { return },
                    _ = beat.tick() => {
                        let heads = telling.lock().unwrap().clone().into_iter().collect();
                        let frame: Frame = Body::Heads(Heads { heads, receipts: Vec::new() }).into();
                        if writer.write_all(&frame.to_wire()).await.is_err() { return }
                    }
                }
                while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                    listening.lock().unwrap().extend(frame.body);
                }
            }
        });
        Self { out, heard, head, task }
    }

    pub async fn say(&self, body: Body) {
        self.send(Frame::from(body).to_wire()).await;
    }

    /// Any bytes inside the session.
    pub async fn send(&self, bytes: Bytes) {
        self.out.send(bytes).await.unwrap();
    }

    /// Sends records of a cluster.
    pub async fn push(&self, cluster: &str, records: &[Record]) {
        let records = records.iter().map(on_wire).collect();
        self.say(Body::Push(Push { cluster: cluster.to_owned(), records })).await;
    }

    /// From now on says once a beat that these are all the records of its cluster.
    pub fn claim(&self, cluster: &str, records: &[Record]) {
        let highest = records.iter().map(Record::version).max().unwrap();
        *self.head.lock().unwrap() = Some(Head {
            cluster: cluster.to_owned(),
            epoch: highest.epoch,
            revision: highest.revision,
            hash: records.iter().fold(0, |sum, r| sum.wrapping_add(r.digest())),
            count: records.len() as u64,
            age_ms: Some(0),
            settled: true,
        });
    }

    /// Waits until the daemon has passed on a record of that cluster and name.
    pub async fn is_told(&self, cluster: &str, name: &str) -> WireRecord {
        wait::until(&format!("record {name} of {cluster} is passed on"), async || {
            let heard = self.heard.lock().unwrap();
            let pushes = heard.iter().filter_map(|b| match b {
                Body::Push(push) if push.cluster == cluster => Some(&push.records),
                _ => None,
            });
            pushes.flatten().find(|r| r.name == name).cloned()
        })
        .await
    }

    /// Waits until the daemon has said anything.
    pub async fn is_answered(&self) {
        wait::holds("the daemon answers the session", async || !self.heard.lock().unwrap().is_empty()).await;
    }

    /// Waits until the daemon has closed the session.
    pub async fn is_closed(&self) {
        wait::holds("the daemon closes the session", async || self.task.is_finished()).await;
    }
}

fn hello(cluster: &str) -> Frame {
    let hello = Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        features: 0,
        cluster: cluster.to_owned(),
        daemon: format!("{cluster}-player"),
        leaf: false,
    };
    Body::Hello(hello).into()
}

fn on_wire(record: &Record) -> WireRecord {
    WireRecord {
        kind: record.key().kind.0,
        name: record.key().name.to_string(),
        epoch: record.version().epoch,
        revision: record.version().revision,
        deleted: record.is_tombstone(),
        value: record.wire().clone(),
    }
}
