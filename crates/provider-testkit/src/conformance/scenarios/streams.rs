//! How a client reads a stream, a good one and a bad one.

use std::pin::pin;

use integration_core::{Delivery, ErrorKind, StreamEvent};

use super::super::bench::{
    Bench, Call, Mode, NO_KEEP_ALIVES, Verdict, ensure, is_delivery, is_kind, next, turns,
};
use super::super::{Answer, WireUsage};
use crate::upstream::{Gate, Script, ScriptedUpstream};

fn hello() -> Answer {
    Answer::text(&["Hel", "lo \u{1F980}"])
}

/// The stream must be read as the ordinary answer.
async fn reads_hello(bench: &Bench, script: Script) -> Verdict {
    let read = bench.reads(script).await?.answered()?;
    ensure!(
        read.text() == "Hello \u{1F980}",
        "the text was read as `{}`",
        read.text()
    );
    ensure!(read.usage.is_some(), "the usage was lost");
    Ok(())
}

fn stream(bench: &Bench) -> Script {
    Script::chunked(200, bench.subject.stream_type())
}

pub(crate) async fn letters_may_be_cut_between_bytes(bench: &Bench) -> Verdict {
    let bytes = bench.all_frames(&hello()).concat();
    reads_hello(bench, stream(bench).drip(bytes.clone(), 1)).await?;
    reads_hello(bench, stream(bench).drip(bytes, 3)).await
}

pub(crate) async fn lines_may_end_with_cr_and_lf(bench: &Bench) -> Verdict {
    let text = bench.all_frames(&hello()).concat().replace('\n', "\r\n");
    reads_hello(bench, stream(bench).send(text.clone())).await?;
    reads_hello(bench, stream(bench).drip(text, 1)).await
}

pub(crate) async fn frames_may_come_all_at_once(bench: &Bench) -> Verdict {
    reads_hello(bench, stream(bench).send(bench.all_frames(&hello()).concat())).await?;
    // As from a server that knows the length of what it will say.
    let body = bench.all_frames(&hello()).concat();
    reads_hello(bench, Script::whole(200, bench.subject.stream_type(), body)).await?;
    let start = Script::until_close(200, bench.subject.stream_type());
    reads_hello(bench, start.send(bench.all_frames(&hello()).concat())).await
}

pub(crate) async fn keep_alives_do_not_surface(bench: &Bench) -> Verdict {
    let plain = bench.reads(bench.stream_of(bench.all_frames(&hello()))).await?;
    let kept = bench.subject.keep_alive();
    if kept.is_empty() {
        bench.is_untested(NO_KEEP_ALIVES);
    }
    let frames = bench.all_frames(&hello());
    let frames = frames
        .into_iter()
        .flat_map(|frame| [kept.clone(), kept.clone(), frame]);
    let call = bench.reads(bench.stream_of(frames)).await?;
    ensure!(
        call.events == plain.events,
        "with keep-alives the stream is {:?}, without them {:?}",
        call.events,
        plain.events
    );
    call.answered().map(drop)
}

pub(crate) async fn pieces_arrive_as_they_are_sent(bench: &Bench) -> Verdict {
    let answer = hello();
    let gates = [Gate::new(), Gate::new()];
    let frames = bench.all_frames(&answer);
    let script = frames
        .iter()
        .enumerate()
        .fold(stream(bench), |script, (at, frame)| {
            let script = script.send(frame.clone());
            if let Some(gate) = gates.get(at) {
                script.wait(gate)
            } else {
                script
            }
        });
    let upstream = ScriptedUpstream::always(script).await;
    let candidate = bench.at(&upstream)?;
    let (cx, request) = (bench.cx()?, bench.request()?);
    let reading = async {
        let mut stream = candidate
            .chat
            .chat_stream(&cx, &request)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let mut seen = String::new();
        for (gate, expected) in gates.iter().zip(["Hel", "Hello \u{1F980}"]) {
            while seen != expected {
                match next(&mut stream).await {
                    Some(Ok(StreamEvent::Content { text, .. })) => seen.push_str(&text),
                    Some(Ok(_)) => {}
                    other => return Err(format!("after `{seen}`: {other:?}")),
                }
            }
            gate.open();
        }
        Ok(())
    };
    // The server says no more until what it has said is given out.
    match turns(pin!(reading)).await {
        Some(verdict) => verdict,
        None => Err("a piece that has arrived is held back until more comes".to_owned()),
    }
}

