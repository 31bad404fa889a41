//! Plain requests and answers, and all that turns out not to be plain on the way: what is begun on the fast path is ended
//! on the long one, once and whole.

use std::time::Duration;

use futures_util::FutureExt as _;
use strait_catalog::PolicyRecord;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::{Kept, get, post};
use crate::plain::{
    GET, LIMIT, PLAIN, accepted, alone, alone_with, answer, asked, fill, head, hears, kept, listen, raw_head, reset,
    rest, swallow,
};
use crate::site::{Site, until};

/// Sends a plain request, and reads what its pod gets.
async fn ask(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(GET).await.unwrap();
    let got = head(server).await;
    assert!(got.starts_with("get /one http/1.1\r\nhost: model.ml\r\n"), "{got}");
    assert!(got.contains("\r\nvia: 1.1 us-west.strait\r\n") && got.contains("\r\nx-forwarded-for: 127.0."), "{got}");
}

#[tokio::test]
async fn a_plain_request_goes_over_a_kept_connection_as_it_came() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    for _ in 0..50 {
        client.write_all(GET).await.unwrap();
        let got = raw_head(&mut server).await;
        assert!(got.contains("\r\nX-Case: kept\r\n"), "{got}");
        answer(&mut server, &mut client).await;
    }
    site.stop().await;
}

/// Names of fields come in small letters by the long way.
#[tokio::test]
async fn who_left_once_is_back_after_one_request() {
    let (site, pod) = alone("http").await;
    let other = b"OPTIONS /one HTTP/1.1\r\nHost: model.ml\r\nX-Case: kept\r\n\r\n";
    let (mut client, first) = kept(&site, &pod).await;
    let mut servers = vec![first];
    let mut ways = Vec::new();
    for request in [&other[..], GET, GET, GET] {
        client.write_all(request).await.unwrap();
        let mut as_it_came = None;
        while as_it_came.is_none() {
            for server in &mut servers {
                let mut bytes = [0; 400];
                if let Some(Ok(count)) = server.peek(&mut bytes).now_or_never()
                    && bytes[..count].ends_with(b"\r\n\r\n")
                {
                    as_it_came = Some(raw_head(server).await.contains("\r\nX-Case: "));
                    server.write_all(PLAIN).await.unwrap();
                }
            }
            if let Ok(new) = tokio::time::timeout(Duration::from_millis(10), pod.accept()).await {
                servers.push(new.unwrap().0);
            }
        }
        ways.extend(as_it_came);
        head(&mut client).await;
        hears(&mut client, "ok").await;
    }
    assert_eq!(ways, [false, true, true, true]);
    site.stop().await;
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let (site, pod) = alone("http").await;
    let (mut client, server) = kept(&site, &pod).await;
    client.set_nodelay(true).unwrap();
    for byte in GET {
        client.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut servers = vec![server];
    let (server, got) = asked(&pod, &mut servers).await;
    assert!(got.starts_with("get /one http/1.1\r\n"), "{got}");
    answer(server, &mut client).await;
    site.stop().await;
}

/// Each of these begins on the fast path, over a connection that its pod has heard the request on already: its first bytes tell
/// that it is not plain, or do not tell anything yet.
#[tokio::test]
async fn what_a_pod_answers_otherwise_is_passed_all_the_same() {
    const HINTS: &str =
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (said, status, body) in [
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "5\r\nhello\r\n0\r\n\r\n",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (HINTS, 200, "hello"),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 5\r\n\r\nhello", 503, "hello"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
        ("HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n", 304, ""),
    ] {
        for first in [4, said.len()] {
            let (site, pod) = alone("http").await;
            let (mut client, mut server) = kept(&site, &pod).await;
            ask(&mut client, &mut server).await;
            server.write_all(&said.as_bytes()[..first]).await.unwrap();
            if first < said.len() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                server.write_all(&said.as_bytes()[first..]).await.unwrap();
            }
            let mut told = head(&mut client).await;
            if told.starts_with("http/1.1 103 ") {
                assert_eq!((said, told.contains("link: </a>")), (HINTS, true), "{told}");
                told = head(&mut client).await;
            }
            assert!(told.starts_with(&format!("http/1.1 {status} ")), "{said:?}: {told}");
            assert_eq!(told.matches("x-strait-served-by: us-west").count(), 1, "{said:?}: {told}");
            hears(&mut client, body).await;
            site.stop().await;
        }
    }
}

#[tokio::test]
async fn a_body_until_the_close_ends_with_it() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    ask(&mut client, &mut server).await;
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await.unwrap();
    drop(server);
    let told = head(&mut client).await;
    assert!(told.contains("transfer-encoding: chunked"), "{told}");
    hears(&mut client, "D\r\nuntil the end\r\n0\r\n\r\n").await;
    site.stop().await;
}

