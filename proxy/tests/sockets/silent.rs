//! A pod that hangs: it accepts connections, reads what comes and never says a word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::pod::stand;

/// Dropping it closes its sockets at once.
pub struct Silent {
    heads: Arc<AtomicU32>,
    task: AbortHandle,
}

impl Silent {
    pub async fn start(address: SocketAddr) -> Self {
        let listener = stand(address).await;
        let heads = Arc::new(AtomicU32::new(0));
        let task = tokio::spawn(run(listener, heads.clone())).abort_handle();
        Self { heads, task }
    }

    /// Requests it was sent.
    pub fn count(&self) -> u32 {
        self.heads.load(Ordering::SeqCst)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(listener: TcpListener, heads: Arc<AtomicU32>) {
    let mut open = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let heads = heads.clone();
        open.spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let ends = buffer[..count].windows(4).filter(|w| w == b"\r\n\r\n").count();
                heads.fetch_add(u32::try_from(ends).unwrap(), Ordering::SeqCst);
            }
        });
    }
}