pub(crate) async fn a_finished_stream_needs_no_last_frame(bench: &Bench) -> Verdict {
    reads_hello(bench, bench.stream_of(bench.subject.frames(&hello()))).await
}

/// A stream that is not complete must not look complete.
fn is_truncated(call: Call, kinds: &[ErrorKind]) -> Verdict {
    let so_far = call.text_so_far();
    ensure!(
        so_far == "Hello \u{1F980}",
        "what had come was given out as `{so_far}`"
    );
    let error = call.failed()?;
    is_kind(&error, kinds)?;
    is_delivery(&error, &[Delivery::Partial])?;
    keeps_generation(&error)
}

/// By the generation's id the cost of a broken answer can be asked for.
fn keeps_generation(error: &integration_core::Error) -> Verdict {
    let id = error.generation().map(|id| id.as_str());
    ensure!(
        id == Some("gen-1"),
        "the id of the generation that broke off was kept as {id:?}"
    );
    Ok(())
}

pub(crate) async fn a_stream_that_ends_early_is_truncated(bench: &Bench) -> Verdict {
    let frames = bench
        .subject
        .frames(&hello().with_finish(None).with_usage(WireUsage::Absent));
    let call = bench.reads(bench.stream_of(frames)).await?;
    is_truncated(call, &[ErrorKind::Truncated])
}

pub(crate) async fn a_stream_without_a_frame_is_truncated(bench: &Bench) -> Verdict {
    let keep_alive = bench.subject.keep_alive();
    for script in [stream(bench), bench.stream_of([keep_alive])] {
        let call = bench.reads(script).await?;
        ensure!(call.events.is_empty(), "pieces out of nothing: {:?}", call.events);
        let error = call.failed()?;
        is_kind(&error, &[ErrorKind::Truncated, ErrorKind::Protocol])?;
        // The server had accepted the request, so it may be billed.
        is_delivery(
            &error,
            &[Delivery::MaybeSent, Delivery::Answered, Delivery::Partial],
        )?;
    }
    Ok(())
}

fn begun(bench: &Bench) -> Script {
    bench.stream_of(
        bench
            .subject
            .frames(&hello().with_finish(None).with_usage(WireUsage::Absent)),
    )
}

pub(crate) async fn a_stream_that_is_cut_is_truncated(bench: &Bench) -> Verdict {
    let call = bench.reads(begun(bench).cut()).await?;
    is_truncated(call, &[ErrorKind::Truncated, ErrorKind::Transport])
}

pub(crate) async fn a_stream_that_breaks_is_truncated(bench: &Bench) -> Verdict {
    // Broken only once everything has been read: a reset takes with it what the peer has not read yet.
    let gate = Gate::new();
    let upstream = ScriptedUpstream::always(begun(bench).wait(&gate).reset()).await;
    let candidate = bench.at(&upstream)?;
    let mut stream = match candidate.chat.chat_stream(&bench.cx()?, &bench.request()?).await {
        Ok(stream) => stream,
        Err(error) => return Err(format!("{error:?}")),
    };
    let mut seen = String::new();
    while seen != "Hello \u{1F980}" {
        match next(&mut stream).await {
            Some(Ok(StreamEvent::Content { text, .. })) => seen.push_str(&text),
            Some(Ok(_)) => {}
            other => return Err(format!("after `{seen}`: {other:?}")),
        }
    }
    gate.open();
    let last = loop {
        match next(&mut stream).await {
            Some(Ok(StreamEvent::End)) | None => return Err("a broken stream looks complete".to_owned()),
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
        }
    };
    bench.is_clean(&last)?;
    is_kind(&last, &[ErrorKind::Truncated, ErrorKind::Transport])?;
    is_delivery(&last, &[Delivery::Partial])?;
    keeps_generation(&last)
}