#[tokio::test]
async fn a_kept_connection_that_ends_under_a_request_is_replaced() {
    for by_reset in [false, true] {
        let (site, pod) = alone("http").await;
        let (mut client, mut server) = kept(&site, &pod).await;
        ask(&mut client, &mut server).await;
        if by_reset {
            reset(server);
        } else {
            drop(server);
        }
        let mut server = accepted(&pod).await;
        head(&mut server).await;
        answer(&mut server, &mut client).await;
        site.stop().await;
    }
}

/// A connection on which more was said than was asked for answers nobody else.
#[tokio::test]
async fn what_nobody_asked_for_is_nobodys_answer() {
    let lie: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalien";
    for with_the_answer in [true, false] {
        let (site, pod) = alone("http").await;
        let (mut client, mut server) = kept(&site, &pod).await;
        if with_the_answer {
            ask(&mut client, &mut server).await;
            server.write_all(&[PLAIN, lie].concat()).await.unwrap();
            head(&mut client).await;
            hears(&mut client, "ok").await;
        } else {
            server.write_all(lie).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.write_all(GET).await.unwrap();
        let mut server = accepted(&pod).await;
        head(&mut server).await;
        answer(&mut server, &mut client).await;
        site.stop().await;
    }
}

#[tokio::test]
async fn nonsense_of_a_pod_is_told_as_such() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    ask(&mut client, &mut server).await;
    let answers = tokio::spawn(async move {
        server.write_all(b"220 mail.example ESMTP\r\n\r\n").await.unwrap();
        while let Ok((mut server, _)) = pod.accept().await {
            head(&mut server).await;
            server.write_all(b"220 mail.example ESMTP\r\n\r\n").await.unwrap();
        }
    });
    assert!(head(&mut client).await.starts_with("http/1.1 502 "));
    answers.abort();
    site.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_the_client() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    ask(&mut client, &mut server).await;
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").await.unwrap();
    head(&mut client).await;
    hears(&mut client, "part").await;
    drop(server);
    assert_eq!(rest(&mut client).await.unwrap_or_default(), b"");
    site.stop().await;
}

#[tokio::test]
async fn a_long_body_waits_for_a_slow_reader() {
    const SIZE: usize = 64 << 20;
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    ask(&mut client, &mut server).await;
    server.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes()).await.unwrap();
    let sent = fill(&mut server, SIZE).await;
    assert!(sent < SIZE, "what nobody reads is not read from the pod");
    head(&mut client).await;
    let read = tokio::spawn(async move {
        swallow(&mut client, SIZE).await;
        client
    });
    let left = vec![b'x'; SIZE - sent];
    server.write_all(&left).await.unwrap();
    let mut client = read.await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    answer(&mut server, &mut client).await;
    site.stop().await;
}

