//! Requests with a body. Whole with a short one, they take the fast path, and whatever becomes of them there, their pod gets
//! them once.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::plain::{
    PLAIN, accepted, alone, answer, asked, asked_as_it_came, fill, head, hears, kept, listen, raw_head, rest,
};
use crate::site::Site;

fn request(method: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} /one HTTP/1.1\r\nHost: model.ml\r\nX-Case: kept\r\nContent-Length: {length}\r\n\r\n{body}").into()
}

/// Nothing else comes to the pod, on this connection or on another.
async fn asked_once(pod: &TcpListener, server: &mut TcpStream) {
    let quiet = Duration::from_millis(150);
    assert!(tokio::time::timeout(quiet, pod.accept()).await.is_err(), "no other connection");
    assert!(tokio::time::timeout(quiet, server.read_u8()).await.is_err(), "nothing else on this one");
}

/// Names of fields come in small letters by the long way.
#[tokio::test]
async fn it_goes_with_its_head_as_it_came() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    for (round, size) in [0, 5, 2_000, 16_384].into_iter().cycle().take(40).enumerate() {
        let body = "b".repeat(size);
        let whole = request(["POST", "PUT", "PATCH"][round % 3], &body);
        // At once, or its body, or a part of that, a moment later.
        let first = if round % 2 == 0 { whole.len() } else { whole.len() - size * (round % 5) / 5 };
        client.write_all(&whole[..first]).await.unwrap();
        if first < whole.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            client.write_all(&whole[first..]).await.unwrap();
        }
        let got = raw_head(&mut server).await;
        assert!(
            got.contains("\r\nX-Case: kept\r\n") && got.contains("\r\nvia: 1.1 us-west.strait\r\n"),
            "{round}: {got}"
        );
        hears(&mut server, &body).await;
        answer(&mut server, &mut client).await;
    }
    site.stop().await;
}

/// One that is kept to be sent again as well: there is no room for it that a live pod always has.
#[tokio::test]
async fn a_long_one_waits_for_a_pod_that_does_not_read() {
    const SIZE: usize = 60_000;
    let (site, pod) = alone("http").await;
    drop(pod);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.bind(site.pod(0)).unwrap();
    let pod = socket.listen(64).unwrap();
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(&request("PUT", &"b".repeat(SIZE))).await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    hears(&mut server, &"b".repeat(SIZE)).await;
    answer(&mut server, &mut client).await;
    asked_once(&pod, &mut server).await;
    site.stop().await;
}

#[tokio::test]
async fn one_that_comes_late_is_passed_through() {
    let (site, pod) = alone("http").await;
    let (mut client, server) = kept(&site, &pod).await;
    let whole = request("POST", "hello");
    client.write_all(&whole[..whole.len() - 3]).await.unwrap();
    // The pod has what there is before the rest has come.
    let mut servers = vec![server];
    let (server, got) = asked(&pod, &mut servers).await;
    assert!(got.starts_with("post /one ") && got.contains("content-length: 5"), "{got}");
    hears(server, "he").await;
    client.write_all(&whole[whole.len() - 3..]).await.unwrap();
    hears(server, "llo").await;
    answer(server, &mut client).await;
    site.stop().await;
}

#[tokio::test]
async fn who_goes_in_the_middle_of_one_was_never_there() {
    for awaited in [5, 100] {
        let (site, pod) = alone("http").await;
        let (mut client, mut server) = kept(&site, &pod).await;
        let whole = request("POST", "hello");
        client.write_all(&whole[..whole.len() - 5]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(awaited)).await;
        drop(client);
        // By the long way its head has come, over a connection of its own.
        let mut heard = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(150), server.read_to_end(&mut heard)).await;
        if let Ok(other) = tokio::time::timeout(Duration::from_millis(50), pod.accept()).await {
            let _ = other.unwrap().0.read_to_end(&mut heard).await;
        }
        assert!(!String::from_utf8_lossy(&heard).contains("hello"));
        let mut client = TcpStream::connect(site.door()).await.unwrap();
        client.write_all(&whole).await.unwrap();
        let mut servers = vec![server];
        let (server, _) = asked(&pod, &mut servers).await;
        hears(server, "hello").await;
        answer(server, &mut client).await;
        site.stop().await;
    }
}

