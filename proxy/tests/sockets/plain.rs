//! A pod that is a bare socket: the test itself reads and writes what it says.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::site::Site;

/// The longest that anything here may take.
pub const LIMIT: Duration = Duration::from_secs(60);

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

/// The connection with the next request on it, one that was kept or a new one, and the request's head.
pub async fn asked<'k>(pod: &TcpListener, kept: &'k mut Vec<TcpStream>) -> (&'k mut TcpStream, String) {
    let speaks = |kept: &Vec<TcpStream>| {
        let mut one = [0];
        kept.iter().position(|tcp| matches!(tcp.peek(&mut one).now_or_never(), Some(Ok(1))))
    };
    let next = async {
        loop {
            if let Some(at) = speaks(kept) {
                return at;
            }
            if let Ok(new) = tokio::time::timeout(Duration::from_millis(10), pod.accept()).await {
                kept.push(new.unwrap().0);
            }
        }
    };
    let at = tokio::time::timeout(LIMIT, next).await.expect("the pod is asked");
    let head = head(&mut kept[at]).await;
    (&mut kept[at], head)
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

/// Reads up to the empty line that ends a head.
pub async fn head(from: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(LIMIT, from.read_u8()).await.expect("a head").unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}
