//! WebSocket and the like within the cluster: two connections that have left HTTP and are joined.

use std::num::NonZeroUsize;
use std::time::Duration;

use strait_proxy::{EndpointStatus, ProxyConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::plain::{LIMIT, accepted, fill, head, leaves_after_its_end, listen, passes, reset, rest, swallow};
use crate::site::{Site, until};

const ASK: &[u8] = b"GET /chat HTTP/1.1\r\nhost: m\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const GRANTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// One worker, whose pod is a bare socket.
async fn site(edit: impl FnOnce(&mut ProxyConfig)) -> (Site, TcpListener) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = listen(site.pod(0)).await;
    site.start_with(|config| {
        config.workers = NonZeroUsize::new(1);
        edit(config);
    })
    .await;
    (site, pod)
}

/// Both ends of one that the pod has granted; `None` when its client was not let in.
async fn joined(site: &Site, pod: &TcpListener) -> Option<(TcpStream, TcpStream)> {
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    // One that is turned away is closed, before or after this is written.
    let _ = client.write_all(ASK).await;
    let mut server = tokio::select! {
        server = accepted(pod) => server,
        _ = rest(&mut client) => return None,
    };
    head(&mut server).await;
    server.write_all(GRANTED).await.unwrap();
    let told = head(&mut client).await;
    assert!(told.starts_with("http/1.1 101 "), "{told}");
    passes(&mut client, &mut server, b"joined").await;
    Some((client, server))
}

fn pod_of(site: &Site) -> EndpointStatus {
    site.proxy().view().services[0].clusters[0].endpoints[0].clone()
}

#[tokio::test]
async fn they_count_among_the_connections_of_their_client_and_of_all() {
    type Edit = fn(&mut ProxyConfig);
    let edits: [Edit; 2] =
        [|config| config.limits.connections_per_client = 2, |config| config.limits.client_connections = 2];
    for edit in edits {
        let (site, pod) = site(edit).await;
        let (first, second) = (joined(&site, &pod).await.unwrap(), joined(&site, &pod).await.unwrap());
        assert!(joined(&site, &pod).await.is_none(), "a third is turned away");
        assert_eq!(site.proxy().view().connections, [2], "and workers see them as load");
        let pod_has = pod_of(&site);
        assert_eq!(
            (pod_has.in_flight, pod_has.successes),
            (2, 2),
            "so does the choice among pods; each was one answer"
        );
        drop(first);
        let begun = tokio::time::Instant::now();
        let again = loop {
            if let Some(again) = joined(&site, &pod).await {
                break again;
            }
            assert!(begun.elapsed() < LIMIT, "a place that is free again is given again");
        };
        drop((second, again));
        until("all have left", || site.proxy().view().connections == [0] && pod_of(&site).in_flight == 0).await;
        site.stop().await;
    }
}

#[tokio::test]
async fn who_is_gone_after_its_end_lets_the_other_go() {
    let (site, pod) = site(|_| ()).await;
    leaves_after_its_end(joined(&site, &pod).await.unwrap()).await;
    // A client whose pod has left so is closed only, which it cannot tell from what it was told before.
    let (mut client, mut server) = joined(&site, &pod).await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    passes(&mut client, &mut server, b"heard").await;
    reset(server);
    until("nothing is kept", || site.proxy().view().connections == [0] && pod_of(&site).in_flight == 0).await;
    site.stop().await;
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_writer_and_nothing_is_lost() {
    const MOST: usize = 64 << 20;
    let (site, pod) = site(|_| ()).await;
    for reading_pod in [true, false] {
        let (client, server) = joined(&site, &pod).await.unwrap();
        let (mut from, mut to) = if reading_pod { (client, server) } else { (server, client) };
        let sent = fill(&mut from, MOST).await;
        assert!(sent < MOST / 2, "{sent} bytes were taken for a reader that reads nothing");
        passes(&mut to, &mut from, b"the other way").await;
        swallow(&mut to, sent).await;
        passes(&mut from, &mut to, b"and goes on").await;
    }
    site.stop().await;
}

#[tokio::test]
async fn a_client_may_leave_all_unread_for_as_long_as_it_likes() {
    const MOST: usize = 64 << 20;
    let unread = Duration::from_secs(1);
    let (site, pod) = site(|config| config.timeouts.unread = unread).await;
    let (mut client, mut server) = joined(&site, &pod).await.unwrap();
    let sent = fill(&mut server, MOST).await;
    // In which a client of HTTP would be reset.
    tokio::time::sleep(3 * unread).await;
    swallow(&mut client, sent).await;
    passes(&mut server, &mut client, b"still there").await;
    site.stop().await;
}
