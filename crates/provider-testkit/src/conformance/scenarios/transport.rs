//! Connections that fail, and time that passes.

use std::pin::pin;
use std::time::Duration;

use integration_core::{Clock, Delivery, Error, ErrorKind, RetryClass, StreamEvent};
use tokio::net::TcpListener;

use super::super::bench::{Bench, NO_KEEP_ALIVES, Verdict, ensure, is_delivery, is_kind, next, read, turns};
use super::super::{Answer, WireUsage};
use crate::upstream::{Gate, Script, ScriptedUpstream};

/// An address at which nobody listens any more.
pub(super) async fn dead_url() -> String {
    match TcpListener::bind("127.0.0.1:0")
        .await
        .and_then(|listener| listener.local_addr())
    {
        Ok(address) => format!("http://{address}"),
        Err(_) => "http://127.0.0.1:9".to_owned(),
    }
}

pub(crate) async fn a_refused_connection_sent_nothing(bench: &Bench) -> Verdict {
    let candidate = bench.candidate(&dead_url().await)?;
    for mode in bench.modes() {
        let error = bench
            .call(&candidate, mode, &bench.cx()?, &bench.request()?)
            .await?
            .failed()?;
        is_kind(&error, &[ErrorKind::Transport])?;
        is_delivery(&error, &[Delivery::NotSent])?;
        ensure!(
            error.retry_class() != RetryClass::Never,
            "another deployment may well be there"
        );
    }
    Ok(())
}

async fn no_answer(bench: &Bench, script: Script) -> Verdict {
    for (_, error) in bench.failures(&script).await? {
        is_kind(&error, &[ErrorKind::Transport])?;
        // It may have been read, and billed, before the connection broke.
        is_delivery(&error, &[Delivery::MaybeSent])?;
    }
    Ok(())
}

pub(crate) async fn a_reset_before_the_answer_may_have_been_sent(bench: &Bench) -> Verdict {
    no_answer(bench, Script::new().reset()).await
}

pub(crate) async fn an_end_before_the_answer_may_have_been_sent(bench: &Bench) -> Verdict {
    no_answer(bench, Script::new().cut()).await?;
    // In the middle of the head.
    no_answer(bench, Script::json(200, "{}").cut_after(20)).await
}

pub(crate) async fn silence_before_the_answer_is_a_timeout(bench: &Bench) -> Verdict {
    for mode in bench.modes() {
        let upstream = ScriptedUpstream::always(Script::new().stall()).await;
        let call = bench
            .until_given_up(&upstream, bench.ask(&upstream, mode))
            .await??;
        let error = call.failed()?;
        is_kind(&error, &[ErrorKind::Timeout])?;
        is_delivery(&error, &[Delivery::MaybeSent])?;
        is_closed(&upstream).await?;
    }
    Ok(())
}

async fn is_closed(upstream: &ScriptedUpstream) -> Verdict {
    let closed = turns(pin!(upstream.closed())).await;
    ensure!(
        closed.is_some(),
        "the call is over, and its connection stays open"
    );
    Ok(())
}

pub(crate) async fn silence_in_a_stream_is_a_timeout(bench: &Bench) -> Verdict {
    let begun = Answer::text(&["Hello"])
        .with_finish(None)
        .with_usage(WireUsage::Absent);
    let upstream = ScriptedUpstream::always(bench.stream_of(bench.subject.frames(&begun)).stall()).await;
    let candidate = bench.at(&upstream)?;
    let stream = candidate.chat.chat_stream(&bench.cx()?, &bench.request()?).await;
    let mut stream = stream.map_err(|error| format!("{error:?}"))?;
    loop {
        match next(&mut stream).await {
            Some(Ok(StreamEvent::Content { .. })) => break,
            Some(Ok(_)) => {}
            other => return Err(format!("before any silence: {other:?}")),
        }
    }
    let rest = async {
        loop {
            match next(&mut stream).await {
                Some(Ok(StreamEvent::End)) | None => break None,
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error),
            }
        }
    };
    let error: Option<Error> = bench.while_time_passes(pin!(rest)).await?;
    let error = error.ok_or("a stream that fell silent ended like a good one")?;
    drop(stream);
    bench.is_clean(&error)?;
    is_kind(&error, &[ErrorKind::Timeout])?;
    is_delivery(&error, &[Delivery::Partial])?;
    is_closed(&upstream).await
}

