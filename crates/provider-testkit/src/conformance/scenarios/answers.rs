//! What a client reads.

use integration_core::chat::FinishReason;
use integration_core::{ChatResponse, Usage};

use super::super::bench::{Bench, Mode, Verdict, ensure, text};
use super::super::{Answer, Piece, WireUsage};

fn only(response: &ChatResponse) -> Verdict<&integration_core::chat::Choice> {
    match response.choices.as_slice() {
        [choice] => Ok(choice),
        choices => Err(format!("one answer was sent, {} were read", choices.len())),
    }
}

pub(crate) async fn an_answer_says_who_and_what(bench: &Bench) -> Verdict {
    let answer = Answer::text(&["Hel", "lo, ", "W\u{f6}rld"]);
    for read in bench.answers(&answer).await? {
        ensure!(
            read.text() == "Hello, W\u{f6}rld",
            "the text was read as `{}`",
            read.text()
        );
        ensure!(
            read.model.as_deref() == Some(&*answer.model),
            "the model that answered was read as {:?}",
            read.model
        );
        let id = read.id.as_ref().map(|id| id.as_str());
        ensure!(id == Some(&*answer.id), "the generation's id was read as {id:?}");
        let choice = only(&read)?;
        ensure!(
            choice.index == 0,
            "the only answer has the number {}",
            choice.index
        );
        ensure!(choice.message.tool_calls.is_empty(), "tool calls out of nothing");
        ensure!(choice.message.reasoning.is_none(), "reasoning out of nothing");
        ensure!(choice.message.refusal.is_none(), "a refusal out of nothing");
    }
    Ok(())
}

pub(crate) async fn a_folded_stream_equals_the_whole_answer(bench: &Bench) -> Verdict {
    let mut answers = vec![
        Answer::text(&["Hel", "lo"]),
        Answer::text(&["Hi"])
            .with_finish(Some(FinishReason::Length))
            .with_usage(WireUsage::Absent),
    ];
    if bench.declares(integration_core::Capability::Tools) {
        answers.push(
            Answer::new([Piece::tool(0, "call-1", "weather", "{}")])
                .with_finish(Some(FinishReason::ToolCalls)),
        );
    }
    for answer in answers {
        let mut read = bench.answers(&answer).await?;
        // Fields without a name of their own may differ: many servers name the two objects differently.
        read.iter_mut().for_each(|response| response.extra.clear());
        let [whole, folded] = read.as_slice() else {
            continue;
        };
        ensure!(whole == folded, "in one piece: {whole:?}\nfolded: {folded:?}");
    }
    Ok(())
}

pub(crate) async fn a_null_content_is_no_text(bench: &Bench) -> Verdict {
    let answer = Answer::new([Piece::Refusal("no".to_owned())]);
    for read in bench.answers(&answer).await? {
        ensure!(
            read.text().is_empty(),
            "no text was sent, `{}` was read",
            read.text()
        );
        ensure!(
            only(&read)?.message.content.is_none(),
            "null was read as an empty text"
        );
    }
    Ok(())
}

