//! Knowing whether a request is still connecting, or was sent on a connection that existed before.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// The watch of the request this task is sending. The client connects on the task that sends.
    static WATCH: ConnectWatch;
}

/// What is known of the connection of one request. Shared between the request and the connector below it, which sees
/// no request: so a lock, held for an assignment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectWatch(Arc<Mutex<Connecting>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Connecting {
    /// No connection was asked for, or another was sooner: if the request went out, then on one from the pool.
    #[default]
    NotNeeded,
    /// Being made, under the connect limit.
    Now,
    /// Made at this time.
    Done(Instant),
}

impl ConnectWatch {
    pub fn state(&self) -> Connecting {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `sending` so that its connects are seen here.
    pub async fn over<F: Future>(&self, sending: F) -> F::Output {
        WATCH.scope(self.clone(), sending).await
    }

    fn set(&self, state: Connecting) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Reports connects to the [`ConnectWatch`] of the task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchLayer;

impl<S> Layer<S> for WatchLayer {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched(inner)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Watched<S>(S);

impl<S, R> Service<R> for Watched<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let watch = WATCH.try_with(Clone::clone).unwrap_or_default();
        watch.set(Connecting::Now);
        let connecting = self.0.call(request);
        Box::pin(async move {
            let connected = connecting.await;
            // A request that was given a pooled connection meanwhile leaves the one in the making to a task of the
            // client, where no watch is in scope.
            let is_for_it = WATCH.try_with(|scoped| Arc::ptr_eq(&scoped.0, &watch.0)) == Ok(true);
            watch.set(match is_for_it {
                true => Connecting::Done(Instant::now()),
                false => Connecting::NotNeeded,
            });
            connected
        })
    }
}
