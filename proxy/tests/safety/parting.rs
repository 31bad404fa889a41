//! Clients of HTTP/2 that begin what they do not end, or are told to go and stay.

use std::num::NonZeroUsize;
use std::time::Duration;

use strait_proxy::ProxyConfig;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PRIORITY, RST_STREAM, block, frame, next, preface, say,
};
use crate::pod::Pod;
use crate::site::Site;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);
pub const REFUSED_STREAM: u32 = 7;
/// What a header announces of a frame.
const ANNOUNCED: usize = 16_384;

pub async fn site(edit: impl FnOnce(&mut ProxyConfig)) -> (Site, Pod) {
    let mut site = Site::new("us-west");
    site.export();
    site.slice(1);
    site.import("http");
    let pod = Pod::start(site.pod(0), "pod-0").await;
    site.start_with(|config| {
        config.workers = NonZeroUsize::new(1);
        edit(config);
    })
    .await;
    (site, pod)
}

pub async fn connect(site: &Site) -> TcpStream {
    let mut tcp = TcpStream::connect(site.door()).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    say(&mut tcp, &preface()).await.unwrap();
    tcp
}

pub fn request(stream: u32, method: &str, path: &str, end: u8) -> Vec<u8> {
    let fields: [(&[u8], &[u8]); 4] = [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"model.ml"),
        (b":path", path.as_bytes()),
    ];
    frame(HEADERS, END_HEADERS | end, stream, &block(&fields))
}

/// The next frame of that kind; nothing is answered, a ping least of all. `None` at the end of the connection.
async fn hears(tcp: &mut TcpStream, kind: u8) -> Option<Frame> {
    let heard = async {
        loop {
            match next(tcp).await {
                Some(frame) if frame.kind != kind => {}
                heard => return heard,
            }
        }
    };
    timeout(LIMIT, heard).await.expect("a frame or an end")
}

/// True when the connection ends although its client says a piece now and then.
async fn ends_under(tcp: TcpStream, mut piece: impl FnMut() -> Vec<u8>) -> bool {
    let (mut from, mut to) = tcp.into_split();
    let talk = async {
        while say(&mut to, &piece()).await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let listen = async { while next(&mut from).await.is_some() {} };
    timeout(LIMIT, async {
        tokio::select! { () = talk => {}, () = listen => {} }
    })
    .await
    .is_ok()
}

#[tokio::test]
async fn what_begins_to_come_comes_whole_or_ends_its_connection() {
    let (site, _pod) = site(|config| config.timeouts.head = Duration::from_secs(1)).await;
    let announced = |kind, flags| frame(kind, flags, 1, &[0; ANNOUNCED])[..9].to_vec();
    let open = frame(HEADERS, END_STREAM, 1, &block(&[(b":method", b"GET")]));
    for begun in [announced(HEADERS, END_HEADERS), announced(PRIORITY, 0), open, vec![0, 0, 5]] {
        let mut tcp = connect(&site).await;
        say(&mut tcp, &begun).await.unwrap();
        // Zeros at the end of a head that is not ended, or of a frame's header, would begin another frame.
        let trickles = begun.len() == 9;
        assert!(ends_under(tcp, || if trickles { vec![0] } else { Vec::new() }).await, "{begun:?}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_piece_of_a_body_may_take_longer() {
    let (site, _pod) = site(|config| config.timeouts.head = Duration::from_millis(500)).await;
    let mut tcp = connect(&site).await;
    say(&mut tcp, &request(1, "POST", "/echo", 0)).await.unwrap();
    let piece = frame(DATA, END_STREAM, 1, b"ten bytes!");
    let (begun, rest) = piece.split_at(9);
    say(&mut tcp, begun).await.unwrap();
    for byte in rest {
        sleep(Duration::from_millis(300)).await;
        say(&mut tcp, &[*byte]).await.unwrap();
    }
    let echoed = hears(&mut tcp, DATA).await.expect("it came whole");
    assert_eq!(echoed.payload, b"ten bytes!");
    site.stop().await;
}

#[tokio::test]
async fn who_was_told_to_go_is_answered_and_opens_no_streams_for_ever() {
    let (site, _pod) = site(|config| config.timeouts.client_age = Duration::from_millis(500)).await;
    let mut tcp = connect(&site).await;
    say(&mut tcp, &request(1, "GET", "/slow?6000", END_STREAM)).await.unwrap();
    hears(&mut tcp, GOAWAY).await.expect("it is told");
    let (mut from, mut to) = tcp.into_split();
    let talk = async {
        for stream in (3..).step_by(2) {
            if say(&mut to, &request(stream, "GET", "/", END_STREAM)).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let listen = async {
        let (mut slow, mut answered, mut turned_away) = (false, Vec::new(), Vec::new());
        while let Some(frame) = next(&mut from).await {
            match (frame.kind, frame.stream) {
                (DATA, 1) => slow |= frame.flags & END_STREAM != 0,
                (HEADERS, stream @ 3..) => answered.push(stream),
                (RST_STREAM, stream) if frame.code() == REFUSED_STREAM => turned_away.push(stream),
                _ => {}
            }
        }
        (slow, answered, turned_away)
    };
    let heard = async {
        tokio::select! {
            heard = listen => heard,
            () = talk => unreachable!(),
        }
    };
    let (slow, answered, turned_away) = timeout(LIMIT, heard).await.expect("its connection ends");
    assert!(slow, "what was under way is answered");
    let first = turned_away.iter().min().expect("some came too late");
    assert!(answered.iter().all(|stream| stream < first), "{answered:?}, {turned_away:?}");
    site.stop().await;
}

#[tokio::test]
async fn an_idle_client_that_hears_nothing_holds_up_no_end() {
    let (site, _pod) = site(|_| ()).await;
    let mut tcp = connect(&site).await;
    say(&mut tcp, &request(1, "GET", "/", END_STREAM)).await.unwrap();
    while hears(&mut tcp, DATA).await.expect("an answer").flags & END_STREAM == 0 {}
    let began = Instant::now();
    site.proxy().drain();
    site.proxy().stop(2 * LIMIT).await;
    assert!(began.elapsed() < LIMIT, "it waited for {:?}", began.elapsed());
    drop(tcp);
}
