//! A TCP relay in front of a gateway, which can become a black hole: connections stay, nothing passes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub struct Relay {
    hole: watch::Sender<bool>,
    task: AbortHandle,
}

impl Relay {
    /// Relays with `delay` each way.
    pub async fn start(listen: SocketAddr, to: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let (hole, holed) = watch::channel(false);
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let holed = holed.clone();
                tokio::spawn(async move {
                    let far = TcpStream::connect(to).await.unwrap();
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::join!(pass(near.0, far.1, delay, holed.clone()), pass(far.0, near.1, delay, holed));
                });
            }
        })
        .abort_handle();
        Self { hole, task }
    }

    pub fn black_hole(&self, on: bool) {
        self.hole.send_replace(on);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Duration,
    mut holed: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        tokio::time::sleep(delay).await;
        // In a black hole what was on its way is never delivered, and nothing closes either.
        if *holed.borrow_and_update() && holed.wait_for(|h| !h).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
