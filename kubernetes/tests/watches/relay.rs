//! A cable between a client and a server that can be pulled.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// A TCP relay on loopback.
pub(crate) struct Relay {
    port: u16,
    plugged: watch::Sender<bool>,
    _task: AbortOnDropHandle<()>,
}

impl Relay {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plugged = watch::Sender::new(true);
        let task = tokio::spawn(accept(listener, target, plugged.clone()));
        Self { port, plugged, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Breaks every connection, and every new one.
    pub(crate) fn pull(&self) {
        self.plugged.send_replace(false);
    }

    pub(crate) fn plug(&self) {
        self.plugged.send_replace(true);
    }
}

async fn accept(listener: TcpListener, target: u16, plugged: watch::Sender<bool>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut plugged = plugged.subscribe();
        connections.spawn(async move {
            if !*plugged.borrow() {
                return;
            }
            let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            tokio::select! {
                _ = plugged.wait_for(|plugged| !plugged) => {}
                _ = copy_bidirectional(&mut near, &mut far) => {}
            }
        });
    }
}
