//! Ports that do not say what they speak: each connection is taken for what its first bytes are.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use strait_identity::{Alpn, Identity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::client::{self, get, once};
use crate::pair::Pair;
use crate::plain::{LIMIT, accepted, both, listen, passes, rest};
use crate::pod::Pod;
use crate::site::Site;

async fn undeclared() -> Site {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("");
    site.start_with(|config| {
        config.timeouts.detect = Duration::from_millis(200);
        config.workers = std::num::NonZeroUsize::new(1);
    })
    .await;
    site
}

#[tokio::test]
async fn http_is_routed_and_the_rest_relayed() {
    let site = undeclared().await;
    let pod = Pod::start(site.pod(0), "pod-0").await;
    assert_eq!(once(site.door(), get("/")).await.unwrap().served_by(), "us-west");
    drop(pod);
    let pod = listen(site.pod(0)).await;
    let hello = b"\x16\x03\x01\x00\x05hello";
    let ssl_request = b"\x00\x00\x00\x08\x04\xd2\x16\x2f";
    for words in [&hello[..], ssl_request, b"*1\r\n$4\r\nPING\r\n", b"\r\n"] {
        let mut client = TcpStream::connect(site.door()).await.unwrap();
        client.write_all(words).await.unwrap();
        let (mut server, _) = tokio::time::timeout(LIMIT, pod.accept()).await.expect("it is relayed").unwrap();
        let mut got = vec![0; words.len()];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(got, words);
        passes(&mut server, &mut client, b"answer").await;
    }
    site.stop().await;
}

/// It may be SMTP, SIP or Redis; but not where pods have answered in HTTP, and who got HTTP/2's preface wrong could not read
/// what one of HTTP/1.1 says to that.
#[tokio::test]
async fn a_line_that_is_almost_a_requests_is_relayed_until_http_was_spoken() {
    let site = undeclared().await;
    let pod = listen(site.pod(0)).await;
    let line = b"EHLO client.example\r\n";
    for _ in 0..2 {
        let mut client = TcpStream::connect(site.door()).await.unwrap();
        client.write_all(line).await.unwrap();
        let mut server = accepted(&pod).await;
        let mut got = vec![0; line.len()];
        tokio::time::timeout(LIMIT, server.read_exact(&mut got)).await.expect("it is relayed").unwrap();
        assert_eq!(got, line);
        passes(&mut server, &mut client, b"250 pod.example\r\n").await;
    }
    drop(pod);
    let _pod = Pod::start(site.pod(0), "pod-0").await;
    assert_eq!(once(site.door(), get("/")).await.unwrap().served_by(), "us-west");
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(line).await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap_or_default(), b"", "nobody answers");
    site.stop().await;
}

/// Who begins with HTTP/2 knows that the pods speak it.
#[tokio::test]
async fn pods_are_spoken_to_as_their_client_speaks() {
    let mut pair = Pair::new(1, None).await;
    pair.east_pods.clear();
    for home in [true, false] {
        pair.west_pods.clear();
        let pod = Pod::start_h2c(if home { pair.west.pod(0) } else { pair.east.pod(0) }, "h2c").await;
        let mut sender = client::http2(pair.west.door()).await;
        let request = Request::get("http://m/").body(Full::<Bytes>::default()).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let from = if home { "us-west" } else { "us-east" };
        assert_eq!((head.status.as_u16(), head.headers["x-strait-served-by"].to_str().unwrap()), (200, from));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "h2c");
        drop(pod);
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_the_servers_word_gets_it() {
    let site = undeclared().await;
    let pod = listen(site.pod(0)).await;
    let (mut client, mut server) = both(site.door(), &pod).await;
    passes(&mut server, &mut client, b"220 mail.example ready\r\n").await;
    passes(&mut client, &mut server, b"EHLO client.example\r\n").await;
    site.stop().await;
}

#[tokio::test]
async fn tls_passes_through_to_another_clusters_pod() {
    let mut pair = Pair::new(1, None).await;
    pair.west_pods.clear();
    pair.east_pods.clear();
    let pod = listen(pair.east.pod(0)).await;
    let acceptor = TlsAcceptor::from(pair.east.identity.server_config());
    let serve = async {
        let (tcp, _) = pod.accept().await.unwrap();
        let mut secured = acceptor.accept(tcp).await.unwrap();
        let mut word = [0; 5];
        secured.read_exact(&mut word).await.unwrap();
        word.make_ascii_uppercase();
        secured.write_all(&word).await.unwrap();
        secured.shutdown().await.unwrap();
    };
    let ask = async {
        let config = pair.west.identity.client_config(&pair.east.id, &[Alpn::Http2]).unwrap();
        let tcp = TcpStream::connect(pair.west.door()).await.unwrap();
        let name = Identity::server_name(&pair.east.id);
        let mut secured = TlsConnector::from(config).connect(name, tcp).await.unwrap();
        secured.write_all(b"hello").await.unwrap();
        let mut word = Vec::new();
        secured.read_to_end(&mut word).await.unwrap();
        assert_eq!(word, b"HELLO");
    };
    tokio::time::timeout(LIMIT, async { tokio::join!(serve, ask) }).await.expect("end to end");
    pair.stop().await;
}
