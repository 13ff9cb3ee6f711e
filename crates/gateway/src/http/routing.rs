//! Which model now, and why.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use costing::Caller;
use rust_decimal::Decimal;

use super::ApiError;
use crate::app::App;
use crate::call::{Refused, no_model_qualifies};
use crate::callers::Identity;
use crate::profile::{Chance, Question};

/// `GET /v1/routing/best-model?task=reasoning&min_quality=50&needs=tools,vision&context=100000&max_price=5&allow_free=true`
pub(super) async fn best_model(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Response {
    match answer(&app, &identity.caller, query.as_deref().unwrap_or_default()) {
        Ok(response) => response,
        Err(refused) => ApiError::from(refused).into_response(),
    }
}

fn answer(app: &App, caller: &Caller, query: &str) -> Result<Response, Refused> {
    let mut question = Question::default();
    let options = &mut question.options;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<Option<T>, Refused> {
            let refused = || Refused::invalid(name, format!("`{name}` must be a number, not '{value}'"));
            value.parse().map(Some).map_err(|_| refused())
        }
        match &*name {
            "task" => options.task = Some(value.into_owned()),
            "min_quality" => options.min_quality = number(&name, &value)?,
            "confidence" => options.confidence = number(&name, &value)?,
            "data_policy" => options.data_policy = Some(value.into_owned()),
            "region" => options.region = Some(value.into_owned()),
            "needs" => options.needs = value.split(',').map(str::to_owned).collect(),
            "strategy" => options.strategy = Some(value.into_owned()),
            "max_cost_usd" => options.max_cost_usd = number(&name, &value)?,
            "prompt_tokens" => options.prompt_tokens = number(&name, &value)?,
            "completion_tokens" => options.completion_tokens = number(&name, &value)?,
            "allow_free" => {
                options.allow_free = value.parse().map_err(|_| {
                    Refused::invalid(
                        "allow_free",
                        format!("`allow_free` must be true or false, not '{value}'"),
                    )
                })?;
            }
            "context" => question.context = number(&name, &value)?,
            "max_price" => question.max_price = number(&name, &value)?,
            "explain" => {}
            other => {
                let message = format!(
                    "`{other}` is not a parameter; there are task, min_quality, confidence, needs, data_policy, region, \
                     context, max_price, max_cost_usd, strategy, allow_free, prompt_tokens and completion_tokens"
                );
                return Err(Refused::invalid(other, message));
            }
        }
    }
    if options.task.is_none() {
        return Err(Refused::invalid(
            "task",
            "`task` is missing; it is reasoning, coding, agentic, chat, summarise, extract, translate or vision",
        ));
    }
    let amounts: [Option<Decimal>; 2] = [question.max_price, options.max_cost_usd];
    if amounts
        .into_iter()
        .flatten()
        .any(|amount| amount.is_sign_negative())
    {
        return Err(Refused::invalid(
            "max_price",
            "`max_price` and `max_cost_usd` must not be negative",
        ));
    }
    let asked = question.request(&app.settings, app.utc_now(), Chance::of(app));
    let route = asked.map_err(|refused| {
        // The same options stand in the query without the name of the object they have in a body.
        let param = refused
            .param
            .map(|param| param.trim_start_matches("waypost.").to_owned());
        Refused { param, ..refused }
    })?;
    let plan = app
        .charges(caller)
        .of(app.router.view().plan(&route, app.clock.now()));
    if plan.candidates.is_empty() {
        return Err(no_model_qualifies(&plan, &route));
    }
    Ok(Json(plan).into_response())
}
