//! What a client does beside chat.

use integration_core::{Delivery, EmbeddingRequest, ModelId};

use super::super::bench::{Bench, Verdict, ensure, is_delivery, is_kind, text};
use crate::upstream::{Script, ScriptedUpstream};

fn texts(bench: &Bench) -> Verdict<EmbeddingRequest> {
    let model = ModelId::new(bench.subject.model()).map_err(text)?;
    let input = ["one", "two", "three"].map(str::to_owned).to_vec();
    Ok(EmbeddingRequest::new(model, input))
}

const NO_TRAIT: &str =
    "embeddings are declared, but the candidate has no client for them: `Candidate::with_embeddings`";

pub(crate) async fn vectors_come_in_the_order_of_the_texts(bench: &Bench) -> Verdict {
    let vectors = [vec![1.0, 0.5], vec![2.0, 0.25], vec![3.0, 0.125]];
    let upstream = ScriptedUpstream::always(Script::json(200, bench.subject.vectors_body(&vectors))).await;
    let client = bench.at(&upstream)?.embeddings.ok_or(NO_TRAIT)?;
    let answer = match client.embed(&bench.cx()?, &texts(bench)?).await {
        Ok(answer) => answer,
        Err(error) => return Err(format!("{error:?}")),
    };
    let read: Vec<_> = answer
        .embeddings
        .iter()
        .map(|one| (one.index, one.vector.clone()))
        .collect();
    let expected: Vec<_> = vectors.into_iter().enumerate().collect();
    ensure!(read == expected, "the vectors {expected:?} were read as {read:?}");
    let sent = bench.sent(&upstream)?;
    ensure!(
        bench.subject.carries_key(&sent, bench.key()),
        "the texts were sent without the key"
    );
    for word in ["one", "two", "three"] {
        ensure!(sent.text().contains(word), "the text `{word}` was not sent");
    }
    Ok(())
}

pub(crate) async fn a_refused_embedding_is_told(bench: &Bench) -> Verdict {
    let script = Script::json(429, bench.subject.error_body(429, "too many"));
    let upstream = ScriptedUpstream::always(script).await;
    let client = bench.at(&upstream)?.embeddings.ok_or(NO_TRAIT)?;
    match client.embed(&bench.cx()?, &texts(bench)?).await {
        Ok(answer) => Err(format!("a refusal was read as {answer:?}")),
        Err(error) => {
            bench.is_clean(&error)?;
            is_kind(&error, &bench.subject.kinds(429))?;
            is_delivery(&error, &[Delivery::Answered])
        }
    }
}

const NO_LIST: &str =
    "the candidate has no list of models: `Candidate::with_models`, or skip this scenario and say why";

pub(crate) async fn models_are_listed(bench: &Bench) -> Verdict {
    let ids = ["acme/model-2", "acme/model-1", "other/model:free"];
    let upstream = ScriptedUpstream::always(Script::json(200, bench.subject.models_body(&ids))).await;
    let list = bench.at(&upstream)?.models.ok_or(NO_LIST)?;
    let listed = list().await.map_err(|error| format!("{error:?}"))?;
    ensure!(listed == ids, "the models {ids:?} were read as {listed:?}");
    match upstream
        .requests()
        .iter()
        .find(|request| bench.subject.is_paid(request))
    {
        Some(paid) => Err(format!(
            "the list calls {} {}, which costs money",
            paid.method, paid.path
        )),
        None => Ok(()),
    }
}

pub(crate) async fn a_refused_list_of_models_is_told(bench: &Bench) -> Verdict {
    for (script, kinds) in [
        (
            Script::json(401, bench.subject.error_body(401, bench.key())),
            bench.subject.kinds(401),
        ),
        (
            Script::json(503, bench.subject.error_body(503, "overloaded")),
            bench.subject.kinds(503),
        ),
        (
            Script::json(200, "{\"da"),
            vec![
                integration_core::ErrorKind::Protocol,
                integration_core::ErrorKind::Truncated,
            ],
        ),
    ] {
        let upstream = ScriptedUpstream::always(script).await;
        let list = bench.at(&upstream)?.models.ok_or(NO_LIST)?;
        match list().await {
            Ok(models) => return Err(format!("a refusal was read as {models:?}")),
            Err(error) => {
                bench.is_clean(&error)?;
                is_kind(&error, &kinds)?;
            }
        }
    }
    Ok(())
}