pub(crate) async fn an_error_first_in_a_stream(bench: &Bench) -> Verdict {
    let frame = bench.subject.error_frame(503, "the upstream is overloaded");
    let call = bench
        .reads(bench.stream_of([bench.subject.keep_alive(), frame]))
        .await?;
    ensure!(call.text_so_far().is_empty(), "text out of nothing");
    let error = call.failed()?;
    is_server_error(bench, &error)?;
    is_delivery(
        &error,
        &[Delivery::Answered, Delivery::MaybeSent, Delivery::Partial],
    )
}

pub(crate) async fn an_error_in_the_middle_of_a_stream(bench: &Bench) -> Verdict {
    let mut frames = bench
        .subject
        .frames(&hello().with_finish(None).with_usage(WireUsage::Absent));
    frames.push(bench.subject.error_frame(503, "the upstream is overloaded"));
    // What follows an error must not turn it into an answer.
    frames.extend(bench.subject.last_frame());
    let call = bench.reads(bench.stream_of(frames)).await?;
    ensure!(
        call.text_so_far() == "Hello \u{1F980}",
        "what had come was given out as `{}`",
        call.text_so_far()
    );
    let error = call.failed()?;
    is_server_error(bench, &error)?;
    is_delivery(&error, &[Delivery::Partial])?;
    keeps_generation(&error)
}

/// An error that was told is not one of the protocol's: the caller must see whose it is.
fn is_server_error(bench: &Bench, error: &integration_core::Error) -> Verdict {
    let mut kinds = bench.subject.kinds(503);
    kinds.push(ErrorKind::Upstream);
    is_kind(error, &kinds)
}

pub(crate) async fn a_frame_that_cannot_be_read(bench: &Bench) -> Verdict {
    let good = bench.subject.frames(&hello());
    let Some(first) = good.first() else {
        return Err("a stream without a frame".to_owned());
    };
    // The same frame with its last third lost.
    let body = first.trim_end();
    let cut = (0..=body.len() * 2 / 3)
        .rev()
        .find(|at| body.is_char_boundary(*at))
        .unwrap_or(0);
    let broken = format!("{}{}", &body[..cut], &first[body.len()..]);
    let call = bench
        .reads(bench.stream_of([first.clone(), broken].into_iter().chain(good.clone())))
        .await?;
    let error = call.failed()?;
    is_kind(&error, &[ErrorKind::Protocol, ErrorKind::Truncated])?;
    is_delivery(&error, &[Delivery::Partial])
}

pub(crate) async fn dropping_a_stream_closes_the_connection(bench: &Bench) -> Verdict {
    let upstream = ScriptedUpstream::always(begun(bench).stall()).await;
    let candidate = bench.at(&upstream)?;
    let mut stream = match candidate.chat.chat_stream(&bench.cx()?, &bench.request()?).await {
        Ok(stream) => stream,
        Err(error) => return Err(format!("{error:?}")),
    };
    while !matches!(
        next(&mut stream).await,
        Some(Ok(StreamEvent::Content { .. })) | None
    ) {}
    let closed = turns(pin!(upstream.closed())).await.is_some();
    ensure!(
        !closed,
        "the connection is closed while the stream is still being read"
    );
    drop(stream);
    // The client itself lives on: it is the stream that must let go.
    match turns(pin!(upstream.closed())).await {
        Some(()) => bench.ask_nothing(&candidate),
        None => Err(
            "the stream is dropped, and its connection stays open: the server goes on, and bills".to_owned(),
        ),
    }
}

pub(crate) async fn a_frame_over_the_cap_is_refused(bench: &Bench) -> Verdict {
    const FILL: &str = "@@FILL@@";
    let frames = bench.all_frames(&Answer::text(&[FILL])).concat();
    let script = super::refusals::filled(stream(bench), &frames, FILL, bench.subject.largest_answer())?;
    let upstream = ScriptedUpstream::always(script).await;
    let error = bench.ask(&upstream, Mode::Pieces).await?.failed()?;
    is_kind(&error, &[ErrorKind::Protocol, ErrorKind::PayloadTooLarge])
}