pub(crate) async fn keep_alives_alone_are_a_timeout(bench: &Bench) -> Verdict {
    let kept = bench.subject.keep_alive();
    if kept.is_empty() {
        bench.is_untested(NO_KEEP_ALIVES);
        return Ok(());
    }
    /// Shorter than any client waits between two pieces.
    const STEP: Duration = Duration::from_secs(5);
    let steps = bench.subject.patience().as_secs() / STEP.as_secs() + 1;
    let gates: Vec<Gate> = (0..steps).map(|_| Gate::new()).collect();
    let start = bench.stream_of([kept.clone()]);
    let script = gates
        .iter()
        .fold(start, |script, gate| script.wait(gate).send(kept.clone()));
    let upstream = ScriptedUpstream::always(script.stall()).await;
    let candidate = bench.at(&upstream)?;
    let (cx, request) = (bench.cx()?, bench.request()?);
    let mut call = pin!(async {
        match candidate.chat.chat_stream(&cx, &request).await {
            Ok(mut stream) => read(&mut stream, &mut Vec::new()).await,
            Err(error) => Ok(Err(error)),
        }
    });
    tokio::select! {
        biased;
        out = &mut call => return Err(format!("before any time had passed: {out:?}")),
        _ = upstream.next_request() => {}
    }
    for gate in &gates {
        if let Some(out) = turns(call.as_mut()).await {
            let error = out?.err().ok_or("keep-alives were read as an answer")?;
            bench.is_clean(&error)?;
            return is_kind(&error, &[ErrorKind::Timeout]);
        }
        bench.clock.advance(STEP);
        gate.open();
    }
    let patience = bench.subject.patience();
    Err(format!(
        "nothing but keep-alives for {patience:?}, and the client still waits"
    ))
}

pub(crate) async fn the_callers_deadline_holds(bench: &Bench) -> Verdict {
    for mode in bench.modes() {
        let upstream = ScriptedUpstream::always(Script::new().stall()).await;
        let candidate = bench.at(&upstream)?;
        let deadline = bench.clock.now() + Duration::from_secs(5);
        let (cx, request) = (bench.cx()?.with_deadline(deadline), bench.request()?);
        let call = bench
            .until_given_up(&upstream, bench.call(&candidate, mode, &cx, &request))
            .await??;
        let error = call.failed()?;
        is_kind(&error, &[ErrorKind::Timeout, ErrorKind::Cancelled])?;
        is_delivery(&error, &[Delivery::MaybeSent])?;
        let late = bench.clock.now().saturating_duration_since(deadline);
        ensure!(late.is_zero(), "the caller's deadline was overrun by {late:?}");
    }
    Ok(())
}

pub(crate) async fn a_deadline_that_has_passed_sends_nothing(bench: &Bench) -> Verdict {
    let deadline = bench.clock.now();
    bench.clock.advance(Duration::from_secs(1));
    for mode in bench.modes() {
        let upstream = bench.serving(&Answer::text(&["Hello"])).await;
        let candidate = bench.at(&upstream)?;
        let cx = bench.cx()?.with_deadline(deadline);
        let error = bench
            .call(&candidate, mode, &cx, &bench.request()?)
            .await?
            .failed()?;
        is_kind(&error, &[ErrorKind::Timeout, ErrorKind::Cancelled])?;
        is_delivery(&error, &[Delivery::NotSent])?;
        let sent = upstream.requests().len();
        ensure!(
            sent == 0,
            "{sent} requests were sent after the caller had stopped waiting"
        );
    }
    Ok(())
}

pub(crate) async fn dropping_a_call_closes_the_connection(bench: &Bench) -> Verdict {
    for mode in bench.modes() {
        let upstream = ScriptedUpstream::always(Script::new().stall()).await;
        let candidate = bench.at(&upstream)?;
        {
            let (cx, request) = (bench.cx()?, bench.request()?);
            let call = bench.call(&candidate, mode, &cx, &request);
            tokio::select! {
                biased;
                out = call => return Err(format!("an answer out of nothing: {out:?}")),
                _ = upstream.next_request() => {}
            }
        }
        is_closed(&upstream).await?;
        bench.ask_nothing(&candidate)?;
    }
    Ok(())
}