/// What the pod says first is not plain, or nothing for long: it goes on the long way, and was sent all the same.
#[tokio::test]
async fn it_is_sent_once_whatever_its_pod_says() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let plain = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello";
    for method in ["POST", "PUT"] {
        for (said, status, body) in [
            (chunked, 200, "5\r\nhello\r\n0\r\n\r\n"),
            (&*format!("HTTP/1.1 100 Continue\r\n\r\n{plain}"), 201, "hello"),
            ("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 413, ""),
            ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""),
            (plain, 201, "hello"),
        ] {
            for (first, size) in [(4, 5), (said.len(), 16_384)] {
                let (site, pod) = alone("http").await;
                let (mut client, mut server) = kept(&site, &pod).await;
                client.write_all(&request(method, &"b".repeat(size))).await.unwrap();
                head(&mut server).await;
                hears(&mut server, &"b".repeat(size)).await;
                server.write_all(&said.as_bytes()[..first]).await.unwrap();
                if first < said.len() {
                    asked_once(&pod, &mut server).await;
                    server.write_all(&said.as_bytes()[first..]).await.unwrap();
                }
                let told = head(&mut client).await;
                assert!(told.starts_with(&format!("http/1.1 {status} ")), "{said:?}: {told}");
                hears(&mut client, body).await;
                if !said.contains("close") {
                    asked_once(&pod, &mut server).await;
                }
                site.stop().await;
            }
        }
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    // The connection has carried others, or was made for it; its pod may have read the request, and ends it.
    for (method, again) in [("POST", false), ("PATCH", false), ("PUT", true)] {
        let (site, pod) = alone("http").await;
        let (mut client, mut server) = kept(&site, &pod).await;
        client.write_all(&request(method, "hello")).await.unwrap();
        head(&mut server).await;
        hears(&mut server, "hello").await;
        drop(server);
        if again {
            let mut server = accepted(&pod).await;
            head(&mut server).await;
            hears(&mut server, "hello").await;
            answer(&mut server, &mut client).await;
        } else {
            assert!(head(&mut client).await.starts_with("http/1.1 502 "), "{method}");
            let other = tokio::time::timeout(Duration::from_millis(150), pod.accept()).await;
            assert!(other.is_err(), "{method}: asked once");
        }
        site.stop().await;
    }
}

/// What cannot be repeated is not put at the risk of a connection that its pod may be about to close.
#[tokio::test]
async fn what_may_not_be_done_again_goes_over_a_connection_that_was_used_just_now() {
    let (site, pod) = alone("http").await;
    let (mut client, mut first) = kept(&site, &pod).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    client.write_all(&request("PUT", "hello")).await.unwrap();
    head(&mut first).await;
    hears(&mut first, "hello").await;
    answer(&mut first, &mut client).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    client.write_all(&request("POST", "hello")).await.unwrap();
    let mut second = accepted(&pod).await;
    head(&mut second).await;
    hears(&mut second, "hello").await;
    answer(&mut second, &mut client).await;
    site.stop().await;
}

#[tokio::test]
async fn who_ends_its_direction_behind_it_gets_the_answer() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    client.write_all(&request("POST", "hello")).await.unwrap();
    head(&mut server).await;
    hears(&mut server, "hello").await;
    client.shutdown().await.unwrap();
    asked_once(&pod, &mut server).await;
    server.write_all(PLAIN).await.unwrap();
    let told = String::from_utf8(rest(&mut client).await.unwrap()).unwrap();
    assert!(told.contains("HTTP/1.1 200 OK\r\n") && told.ends_with("\r\n\r\nok"), "{told}");
    site.stop().await;
}

/// A body that came with the next request is no part of that.
#[tokio::test]
async fn who_pipelines_behind_it_gets_all_answers_in_order() {
    let (site, pod) = alone("http").await;
    let mut servers = Vec::new();
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(&[request("POST", "hello"), request("PUT", "again"), request("POST", "")].concat()).await.unwrap();
    for (method, body) in [("post", "hello"), ("put", "again"), ("post", "")] {
        let (server, got) = asked(&pod, &mut servers).await;
        assert!(got.starts_with(&format!("{method} /one ")), "{got}");
        hears(server, body).await;
        answer(server, &mut client).await;
    }
    site.stop().await;
}

/// Who had to leave for one request is back after it, if that had come to its end.
#[tokio::test]
async fn a_body_of_unknown_length_is_an_exception() {
    let (site, pod) = alone("http").await;
    let (mut client, server) = kept(&site, &pod).await;
    let mut servers = vec![server];
    let chunked = b"POST /one HTTP/1.1\r\nHost: model.ml\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    client.write_all(chunked).await.unwrap();
    let (server, _) = asked(&pod, &mut servers).await;
    hears(server, "5\r\nhello\r\n0\r\n\r\n").await;
    answer(server, &mut client).await;
    for _ in 0..3 {
        client.write_all(&request("POST", "hello")).await.unwrap();
        let (server, got) = asked_as_it_came(&pod, &mut servers).await;
        assert!(got.contains("\r\nX-Case: kept\r\n"), "{got}");
        hears(server, "hello").await;
        answer(server, &mut client).await;
    }
    site.stop().await;
}

