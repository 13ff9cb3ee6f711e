//! The deadline of a connection, measured by the transport's clock like all the others.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use integration_core::{BoxFuture, Clock};
use tower::{Layer, Service};

type BoxError = Box<dyn StdError + Send + Sync>;

/// What a connection that took too long fails with; found again in the chain of causes.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
pub(crate) struct ConnectTimeout;

#[derive(Debug, Clone)]
pub(crate) struct ConnectDeadline {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limit: Duration,
}

impl<S> Layer<S> for ConnectDeadline {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            deadline: self.clone(),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Guarded<S> {
    inner: S,
    deadline: ConnectDeadline,
}

impl<S, R> Service<R> for Guarded<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let mut connecting = Box::pin(self.inner.call(request));
        let mut timer = self.deadline.clock.sleep(self.deadline.limit);
        Box::pin(poll_fn(move |cx| {
            if let Poll::Ready(outcome) = connecting.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            timer.as_mut().poll(cx).map(|()| Err(ConnectTimeout.into()))
        }))
    }
}
