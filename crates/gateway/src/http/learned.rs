//! Learned policies over HTTP: how each keeps its promise, and labels that tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::{Extension, Json};
use integration_core::{RequestId, printable};
use routing_learned::embedded_part;
use routing_learned::monitor::{Heard, Label};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::access::admins_only;
use super::chat::check_headers;
use super::feedback::read_body;
use crate::app::App;
use crate::call::Refused;
use crate::callers::Identity;
use crate::learned::{
    Basis, Decision, Kept, LONGEST_NAME, LearnedPolicy, NO_PROMISE, Taken, VECTOR_TIME, Watch, policy_json,
};
use crate::upstream::Mode;

/// The largest label, in kilobytes. Of a prompt its beginning and its end are read.
const MOST_KILOBYTES: u32 = 1024;

/// A label decides where everybody's calls go, so it is for those who may see them.
fn may_see(identity: &Identity) -> Result<(), ApiError> {
    admins_only(identity, "learned policies decide about everybody's calls")
}

/// `GET /v1/routing/learned`: the policies, and how they keep their promises.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Value>, ApiError> {
    may_see(&identity)?;
    let policies: Vec<_> = app.policies.iter().map(|one| policy(one)).collect();
    Ok(Json(
        json!({ "object": "list", "data": policies, "mode": app.mode().as_str() }),
    ))
}

fn policy(policy: &LearnedPolicy) -> Value {
    let models = policy.models();
    let mut told = json!({
        "name": policy.name,
        "model": policy.model(),
        "predictor_sha256": policy.sha256,
        "models": models,
    });
    match &policy.basis {
        Basis::AtLeast(score) => told["min_score"] = json!(score),
        Basis::Cascade(_) => told["cascade"] = json!(true),
        Basis::Certified(watch) => {
            told["certificate_sha256"] = json!(watch.sha256);
            told["reference"] = json!(watch.ladder.reference());
            told["labels"] = json!(watch.share);
            let promises = watch.kept.iter().map(|kept| promise(watch, kept, models));
            told["promises"] = promises.collect();
        }
    }
    told
}

fn promise(watch: &Watch, kept: &Kept, models: &[String]) -> Value {
    let (certified, now) = (&kept.certificate, kept.now());
    json!({
        "tag": kept.tag,
        "for_all": watch.is_for_all(),
        "promise": certified.promise,
        "certified": {
            "policy": policy_json(certified.policy, models),
            "saving": certified.saving,
            "loss": certified.loss,
            "labels": certified.labels,
            "p_value": certified.p_value,
        },
        "now": {
            "policy": policy_json(now.policy, models),
            "broken": now.is_broken,
            "p_value": now.p_value,
            "labels": now.labels,
        },
    })
}

/// What came of a request that was drawn for a label.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    request_id: String,
    /// The text of the last message of the user: what the policy was asked about.
    prompt: String,
    /// By model, from 0 to 1.
    scores: BTreeMap<String, f32>,
}

/// `POST /v1/routing/learned/{name}/labels`
pub(super) async fn label(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    may_see(&identity)?;
    let policy = app.policies.named(&name).ok_or_else(|| {
        let name = printable(name.clone(), LONGEST_NAME);
        ApiError::new(404, "unknown_policy", format!("there is no [[learned]] '{name}'"))
    })?;
    let Basis::Certified(watch) = &policy.basis else {
        let message = format!("'{name}' has no certificate, and so no promise that labels could break");
        return Err(ApiError::new(409, "no_promise", message));
    };
    let (head, body) = request.into_parts();
    check_headers(&head.headers)?;
    let said = read(&app, body).await?;
    let decision = check_request(&app, policy, watch, &said).await?;
    check_scores(policy, &said.scores)?;
    let unavailable = |message: String| ApiError::new(503, "label_unavailable", message).worth_retrying();
    let id = said.request_id.clone();
    let (kept, request) = (Arc::clone(watch), id.clone());
    // Behind a lock that is held while a policy is certified.
    let has_label = tokio::task::spawn_blocking(move || kept.has_label(&request)).await;
    if has_label.map_err(|_| unavailable("the labels cannot be looked at".to_owned()))? {
        return Ok(told(policy, watch, &id, &Taken::Known));
    }
    if policy.wants_vector() && embedded_part(&said.prompt).trim().is_empty() {
        return Err(Refused::invalid("prompt", "there is no text in it").into());
    }
    let whose = (&identity.caller, None, &[][..]);
    let vector = policy.vector(&app, &said.prompt, whose, VECTOR_TIME).await;
    if vector.is_none() && policy.wants_vector() {
        let message = "the vector of the prompt cannot be had; send the label again later";
        return Err(unavailable(message.to_owned()));
    }
    let (of, kept) = (Arc::clone(policy), Arc::clone(watch));
    let taken = tokio::task::spawn_blocking(move || {
        let label = of_said(&of, &kept, said, decision.tag, vector.as_deref())?;
        let taken = kept.take(label);
        // Here, since whoever sent the label may be gone.
        if let Ok(taken) = &taken {
            kept.log(&of.name, taken);
        }
        Ok::<_, Refused>(taken)
    });
    let taken = taken
        .await
        .map_err(|_| ApiError::new(500, "internal", "the label was not taken"))??
        .map_err(|error| {
            tracing::error!("a label of '{name}' is not taken: {error:#}");
            ApiError::new(503, "label_unavailable", format!("{error:#}"))
        })?;
    Ok(told(policy, watch, &id, &taken))
}