#[tokio::test]
async fn its_time_runs_from_when_it_was_sent() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    client.write_all(&request("POST", "hello")).await.unwrap();
    head(&mut server).await;
    hears(&mut server, "hello").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    // By its head it is known to go the long way.
    server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("http/1.1 200 "));
    let latency = site.proxy().view().services[0].clusters[0].endpoints[0].latency_ms;
    assert!(latency > 350.0, "{latency} ms");
    site.stop().await;
}

#[tokio::test]
async fn one_that_has_begun_is_answered_in_a_drain() {
    let (site, pod) = alone("http").await;
    let (mut client, server) = kept(&site, &pod).await;
    let whole = request("POST", "hello");
    client.write_all(&whole[..whole.len() - 2]).await.unwrap();
    let answered = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.write_all(&whole[whole.len() - 2..]).await.unwrap();
        let mut servers = vec![server];
        let (server, _) = asked(&pod, &mut servers).await;
        hears(server, "hello").await;
        server.write_all(PLAIN).await.unwrap();
        String::from_utf8(rest(&mut client).await.unwrap()).unwrap()
    };
    let ((), told) = tokio::join!(site.stop(), answered);
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.contains("connection: close\r\n"), "{told}");
}

#[tokio::test]
async fn an_answer_without_a_body_is_followed_by_another() {
    let (site, pod) = alone("http").await;
    let (mut client, mut server) = kept(&site, &pod).await;
    for said in ["304 Not Modified\r\nContent-Length: 7", "204 No Content", "304 Not Modified"] {
        client.write_all(&request("PUT", "hello")).await.unwrap();
        let got = raw_head(&mut server).await;
        assert!(got.contains("\r\nX-Case: kept\r\n"), "{got}");
        hears(&mut server, "hello").await;
        server.write_all(format!("HTTP/1.1 {said}\r\n\r\n").as_bytes()).await.unwrap();
        let told = head(&mut client).await;
        assert!(told.starts_with(&format!("http/1.1 {}\r\n", said.to_ascii_lowercase())), "{told}");
    }
    site.stop().await;
}

/// A pod may answer before it has read all; what then comes of the body is never taken for a request, however late.
#[tokio::test]
async fn what_comes_behind_an_early_answer_is_still_the_body() {
    let (site, pod) = alone("http").await;
    let hidden = b"GET /hidden HTTP/1.1\r\nHost: model.ml\r\n\r\n";
    for wait in [100, 2_500] {
        let (mut client, server) = kept(&site, &pod).await;
        let mut servers = vec![server];
        client.write_all(b"POST /one HTTP/1.1\r\nHost: model.ml\r\nContent-Length: 200000\r\n\r\n").await.unwrap();
        let (server, _) = asked(&pod, &mut servers).await;
        answer(server, &mut client).await;
        // Long enough for an idle connection to give up its buffers.
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let _ = client.write_all(hidden).await;
        let mut after = Vec::new();
        let _ = tokio::time::timeout(Duration::from_millis(500), client.read_to_end(&mut after)).await;
        assert!(after.is_empty(), "{}", String::from_utf8_lossy(&after));
        if let Ok(other) = tokio::time::timeout(Duration::from_millis(200), pod.accept()).await {
            let got = head(&mut other.unwrap().0).await;
            assert!(!got.starts_with("get /hidden "), "{got}");
        }
    }
    site.stop().await;
}

/// What was answered early and never comes whole, to a pod that reads nothing, is idle in the end like any other.
#[tokio::test]
async fn who_owes_the_rest_of_a_body_is_not_kept_for_ever() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = listen(site.pod(0)).await;
    site.start_with(|config| config.timeouts.idle_client = Duration::from_secs(1)).await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(b"POST /one HTTP/1.1\r\nHost: model.ml\r\nContent-Length: 9000000\r\n\r\n").await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    answer(&mut server, &mut client).await;
    fill(&mut client, 9_000_000 - 1).await;
    assert!(rest(&mut client).await.unwrap_or_default().is_empty());
    site.stop().await;
}

/// A pod that takes no more of an upload, and never answers: its client is told, and not left with a connection that goes nowhere.
#[tokio::test]
async fn who_uploads_to_a_pod_that_reads_nothing_is_told_and_let_go() {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = listen(site.pod(0)).await;
    site.start_with(|config| {
        config.timeouts.request = Duration::from_secs(1);
        config.timeouts.body = Duration::from_secs(1);
    })
    .await;
    let mut client = TcpStream::connect(site.door()).await.unwrap();
    client.write_all(b"POST /one HTTP/1.1\r\nHost: model.ml\r\nContent-Length: 90000000\r\n\r\n").await.unwrap();
    let mut server = accepted(&pod).await;
    head(&mut server).await;
    fill(&mut client, 90_000_000 - 1).await;
    let told = head(&mut client).await;
    assert!(told.starts_with("http/1.1 504 ") && told.contains("connection: close\r\n"), "{told:?}");
    // It ends, one way or another.
    let _ = rest(&mut client).await;
    site.stop().await;
}
