//! A pod that is a bare socket: the test itself reads and writes what it says.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::site::Site;

/// The longest that anything here may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A plain request.
pub const GET: &[u8] = b"GET /one HTTP/1.1\r\nHost: model.ml\r\nX-Case: kept\r\n\r\n";
/// A plain answer.
pub const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Case: kept\r\n\r\nok";

/// Where such a pod listens.
pub async fn listen(address: SocketAddr) -> TcpListener {
    for _ in 0..500 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        // A pod that stood here a moment ago may still be closing.
        if socket.bind(address).is_ok() {
            return socket.listen(64).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{address} stays in use");
}

/// One cluster with one such pod, whose port speaks this.
pub async fn alone(speech: &str) -> (Site, TcpListener) {
    alone_with(speech, |_| ()).await
}

/// The same, with what is told of the service before the proxy starts.
pub async fn alone_with(speech: &str, tell: impl FnOnce(&Site)) -> (Site, TcpListener) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import(speech);
    tell(&site);
    let pod = listen(site.pod(0)).await;
    site.start().await;
    (site, pod)
}

/// The pod's end of the next connection.
pub async fn accepted(pod: &TcpListener) -> TcpStream {
    tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is connected").unwrap().0
}

/// The connection with the next request on it, one that was kept or a new one, and the request's head as it came.
pub async fn asked_as_it_came<'k>(pod: &TcpListener, kept: &'k mut Vec<TcpStream>) -> (&'k mut TcpStream, String) {
    let speaks = |tcp: &TcpStream| matches!(tcp.peek(&mut [0]).now_or_never(), Some(Ok(1)));
    let next = async {
        loop {
            if let Some(at) = kept.iter().position(speaks) {
                return at;
            }
            if let Ok(new) = tokio::time::timeout(Duration::from_millis(10), pod.accept()).await {
                kept.push(new.unwrap().0);
            }
        }
    };
    let at = tokio::time::timeout(LIMIT, next).await.expect("the pod is asked");
    let head = raw_head(&mut kept[at]).await;
    (&mut kept[at], head)
}

/// The same, with the head in small letters.
pub async fn asked<'k>(pod: &TcpListener, kept: &'k mut Vec<TcpStream>) -> (&'k mut TcpStream, String) {
    let (server, head) = asked_as_it_came(pod, kept).await;
    (server, head.to_ascii_lowercase())
}

/// A client's connection and the pod's end of it.
pub async fn both(door: SocketAddr, pod: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(door).await.unwrap();
    client.set_nodelay(true).unwrap();
    let accepted = tokio::time::timeout(LIMIT, pod.accept()).await.expect("the pod is connected").unwrap();
    accepted.0.set_nodelay(true).unwrap();
    (client, accepted.0)
}

/// Writes at one end and reads the same at the other.
pub async fn passes(from: &mut TcpStream, to: &mut TcpStream, what: &[u8]) {
    from.write_all(what).await.unwrap();
    let mut got = vec![0; what.len()];
    tokio::time::timeout(LIMIT, to.read_exact(&mut got)).await.expect("it arrives").unwrap();
    assert_eq!(got, what);
}

/// Reads to the end.
pub async fn rest(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut got = Vec::new();
    tokio::time::timeout(LIMIT, from.read_to_end(&mut got)).await.expect("it ends")?;
    Ok(got)
}

/// Closes with RST.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// One ends its direction and is gone a while later; the other, which says nothing, is not kept for it.
pub async fn leaves_after_its_end((mut one, mut other): (TcpStream, TcpStream)) {
    passes(&mut one, &mut other, b"half").await;
    one.shutdown().await.unwrap();
    assert_eq!(rest(&mut other).await.unwrap(), b"");
    passes(&mut other, &mut one, b"heard").await;
    reset(one);
    let broken = other.ready(Interest::ERROR);
    tokio::time::timeout(LIMIT, broken).await.expect("it learns that the first broke off").unwrap();
}

/// Writes until nothing is taken for a while; how much that was.
pub async fn fill(into: &mut TcpStream, most: usize) -> usize {
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < most {
        match tokio::time::timeout(Duration::from_millis(500), into.write(&chunk[..chunk.len().min(most - sent)])).await
        {
            Ok(count) => sent += count.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

/// Reads and drops that many bytes.
pub async fn swallow(from: &mut TcpStream, mut count: usize) {
    let mut buffer = vec![0; 64 * 1024];
    while count > 0 {
        let most = count.min(buffer.len());
        let read = tokio::time::timeout(LIMIT, from.read(&mut buffer[..most])).await.expect("it goes on").unwrap();
        assert!(read > 0, "{count} bytes are missing");
        count -= read;
    }
}

/// Reads up to the empty line that ends a head, in small letters.
pub async fn head(from: &mut TcpStream) -> String {
    raw_head(from).await.to_ascii_lowercase()
}

/// The next head as it came.
pub async fn raw_head(server: &mut TcpStream) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\n") {
        got.push(tokio::time::timeout(LIMIT, server.read_u8()).await.expect("a head").unwrap());
    }
    String::from_utf8(got).unwrap()
}

/// As many bytes as these, which are these.
pub async fn hears(client: &mut TcpStream, expected: &str) {
    let mut got = vec![0; expected.len()];
    tokio::time::timeout(LIMIT, client.read_exact(&mut got)).await.expect("it comes").unwrap();
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

/// Answers plainly, and hears that it came.
pub async fn answer(server: &mut TcpStream, client: &mut TcpStream) {
    server.write_all(PLAIN).await.unwrap();
    let told = head(client).await;
    assert!(told.starts_with("http/1.1 200 ok\r\n") && told.contains("\r\nx-strait-served-by: us-west\r\n"), "{told}");
    hears(client, "ok").await;
}

/// A client and the pod's end of the connection that its first request was answered over.
pub async fn kept(site: &Site, pod: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut server = accepted(pod).await;
    head(&mut server).await;
    answer(&mut server, &mut client).await;
    (client, server)
}