#[tokio::test]
async fn a_short_body_comes_whole_to_a_slow_reader() {
    let (site, pod) = alone("http").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut client = socket.connect(site.door()).await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut server = accepted(&pod).await;
    let body: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    for round in 0..4 {
        head(&mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n").await.unwrap();
        for piece in body.chunks(7_000) {
            server.write_all(piece).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        head(&mut client).await;
        let mut got = vec![0; body.len()];
        tokio::time::timeout(LIMIT, client.read_exact(&mut got)).await.expect("it comes").unwrap();
        assert!(got == body, "{round}");
        client.write_all(GET).await.unwrap();
    }
    site.stop().await;
}

#[tokio::test]
async fn who_pipelines_gets_all_answers_in_order() {
    let (site, pod) = alone("http").await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(GET).await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    // The second comes while the first is with its pod.
    client.write_all(b"GET /two HTTP/1.1\r\nhost: m\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    answer(&mut server, &mut client).await;
    assert!(head(&mut server).await.starts_with("get /two "));
    server.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 404 "));
    site.stop().await;
}

#[tokio::test]
async fn a_pod_that_refuses_is_told_as_such() {
    let (site, pod) = alone("http").await;
    drop(pod);
    let mut client = Kept::open(site.door()).await.unwrap();
    assert_eq!(client.send(get("/")).await.unwrap().status, 503);
    site.stop().await;
}

#[tokio::test]
async fn plain_requests_and_others_take_turns() {
    let (site, pod) = alone("http").await;
    let serve = tokio::spawn(async move {
        loop {
            let mut server = accepted(&pod).await;
            tokio::spawn(async move {
                let mut got = Vec::new();
                while server.read_buf(&mut got).await.is_ok_and(|count| count > 0) {
                    let posted = got.starts_with(b"POST");
                    if got.ends_with(if posted { b"\r\n\r\nbody" } else { b"\r\n\r\n" }) {
                        got.clear();
                        server.write_all(PLAIN).await.unwrap();
                    }
                }
            });
        }
    });
    let mut client = Kept::open(site.door()).await.unwrap();
    for round in 0..200 {
        let request = if round % 3 == 2 { post("/", "body") } else { get("/") };
        let got = client.send(request).await.unwrap();
        assert_eq!((got.status.as_u16(), &*got.body), (200, "ok"), "{round}");
    }
    serve.abort();
    site.stop().await;
}

#[tokio::test]
async fn a_pod_is_not_kept_busy_for_who_leaves_in_the_middle_of_an_answer() {
    for by_reset in [false, true] {
        let (site, pod) = alone("http").await;
        let (mut client, mut server) = kept(&site, &pod).await;
        ask(&mut client, &mut server).await;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").await.unwrap();
        head(&mut client).await;
        hears(&mut client, "part").await;
        if by_reset {
            reset(client);
        } else {
            drop(client);
        }
        assert_eq!(rest(&mut server).await.unwrap_or_default(), b"", "its connection is ended");
        site.stop().await;
    }
}

#[tokio::test]
async fn what_was_taken_in_is_answered_whatever_changes_meanwhile() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = listen(site.pod(0)).await;
    site.start_with(|config| config.limits.requests = 1).await;
    let (mut client, mut server) = kept(&site, &pod).await;
    ask(&mut client, &mut server).await;
    // Its pod is no longer among the endpoints, and others are.
    site.slice(0);
    site.publish();
    until("the pod is gone", || site.proxy().view().services.iter().all(|s| s.clusters.iter().all(|c| c.ready == 0)))
        .await;
    server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 200 "));
    hears(&mut client, "0\r\n\r\n").await;
    assert!(tokio::time::timeout(Duration::from_millis(100), pod.accept()).await.is_err(), "asked once");
    site.stop().await;
}

/// What may be sent once only is not put at the risk of a connection that its pod may be about to close.
#[tokio::test]
async fn what_is_never_repeated_goes_over_a_connection_that_was_used_just_now() {
    let once = PolicyRecord { attempts: Some(1), ..PolicyRecord::default() };
    let (site, pod) = alone_with("http", |site| site.policy(once)).await;
    let (mut client, mut server) = kept(&site, &pod).await;
    ask(&mut client, &mut server).await;
    answer(&mut server, &mut client).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    client.write_all(GET).await.unwrap();
    head(&mut accepted(&pod).await).await;
    site.stop().await;
}

/// A request that is refused before its body has come ends the connection, whatever way the one before it went.
#[tokio::test]
async fn a_body_that_nobody_reads_is_no_request() {
    let (site, pod) = alone("http").await;
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let serve = tokio::spawn(async move {
        while let Ok((mut server, _)) = pod.accept().await {
            tell.send(head(&mut server).await).await.unwrap();
            server.write_all(PLAIN).await.unwrap();
        }
    });
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    let refused = "POST /two HTTP/1.1\r\nHost: model.ml\r\nHost: other.ml\r\nContent-Length: 42\r\n\r\n";
    client.write_all(&[GET, refused.as_bytes()].concat()).await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 200 "));
    hears(&mut client, "ok").await;
    assert!(head(&mut client).await.starts_with("http/1.1 400 "));
    tokio::time::sleep(Duration::from_millis(50)).await;
    // It may be gone already.
    let _ = client.write_all(b"GET /smuggled HTTP/1.1\r\nHost: model.ml\r\n\r\n").await;
    let after = rest(&mut client).await.unwrap_or_default();
    assert!(!String::from_utf8_lossy(&after).contains("HTTP/1.1 "), "{}", String::from_utf8_lossy(&after));
    assert!(told.recv().await.unwrap().starts_with("get /one "));
    assert!(told.try_recv().is_err(), "the pod was asked for one thing");
    serve.abort();
    site.stop().await;
}

#[tokio::test]
async fn a_head_that_begins_behind_another_request_has_no_more_time_than_others() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = listen(site.pod(0)).await;
    site.start_with(|config| config.timeouts.head = Duration::from_secs(2)).await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(&[GET, b"GET /two"].concat()).await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    answer(&mut server, &mut client).await;
    assert_eq!(rest(&mut client).await.unwrap_or_default(), b"", "it is cut");
    site.stop().await;
}

#[tokio::test]
async fn empty_lines_behind_a_request_are_nothing() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = listen(site.pod(0)).await;
    site.start_with(|config| config.timeouts.head = Duration::from_secs(1)).await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    let mut servers = Vec::new();
    for pause in [0, 3_000, 0] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        client.write_all(&[GET, b"\r\n"].concat()).await.unwrap();
        answer(asked(&pod, &mut servers).await.0, &mut client).await;
        client.write_all(b"\r\n").await.unwrap();
    }
    site.stop().await;
}
