#![allow(clippy::unwrap_used)]

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::oneshot;

use super::*;

/// One end, whose other end the test has.
struct Wire {
    io: DuplexStream,
    /// How often it was read from.
    reads: usize,
    fails_writes: bool,
    gone: oneshot::Receiver<()>,
}

/// An end that takes so many bytes nobody reads, its other end, and what ends it.
fn wire(room: usize) -> (Wire, DuplexStream, oneshot::Sender<()>) {
    let (near, far) = duplex(room);
    let (go, gone) = oneshot::channel();
    (Wire { io: near, reads: 0, fails_writes: false, gone }, far, go)
}

impl End for Wire {
    fn poll_gone(&mut self, _watch: &mut Broken, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.gone).poll(cx).map(drop)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reads += 1;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.fails_writes {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        unreachable!("what is written goes without")
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn nothing() -> (Bytes, Bytes) {
    (Bytes::new(), Bytes::new())
}

/// Says all of it and its end, and hears all that the other says.
async fn talk(mut io: DuplexStream, say: Vec<u8>) -> Vec<u8> {
    let (mut from, mut into) = tokio::io::split(&mut io);
    let mut heard = Vec::new();
    let speak = async {
        into.write_all(&say).await.unwrap();
        into.shutdown().await.unwrap();
    };
    let (heard_all, ()) = tokio::join!(from.read_to_end(&mut heard), speak);
    heard_all.unwrap();
    heard
}

#[tokio::test]
async fn all_that_both_say_arrives_in_order_however_little_is_taken_at_once() {
    let words: [Vec<u8>; 2] = [251_u8, 241].map(|most| (0..most).cycle().take(300_000).collect());
    for room in [1, 7, 4_096, 1 << 20] {
        let size = if room == 1 { 1_000 } else { 300_000 };
        let [a_says, b_says] = [0, 1].map(|at| words[at][..size].to_vec());
        let ((mut a, a_far, _a_gone), (mut b, b_far, _b_gone)) = (wire(room), wire(room));
        let scratch = RefCell::default();
        let ahead = (Bytes::from_static(b"before a"), Bytes::from_static(b"before b"));
        let joined = both_ways((&mut a, &mut b), ahead, &scratch);
        let (joined, a_heard, b_heard) = tokio::join!(joined, talk(a_far, a_says.clone()), talk(b_far, b_says.clone()));
        joined.unwrap();
        assert!(a_heard == [b"before b", &b_says[..]].concat(), "room for {room}");
        assert!(b_heard == [b"before a", &a_says[..]].concat(), "room for {room}");
    }
}

#[tokio::test]
async fn each_end_may_go_on_after_the_other_has_ended() {
    for a_ends_first in [true, false] {
        let ((mut a, mut a_far, _a_gone), (mut b, mut b_far, _b_gone)) = (wire(64), wire(64));
        let scratch = RefCell::default();
        let joined = both_ways((&mut a, &mut b), nothing(), &scratch);
        let talk = async {
            let (first, second) = if a_ends_first { (&mut a_far, &mut b_far) } else { (&mut b_far, &mut a_far) };
            first.write_all(b"goodbye").await.unwrap();
            first.shutdown().await.unwrap();
            let mut heard = Vec::new();
            second.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"goodbye");
            let mut answer = [0; 6];
            for _ in 0..3 {
                second.write_all(b"not so").await.unwrap();
                first.read_exact(&mut answer).await.unwrap();
                assert_eq!(&answer, b"not so");
            }
            second.shutdown().await.unwrap();
            assert_eq!(first.read(&mut answer).await.unwrap(), 0);
        };
        let (joined, ()) = tokio::join!(joined, talk);
        joined.unwrap();
    }
}

#[tokio::test]
async fn who_takes_nothing_is_read_nothing_for_and_nothing_is_kept_of_what_was_taken() {
    let ((mut a, mut a_far, _a_gone), (mut b, mut b_far, _b_gone)) = (wire(1 << 20), wire(10));
    let (scratch, mut way) = (RefCell::default(), Way::new(Bytes::new()));
    let mut turn = async |a: &mut Wire, b: &mut Wire| {
        let polled = poll_fn(|cx| Poll::Ready(way.poll(a, b, &scratch, cx))).await;
        assert!(polled.is_pending());
        way.unsent.len()
    };
    a_far.write_all(&[b'x'; 25]).await.unwrap();
    assert_eq!(turn(&mut a, &mut b).await, 15, "what was not taken");
    let reads = a.reads;
    a_far.write_all(&[b'y'; 1_000]).await.unwrap();
    for left in [15, 5] {
        assert_eq!((turn(&mut a, &mut b).await, a.reads), (left, reads), "nothing is read while it waits");
        b_far.read_exact(&mut [0; 10]).await.unwrap();
    }
    // The last of it goes, and more is read.
    assert_eq!((turn(&mut a, &mut b).await, a.reads), (995, reads + 1));
    b_far.read_exact(&mut [0; 10]).await.unwrap();
    for _ in 0..100 {
        if turn(&mut a, &mut b).await == 0 {
            return;
        }
        b_far.read_exact(&mut [0; 10]).await.unwrap();
    }
    panic!("it never goes");
}

#[tokio::test]
async fn who_has_much_to_say_lets_others_have_their_turn() {
    let ((mut a, mut a_far, _a_gone), (mut b, _b_far, _b_gone)) = (wire(1 << 20), wire(1 << 20));
    a_far.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    let scratch = RefCell::default();
    let mut joined = Box::pin(both_ways((&mut a, &mut b), nothing(), &scratch));
    assert!(size_of_val(&*joined) < 512, "an idle one is small");
    assert!((&mut joined).now_or_never().is_none());
    drop(joined);
    assert_eq!(a.reads, PIECES);
}

#[tokio::test]
async fn an_error_of_either_ends_both() {
    for of_a in [true, false] {
        let ((mut a, mut a_far, _a_gone), (mut b, mut b_far, _b_gone)) = (wire(64), wire(64));
        let scratch = RefCell::default();
        let speaker = if of_a {
            a.fails_writes = true;
            &mut b_far
        } else {
            b.fails_writes = true;
            &mut a_far
        };
        speaker.write_all(b"lost").await.unwrap();
        let error = both_ways((&mut a, &mut b), nothing(), &scratch).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn who_is_gone_after_its_end_ends_both_though_the_other_is_silent() {
    for of_a in [true, false] {
        let ((mut a, a_far, a_gone), (mut b, b_far, b_gone)) = (wire(64), wire(64));
        let scratch = RefCell::default();
        let ((mut first, go), (_second, _stays)) =
            if of_a { ((a_far, a_gone), (b_far, b_gone)) } else { ((b_far, b_gone), (a_far, a_gone)) };
        let mut joined = Box::pin(both_ways((&mut a, &mut b), nothing(), &scratch));
        assert!((&mut joined).now_or_never().is_none());
        first.shutdown().await.unwrap();
        assert!((&mut joined).now_or_never().is_none(), "it has only ended its direction");
        go.send(()).unwrap();
        assert_eq!(joined.now_or_never().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
