//! What one client or pod does never ends a connection between clusters, which carries everybody's requests.

use strait_proxy::ProxyConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plain::{LIMIT, accepted, head};
use crate::streams::{Both, ask};

/// One worker, so that all share its link, which is not given up for being slow.
fn one_worker(config: &mut ProxyConfig) {
    config.workers = std::num::NonZeroUsize::new(1);
    config.timeouts.link_slack = LIMIT;
    config.timeouts.request = LIMIT;
}

/// A request under way to the far cluster, and what makes sure that it was never disturbed.
struct Watched {
    client: TcpStream,
    server: TcpStream,
}

impl Watched {
    async fn begin(both: &Both) -> Self {
        let (door, pod) = both.doors()[1];
        let request = "POST /watched HTTP/1.1\r\nhost: m\r\ncontent-length: 0\r\n\r\n";
        let (client, server, _) = ask(door, pod, request).await;
        Self { client, server }
    }

    async fn ends_well(mut self) {
        self.server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        let told = head(&mut self.client).await;
        assert!(told.starts_with("http/1.1 200 "), "{told}");
    }
}

/// Huffman's code is three and a half times as long as such bytes.
#[tokio::test]
async fn a_head_that_grows_when_it_is_packed() {
    let both = Both::with(one_worker).await;
    let watched = Watched::begin(&both).await;
    let (door, pod) = both.doors()[1];
    let mut client = TcpStream::connect(door).await.unwrap();
    let line = [b"GET /x HTTP/1.1\r\nhost: m\r\nx-rare: ", &[0xf9; 40_000][..], b"\r\n\r\n"].concat();
    client.write_all(&line).await.unwrap();
    // Asked again as well, as what a pod breaks may be.
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-long: {}\r\n\r\n", "a".repeat(200_000));
    let serve = async {
        let mut servers = Vec::new();
        loop {
            let mut server = accepted(pod).await;
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                server.read_buf(&mut got).await.unwrap();
            }
            assert_eq!(got.iter().filter(|byte| **byte == 0xf9).count(), 40_000);
            server.write_all(long.as_bytes()).await.unwrap();
            servers.push(server);
        }
    };
    let told = tokio::select! {
        told = head(&mut client) => told,
        () = serve => String::new(),
    };
    assert!(told.starts_with("http/1.1 502 "), "{told}");
    watched.ends_well().await;
    both.stop().await;
}