fn told(policy: &LearnedPolicy, watch: &Watch, id: &str, taken: &Taken) -> Json<Value> {
    let (heard, place) = match taken {
        Taken::Known => ("known", None),
        Taken::Heard(place, Heard::Nothing) => ("nothing", Some(*place)),
        Taken::Heard(place, Heard::Broken) => ("promise_broken", Some(*place)),
        Taken::Heard(place, Heard::Certified(_)) => ("certified", Some(*place)),
    };
    let kept = place.and_then(|place| watch.kept.get(place));
    Json(json!({
        "object": "routing.label",
        "request_id": id,
        "policy": policy.name,
        "heard": heard,
        "promise": kept.map(|kept| promise(watch, kept, policy.predictor.models())),
    }))
}

async fn read(app: &App, body: Body) -> Result<Said, ApiError> {
    let bytes = read_body(app, body, MOST_KILOBYTES).await?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let said: Said = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            Refused::invalid(
                path.trim_matches('.'),
                inner.to_string().replace("f32", "a number"),
            )
        } else {
            Refused::invalid("", format!("the body is not JSON: {inner}"))
        }
    })?;
    json.end()
        .map_err(|error| Refused::invalid("", format!("the body is not JSON: {error}")))?;
    Ok(said)
}

/// Labels are only of calls that chance drew: what somebody picks out is not like the rest. And only of those that this certificate decided:
/// what was before it may be what it was certified by. What the ledger has of the decision.
async fn check_request(
    app: &App,
    policy: &LearnedPolicy,
    watch: &Watch,
    said: &Said,
) -> Result<Decision, ApiError> {
    let invalid = |message: &str| ApiError::from(Refused::invalid("request_id", message));
    let id = RequestId::new(said.request_id.clone()).map_err(|error| invalid(&error.to_string()))?;
    let attempts = app.store.attempts(&id).await.map_err(|error| {
        tracing::error!("the ledger cannot be read: {error}");
        ApiError::new(503, "ledger_unavailable", "the ledger cannot be read")
    })?;
    let Some(first) = attempts.into_iter().next() else {
        return Err(ApiError::new(
            404,
            "unknown_request",
            "the ledger has no such request",
        ));
    };
    let intent = first.intent;
    if intent.simulated != (app.mode() == Mode::Simulated) {
        return Err(invalid(
            "either the request was simulated or this gateway is: one says nothing of the other",
        ));
    }
    let Some(decision) = Decision::of(&intent).filter(|decision| decision.policy == policy.name) else {
        return Err(invalid("the request was not for this policy"));
    };
    if decision.file != watch.sha256 {
        return Err(invalid("the request was decided by another certificate"));
    }
    if decision.basis == NO_PROMISE {
        let message = "nothing is promised for requests with this tag: the reference answers them";
        return Err(ApiError::new(409, "no_promise", message));
    }
    if !decision.label {
        return Err(invalid(
            "no label of this request is asked for; the answers of those that are drawn say so in `waypost.learned.label`",
        ));
    }
    Ok(decision)
}

fn check_scores(policy: &LearnedPolicy, scores: &BTreeMap<String, f32>) -> Result<(), Refused> {
    if let Some(unknown) = scores.keys().find(|model| policy.number(model).is_none()) {
        let unknown = printable(unknown.clone(), LONGEST_NAME);
        return Err(Refused::invalid(
            "scores",
            format!("the policy has no model '{unknown}'"),
        ));
    }
    match scores.iter().find(|(_, score)| !(0.0..=1.0).contains(*score)) {
        Some((model, score)) => Err(Refused::invalid(
            format!("scores.{model}"),
            format!("a score is from 0 to 1, and not {score}"),
        )),
        None => Ok(()),
    }
}

/// The label, with what was predicted of the request by the tag that it had.
fn of_said(
    policy: &LearnedPolicy,
    watch: &Watch,
    said: Said,
    tag: Option<String>,
    vector: Option<&[f32]>,
) -> Result<Label, Refused> {
    let models = policy.predictor.models();
    let view = policy
        .look(&said.prompt, tag.as_deref(), vector)
        .ok_or_else(|| Refused::invalid("prompt", "nothing can be predicted of it"))?;
    let mut scores = vec![0.0; models.len()];
    for number in watch.ladder.choices(&view.predicted, &view.expected_costs) {
        let model = &models[number];
        let score = said
            .scores
            .get(model)
            .ok_or_else(|| Refused::invalid("scores", format!("the score of {model} is missing")))?;
        scores[number] = *score;
    }
    Ok(Label {
        id: said.request_id,
        tag,
        costs: view.expected_costs.clone(),
        expected_costs: view.expected_costs,
        predicted: view.predicted,
        scores,
    })
}
