//! What the library costs alone: a relay of hyper on tokio, as its documentation would have it, with kept connections to
//! the pod and nothing of what a proxy is for. What Strait takes above this is its own.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, Response, Uri, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1 as to_pod1, http2 as to_pod2};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What is spoken on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sides {
    /// HTTP/1.1.
    H1,
    /// HTTP/2 from the client, HTTP/1.1 to the pod.
    H2ToH1,
    /// HTTP/2.
    H2,
}

/// Tasks of the one thread.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// Connections to the pod.
struct Pod {
    at: SocketAddr,
    idle: RefCell<Vec<to_pod1::SendRequest<Incoming>>>,
    shared: RefCell<Option<to_pod2::SendRequest<Incoming>>>,
}

/// An answer's body; its connection is kept once it has ended.
struct Back {
    body: Incoming,
    sender: Option<to_pod1::SendRequest<Incoming>>,
    pod: Rc<Pod>,
}

impl Body for Back {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take().filter(|_| self.body.is_end_stream()) {
            self.pod.idle.borrow_mut().push(sender);
        }
    }
}

impl Pod {
    async fn sender1(&self) -> Result<to_pod1::SendRequest<Incoming>, Failed> {
        let kept = self.idle.borrow_mut().pop();
        if let Some(mut sender) = kept
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let (sender, conn) = to_pod1::handshake(TokioIo::new(dial(self.at).await?)).await?;
        spawn_local(conn);
        Ok(sender)
    }

    async fn sender2(&self) -> Result<to_pod2::SendRequest<Incoming>, Failed> {
        if let Some(sender) = self.shared.borrow().clone().filter(|s| !s.is_closed()) {
            return Ok(sender);
        }
        let (sender, conn) = to_pod2::handshake(Here, TokioIo::new(dial(self.at).await?)).await?;
        spawn_local(conn);
        Ok(self.shared.borrow_mut().insert(sender).clone())
    }
}

async fn dial(to: SocketAddr) -> std::io::Result<TcpStream> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn carry(pod: Rc<Pod>, sides: Sides, mut request: Request<Incoming>) -> Result<Response<Back>, Failed> {
    if sides == Sides::H2 {
        let response = pod.sender2().await?.send_request(request).await?;
        return Ok(response.map(|body| Back { body, sender: None, pod }));
    }
    if request.version() == Version::HTTP_2 {
        let authority = request.uri().authority().map(|a| HeaderValue::from_str(a.as_str())).transpose()?;
        let path = request.uri().path_and_query().map_or(Uri::default(), |path| path.clone().into());
        request.headers_mut().extend(authority.map(|authority| (HOST, authority)));
        *request.uri_mut() = path;
        *request.version_mut() = Version::HTTP_11;
    }
    request.headers_mut().remove(CONNECTION);
    let mut sender = pod.sender1().await?;
    let mut response = sender.send_request(request).await?;
    response.headers_mut().remove(CONNECTION);
    Ok(response.map(|body| Back { body, sender: Some(sender), pod }))
}

/// Relays until the process ends.
pub fn relay(listen: SocketAddr, to: SocketAddr, sides: Sides) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pod = Rc::new(Pod { at: to, idle: RefCell::default(), shared: RefCell::default() });
    runtime.block_on(LocalSet::new().run_until(async move {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (tcp, _) = listener.accept().await?;
            tcp.set_nodelay(true)?;
            let pod = pod.clone();
            let service = service_fn(move |request| carry(pod.clone(), sides, request));
            spawn_local(async move {
                let io = TokioIo::new(tcp);
                // Who ends how is of no interest here: the client checks every answer.
                let _ = match sides {
                    Sides::H1 => http1::Builder::new().serve_connection(io, service).await,
                    Sides::H2ToH1 | Sides::H2 => http2::Builder::new(Here).serve_connection(io, service).await,
                };
            });
        }
    }))
}
