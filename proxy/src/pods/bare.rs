//! Kept connections to pods that no library drives: what the fast path sends its requests over.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::stacks::{Condition, Stacks};
use crate::config::{Limits, Timeouts};

/// One worker's.
pub(crate) struct BarePods(Stacks<SocketAddr, TcpStream>);

/// True when its pod has ended the connection, or said what nobody asked for. Costs no system call while the runtime knows of
/// nothing to be read.
fn is_over(tcp: &TcpStream) -> bool {
    !matches!(tcp.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

impl BarePods {
    pub(crate) fn new(timeouts: &Timeouts, limits: &Limits) -> Self {
        Self(Stacks::new(timeouts, limits))
    }

    /// The freshest that its pod has not ended, if it has not been idle for longer than that.
    pub(crate) fn take(&self, pod: SocketAddr, now: Instant, longest: Duration) -> Option<TcpStream> {
        let condition = |tcp: &TcpStream| if is_over(tcp) { Condition::Over } else { Condition::Ready };
        self.0.take(pod, now, longest, condition)
    }

    /// Keeps one whose answer was read to its end at `now`.
    pub(crate) fn put(&self, pod: SocketAddr, tcp: TcpStream, now: Instant) {
        self.0.put(pod, tcp, now);
    }

    /// Drops what has been idle for too long, or was ended.
    pub(crate) fn sweep(&self) {
        self.0.sweep(Instant::now(), is_over);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    async fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn the_freshest_that_is_still_good() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pod = listener.local_addr().unwrap();
        let bare = BarePods::new(&Timeouts::default(), &Limits::default());
        let (mut first, mut first_far) = pair(&listener).await;
        let (second, second_far) = pair(&listener).await;
        let (third, mut third_far) = pair(&listener).await;
        // Ready to be read as far as the runtime knows, since its buffer was filled.
        first_far.write_all(b"answer").await.unwrap();
        first.read_exact(&mut [0; 6]).await.unwrap();
        let (now, address) = (Instant::now(), first.local_addr().unwrap());
        drop(second_far);
        third_far.write_all(b"unasked").await.unwrap();
        second.readable().await.unwrap();
        third.readable().await.unwrap();
        [first, second, third].into_iter().for_each(|tcp| bare.put(pod, tcp, now));
        assert_eq!(bare.take(pod, now, LONG).unwrap().local_addr().unwrap(), address);
        assert!(bare.take(pod, now, LONG).is_none());

        let (old, _old_far) = pair(&listener).await;
        bare.put(pod, old, now);
        let ms = Duration::from_millis;
        assert!(bare.take(pod, now + ms(2), ms(1)).is_none(), "too old for this request");
        let kept = bare.take(pod, now + ms(2), ms(2)).unwrap();
        bare.put(pod, kept, now);
        assert!(bare.take(pod, now + Timeouts::default().idle_pod + ms(1), LONG).is_none(), "too old for any");
    }
}
