//! What the shape of the request path costs: five stages as plain async functions, or as `tower` layers. The stages do
//! next to nothing, so that the shape is all there is to see. It measures what `docs/adr/0007` claims.
//!
//! `cargo bench --bench layers`

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, criterion_group, criterion_main};
use tower::{Layer, Service, ServiceBuilder};

mod counting;

/// What every stage reads and writes, as a worker's cells are.
#[derive(Default)]
struct Worker {
    stages: Cell<u64>,
}

impl Worker {
    fn stage(&self, request: u64) -> Option<u64> {
        self.stages.set(self.stages.get() + 1);
        (request != u64::MAX).then(|| request + 1)
    }
}

/// The innermost stage, as the wait for a pod is: not ready at the first poll.
async fn upstream(worker: Rc<Worker>, request: u64) -> Option<u64> {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    worker.stage(request)
}

mod plain {
    use super::{Rc, Worker, upstream};

    pub(super) async fn metrics(worker: &Rc<Worker>, request: u64) -> Option<u64> {
        let request = worker.stage(request)?;
        admission(worker, request).await
    }

    async fn admission(worker: &Rc<Worker>, request: u64) -> Option<u64> {
        let request = worker.stage(request)?;
        deadline(worker, request).await
    }

    async fn deadline(worker: &Rc<Worker>, request: u64) -> Option<u64> {
        let request = worker.stage(request)?;
        route(worker, request).await
    }

    async fn route(worker: &Rc<Worker>, request: u64) -> Option<u64> {
        let request = worker.stage(request)?;
        retry(worker, request).await
    }

    async fn retry(worker: &Rc<Worker>, request: u64) -> Option<u64> {
        let request = worker.stage(request)?;
        upstream(worker.clone(), request).await
    }
}

type Local = Pin<Box<dyn Future<Output = Result<Option<u64>, Infallible>>>>;

/// One layer, as it is written when its future has no name: boxed, over a clone of the service within, since the
/// future may outlive the call.
#[derive(Clone)]
struct Stage<S> {
    worker: Rc<Worker>,
    inner: S,
}

impl<S> Service<u64> for Stage<S>
where
    S: Service<u64, Response = Option<u64>, Error = Infallible> + Clone + 'static,
{
    type Response = Option<u64>;
    type Error = Infallible;
    type Future = Local;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: u64) -> Local {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let worker = self.worker.clone();
        Box::pin(async move {
            match worker.stage(request) {
                Some(request) => inner.call(request).await,
                None => Ok(None),
            }
        })
    }
}

struct Wrap(Rc<Worker>);

impl<S> Layer<S> for Wrap {
    type Service = Stage<S>;

    fn layer(&self, inner: S) -> Stage<S> {
        Stage { worker: self.0.clone(), inner }
    }
}

fn stack(
    worker: &Rc<Worker>,
) -> impl Service<u64, Response = Option<u64>, Error = Infallible, Future = Local> + Clone + use<> {
    let stage = || Wrap(worker.clone());
    let last = worker.clone();
    ServiceBuilder::new().layer(stage()).layer(stage()).layer(stage()).layer(stage()).layer(stage()).service(
        tower::service_fn(move |request| {
            let worker = last.clone();
            async move { Ok::<_, Infallible>(upstream(worker, request).await) }
        }),
    )
}

fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

fn layers(c: &mut Criterion) {
    let worker = Rc::new(Worker::default());
    let stack = stack(&worker);
    // As a connection's service does it: a clone of the stack for each request.
    let layered = |request| {
        let mut service = stack.clone();
        finish(async move { service.call(request).await.unwrap_or_default() })
    };
    let each = |work: &dyn Fn(u64) -> Option<u64>| {
        counting::allocations(|| {
            for request in 0..10_000 {
                black_box(work(request));
            }
        })
    };
    let (plain, tower) = (each(&|n| finish(plain::metrics(&worker, n))), each(&layered));
    println!("allocations in 10,000 requests: plain {plain}, tower {tower}");
    c.bench_function("layers/plain", |b| b.iter(|| finish(plain::metrics(&worker, black_box(7)))));
    c.bench_function("layers/tower", |b| b.iter(|| layered(black_box(7))));
}

criterion_group!(benches, layers);
criterion_main!(benches);
