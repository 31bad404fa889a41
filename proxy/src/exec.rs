//! Lets hyper spawn on the worker's own thread.

use futures_util::FutureExt as _;
use hyper::rt::Executor;

/// Spawns on the thread's own runtime: a worker's futures never leave its thread, so they need not be `Send`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExec;

impl<F> Executor<F> for LocalExec
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        // An async block would hold the future twice.
        tokio::task::spawn_local(future.map(drop));
    }
}