pub(crate) async fn reasoning_is_kept_apart(bench: &Bench) -> Verdict {
    let pieces = ["Let me ", "think."].map(|text| Piece::Reasoning(text.to_owned()));
    let answer = Answer::new(pieces.into_iter().chain([Piece::Text("Yes.".to_owned())]));
    for read in bench.answers(&answer).await? {
        ensure!(read.text() == "Yes.", "the text was read as `{}`", read.text());
        let reasoning = only(&read)?.message.reasoning.as_deref();
        ensure!(
            reasoning == Some("Let me think."),
            "the reasoning was read as {reasoning:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_refusal_is_kept_apart(bench: &Bench) -> Verdict {
    let answer = Answer::new(["I will ", "not."].map(|text| Piece::Refusal(text.to_owned())));
    for read in bench.answers(&answer).await? {
        let refusal = only(&read)?.message.refusal.as_deref();
        ensure!(
            refusal == Some("I will not."),
            "the refusal was read as {refusal:?}"
        );
        ensure!(read.text().is_empty(), "the refusal was read as text");
    }
    Ok(())
}

async fn finish_is(bench: &Bench, reason: FinishReason) -> Verdict {
    let answer = Answer::text(&["Hello"]).with_finish(Some(reason.clone()));
    for read in bench.answers(&answer).await? {
        let found = &only(&read)?.finish_reason;
        ensure!(
            *found == Some(reason.clone()),
            "the reason {reason:?} was read as {found:?}"
        );
    }
    Ok(())
}

pub(crate) async fn finish_reasons_are_told(bench: &Bench) -> Verdict {
    finish_is(bench, FinishReason::Stop).await?;
    finish_is(bench, FinishReason::Length).await?;
    finish_is(bench, FinishReason::ContentFilter).await
}

pub(crate) async fn an_unknown_finish_reason_is_kept(bench: &Bench) -> Verdict {
    finish_is(bench, FinishReason::Other("moon_phase".to_owned())).await
}

async fn usage(bench: &Bench, usage: WireUsage) -> Verdict<Vec<Option<Usage>>> {
    let answers = bench.answers(&Answer::text(&["Hello"]).with_usage(usage)).await?;
    Ok(answers.into_iter().map(|read| read.usage).collect())
}

async fn counted(bench: &Bench, cost: Option<&str>) -> Verdict<Vec<Usage>> {
    let (prompt, completion) = (1_234_567, 0);
    let wire = WireUsage::Tokens {
        prompt,
        completion,
        cost: cost.map(str::to_owned),
    };
    let mut read = Vec::new();
    for usage in usage(bench, wire).await? {
        let usage = usage.ok_or("the usage was lost")?;
        let counts = (usage.prompt_tokens, usage.completion_tokens);
        ensure!(
            counts == (Some(prompt), Some(completion)),
            "{prompt} and {completion} tokens were read as {counts:?}"
        );
        read.push(usage);
    }
    Ok(read)
}

pub(crate) async fn usage_is_counted(bench: &Bench) -> Verdict {
    for usage in counted(bench, None).await? {
        let cost = usage.reported.cost;
        ensure!(
            cost.is_none(),
            "no cost was sent, {cost:?} was read: unknown is not zero"
        );
    }
    Ok(())
}

pub(crate) async fn a_cost_keeps_every_digit(bench: &Bench) -> Verdict {
    // More digits than a float holds.
    for sent in ["0.00012345678901234567891", "0", "1.5e-7"] {
        let expected = if sent == "1.5e-7" { "0.00000015" } else { sent };
        for usage in counted(bench, Some(sent)).await? {
            let cost = usage.reported.cost.map(text);
            ensure!(
                cost.as_deref() == Some(expected),
                "a cost of {sent} was read as {cost:?}"
            );
        }
    }
    Ok(())
}

async fn usage_is_unknown(bench: &Bench, wire: WireUsage) -> Verdict {
    for usage in usage(bench, wire).await? {
        ensure!(
            usage.is_none(),
            "no usage was sent, {usage:?} was read: unknown is not zero"
        );
    }
    Ok(())
}

pub(crate) async fn absent_usage_is_unknown(bench: &Bench) -> Verdict {
    usage_is_unknown(bench, WireUsage::Absent).await
}

pub(crate) async fn null_usage_is_unknown(bench: &Bench) -> Verdict {
    usage_is_unknown(bench, WireUsage::Null).await
}

/// Asks with tools; the calls read must be these: id, name, arguments.
async fn calls_are(bench: &Bench, pieces: Vec<Piece>, expected: &[(&str, &str, &str)]) -> Verdict {
    let answer = Answer::new(pieces).with_finish(Some(FinishReason::ToolCalls));
    for read in bench.answers_to(&answer, &bench.request_with_tools()?).await? {
        let choice = only(&read)?;
        let calls = choice.message.tool_calls.iter();
        let found: Vec<_> = calls
            .map(|call| (&*call.id, &*call.function.name, &*call.function.arguments))
            .collect();
        ensure!(found == expected, "the calls {expected:?} were read as {found:?}");
        ensure!(
            choice.finish_reason == Some(FinishReason::ToolCalls),
            "the reason of an answer that calls tools was read as {:?}",
            choice.finish_reason
        );
        ensure!(read.text().is_empty(), "text out of nothing");
        for call in &choice.message.tool_calls {
            let arguments = call.parsed_arguments();
            ensure!(arguments.is_ok(), "the arguments are no JSON: {arguments:?}");
        }
    }
    Ok(())
}

pub(crate) async fn a_tool_call_in_one_piece(bench: &Bench) -> Verdict {
    let arguments = r#"{"city":"K\u00f6ln \"am\" Rhein"}"#;
    let pieces = vec![Piece::tool(0, "call-1", "weather", arguments)];
    calls_are(bench, pieces, &[("call-1", "weather", arguments)]).await
}

pub(crate) async fn a_tool_call_in_pieces(bench: &Bench) -> Verdict {
    let mut pieces = vec![Piece::tool(0, "call-1", "weather", "")];
    pieces.extend(["{\"ci", "ty", "\":\"K\u{f6}", "ln\"}"].map(|text| Piece::more(0, text)));
    calls_are(
        bench,
        pieces,
        &[("call-1", "weather", "{\"city\":\"K\u{f6}ln\"}")],
    )
    .await
}

pub(crate) async fn tool_calls_are_told_apart_by_index(bench: &Bench) -> Verdict {
    let pieces = vec![
        Piece::tool(0, "call-a", "weather", "{\"n\""),
        Piece::tool(1, "call-b", "time", "{\"n\""),
        Piece::more(0, ":0}"),
        Piece::more(1, ":1}"),
    ];
    let expected = [
        ("call-a", "weather", "{\"n\":0}"),
        ("call-b", "time", "{\"n\":1}"),
    ];
    calls_are(bench, pieces, &expected).await
}

pub(crate) async fn a_tool_call_without_arguments(bench: &Bench) -> Verdict {
    calls_are(
        bench,
        vec![Piece::tool(0, "call-1", "weather", "")],
        &[("call-1", "weather", "")],
    )
    .await
}

pub(crate) async fn a_stream_follows_the_grammar(bench: &Bench) -> Verdict {
    let upstream = bench.serving(&Answer::text(&["Hel", "lo"])).await;
    // The grammar itself is held to by every call.
    let call = bench.ask(&upstream, Mode::Pieces).await?;
    let started = call.events.first();
    ensure!(
        matches!(started, Some(integration_core::StreamEvent::Start(start)) if start.id.is_some()),
        "the first piece says who answers, with the generation's id: {started:?}"
    );
    ensure!(
        call.text_so_far() == "Hello",
        "the pieces of the text are `{}`",
        call.text_so_far()
    );
    call.answered()?;
    ensure!(
        bench.subject.wants_stream(&bench.sent(&upstream)?),
        "a stream was asked for, and a whole answer was requested"
    );
    Ok(())
}
