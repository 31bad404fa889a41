//! Lets hyper spawn on the worker's own thread.

use hyper::rt::Executor;

/// Spawns on the thread's own runtime: a worker's futures never leave its thread, so they need not be `Send`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F> Executor<F> for LocalExec
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
