//! What several tests need. Time is told by hand.
#![allow(dead_code)]

pub(crate) mod sse;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http_transport::retry::{RetryBudget, RetryPolicy, run};
use http_transport::{
    Endpoint, EventStream, Phase, Request, Response, Transport, TransportConfig, TransportError,
};
use integration_core::{Delivery, Error, ManualClock};
use provider_testkit::upstream::ScriptedUpstream;

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn transport(clock: &ManualClock) -> Transport {
    Transport::new(TransportConfig::default(), Arc::new(clock.clone())).unwrap()
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url).unwrap().join("x", Some("key=hunter2"))
}

pub(crate) async fn get(
    transport: &Transport,
    server: &ScriptedUpstream,
) -> Result<Response, TransportError> {
    transport.send(Request::get(endpoint(&server.url())), None).await
}

pub(crate) async fn post(
    transport: &Transport,
    server: &ScriptedUpstream,
) -> Result<Response, TransportError> {
    let request = Request::post(endpoint(&server.url()), "{}");
    transport.send(request, None).await
}

/// All of an answer to a `GET`.
pub(crate) async fn whole(
    transport: &Transport,
    server: &ScriptedUpstream,
) -> Result<bytes::Bytes, TransportError> {
    get(transport, server).await?.bytes().await
}

pub(crate) async fn events(transport: &Transport, server: &ScriptedUpstream) -> EventStream {
    get(transport, server).await.unwrap().events()
}

pub(crate) fn phase(error: &TransportError) -> (Phase, Delivery) {
    match error {
        TransportError::Deadline { phase, delivery } => (*phase, *delivery),
        other => panic!("{other:?}"),
    }
}

/// Lets everything that can happen without time happen, then the time, until the task is done.
pub(crate) async fn let_time_pass<T>(clock: &ManualClock, task: tokio::task::JoinHandle<T>) -> T {
    loop {
        settle().await;
        if task.is_finished() {
            break;
        }
        clock.advance_to_next();
    }
    task.await.unwrap()
}

/// Lets other tasks of this thread run, and the kernel deliver what it holds.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// How many attempts the standard retry rules make of something that always fails like this.
pub(crate) fn attempts(error: TransportError, policy: RetryPolicy) -> u32 {
    let mut attempts = 0;
    let (kind, class, delivery) = {
        let error = Error::from(error);
        (error.kind(), error.retry_class(), error.delivery())
    };
    let clock = ManualClock::new();
    let budget = RetryBudget::default();
    let mut calls = Box::pin(run(&clock, &policy, &budget, 1, None, |_| {
        attempts += 1;
        let error = Error::new(kind, "x")
            .with_retry_class(class)
            .with_delivery(delivery);
        async move { Err::<(), _>(error) }
    }));
    while calls.as_mut().now_or_never().is_none() {
        assert!(clock.advance_to_next());
    }
    drop(calls);
    attempts
}
