//! Faults drawn by seed.

use std::sync::Arc;

use integration_core::{Delivery, ErrorKind};

use super::super::Answer;
use super::super::bench::{Bench, Mode, Verdict, ensure, is_kind};
use crate::fault_plan::{Fault, FaultKind, FaultPlan};
use crate::upstream::{Script, ScriptedUpstream};

/// How many steps of the plan each way of asking meets, all with one client.
const STEPS: usize = 100;
/// How many calls in all may end on a connection that the server closed just then. More is a client that does not call.
const UNSENT: usize = STEPS / 10;

/// How often the server's tasks may run between two calls.
const TURNS_BETWEEN_CALLS: usize = 8;

const TEXT: &str = "Hello, World";

pub(crate) async fn planned_faults_never_pass_for_an_answer(bench: &Bench) -> Verdict {
    for (mode, seed) in bench.modes().into_iter().zip([20_261_030, 20_261_031]) {
        let answer = Answer::text(&["Hello, ", "World"]);
        let plan = FaultPlan::everything(seed);
        let whole = bench.whole(&answer);
        let stream = bench.stream_of(bench.all_frames(&answer));
        let healthy: Arc<dyn Fn(bool) -> Script + Send + Sync> = Arc::new(move |wants_stream| {
            if wants_stream {
                stream.clone()
            } else {
                whole.clone()
            }
        });
        let (subject, served) = (Arc::clone(&bench.subject), Arc::clone(&healthy));
        let player = plan
            .clone()
            .player(move |request| served(subject.wants_stream(request)));
        let upstream = ScriptedUpstream::start(player).await;
        let candidate = bench.at(&upstream)?;
        let (cx, request) = (bench.cx()?, bench.request()?);
        let (mut step, mut unsent, mut unsent_in_a_row) = (0, 0, 0);
        while step < STEPS {
            // Which of the two healthy answers it would be makes no difference for the kind.
            let fault = plan.fault(step as u64, &healthy(mode == Mode::Pieces));
            let call = bench.call(&candidate, mode, &cx, &request);
            let call = match fault.kind() {
                FaultKind::Stall => {
                    // The requests of the calls before were never taken.
                    while upstream.has_untaken() {
                        upstream.next_request().await;
                    }
                    bench.until_given_up(&upstream, call).await?
                }
                _ => call.await,
            };
            let call = call.map_err(|wrong| format!("{fault}: {wrong}"))?;
            // A close that follows an answer has been made, and has arrived, when the next call begins.
            for _ in 0..TURNS_BETWEEN_CALLS {
                tokio::task::yield_now().await;
            }
            let sent = upstream.requests().len() - step;
            ensure!(sent <= 1, "{fault}: one call sent {sent} requests");
            step += sent;
            if sent == 0 {
                // A kept connection that the server closed just then: nobody's fault, but no answer either. The next call
                // needs a connection of its own.
                unsent += 1;
                unsent_in_a_row += 1;
                ensure!(
                    unsent_in_a_row == 1 && unsent <= UNSENT,
                    "{fault}: {unsent_in_a_row} calls in a row, {unsent} of {} in all, sent nothing: {:?}",
                    step + unsent,
                    call.result
                );
                let error = call
                    .failed()
                    .map_err(|wrong| format!("nothing was sent: {wrong}"))?;
                is_kind(&error, &[ErrorKind::Transport])?;
                continue;
            }
            unsent_in_a_row = 0;
            if let Err(error) = &call.result {
                ensure!(
                    error.delivery() != Delivery::NotSent,
                    "{fault}: the server read the request, and the error says that nothing was sent: {error:?}"
                );
            }
            is_right(&fault, call.result).map_err(|wrong| format!("{fault}: asked for {mode}: {wrong}"))?;
        }
    }
    Ok(())
}

fn is_right(fault: &Fault, result: integration_core::Result<integration_core::ChatResponse>) -> Verdict {
    match (fault.kind(), result) {
        (FaultKind::Healthy | FaultKind::Drip, Err(error)) => Err(format!("{error:?}")),
        // Whatever a client makes of these, it must come to an end.
        (FaultKind::Garbage | FaultKind::HostileStream, _) => Ok(()),
        (
            FaultKind::Status
            | FaultKind::Html
            | FaultKind::Empty
            | FaultKind::Redirect
            | FaultKind::ResetBeforeAnswer,
            Ok(answer),
        ) => Err(format!("an answer out of nothing: {answer:?}")),
        (FaultKind::Stall, Err(error)) => {
            ensure!(error.kind() == ErrorKind::Timeout, "{error:?}");
            Ok(())
        }
        (_, Err(_)) => Ok(()),
        // The fault may have come after everything of substance; but never may a part pass for the whole.
        (_, Ok(answer)) => {
            ensure!(
                answer.text() == TEXT,
                "a part passes for the whole: `{}`",
                answer.text()
            );
            Ok(())
        }
    }
}
