//! Looking answers up, and saying something about them.

use serde_json::json;

use crate::problem::Problem;
use crate::routes::page::{Call, Page, Refusal};
use crate::simulation::Simulation;

/// The id that a query asks for.
fn id<'a>(call: &'a Call<'_>) -> Result<&'a str, Problem> {
    let Some(id) = call.query.get("id").filter(|id| !id.is_empty()) else {
        return Err(Problem::invalid(
            "id: Invalid input: expected string, received undefined",
        ));
    };
    let name = id.strip_prefix("gen-").filter(|name| !name.is_empty());
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id.len() <= 128 && name.is_some_and(|name| name.bytes().all(good)) {
        Ok(id)
    } else {
        Err(Problem::invalid(
            "id: Invalid string: must match pattern /^gen-[0-9A-Za-z-]+$/",
        ))
    }
}

fn not_found(id: &str) -> Problem {
    Problem::new(404, format!("Generation {id} not found")).with("error_type", "not_found")
}

/// `GET /generation`.
pub(crate) fn record(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let id = id(call)?;
    let now = simulation.moment().since;
    let page = simulation
        .state()
        .memory
        .find(id, now)
        .map(|generation| generation.page(id));
    let page = page.ok_or_else(|| {
        simulation.wait();
        not_found(id)
    });
    Ok(Page::new(page?))
}

/// `GET /generation/content`. It exists only where a scenario has switched on that contents are kept.
pub(crate) fn content(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let id = id(call)?;
    let now = simulation.moment().since;
    let state = simulation.state();
    let data = state
        .memory
        .find(id, now)
        .and_then(|record| state.accounts.contents.find(id, record.bill.completion));
    let data = data.ok_or_else(|| not_found(id))?;
    Ok(Page::json(&json!({ "data": data })))
}

const CATEGORIES: &[&str] = &[
    "latency",
    "incoherence",
    "incorrect_response",
    "formatting",
    "billing",
    "api_error",
    "other",
];

/// `POST /generation/feedback`: the first word about an answer is kept, and no second one.
pub(crate) fn feedback(simulation: &Simulation, call: &Call<'_>) -> Result<Page, Refusal> {
    let fields = call.object()?;
    let text = |name: &str| fields.get(name).and_then(serde_json::Value::as_str);
    let Some(id) = text("generation_id").filter(|id| !id.is_empty()) else {
        return Err(Problem::invalid("generation_id: Invalid input: expected string").into());
    };
    if !text("category").is_some_and(|category| CATEGORIES.contains(&category)) {
        let options = CATEGORIES.join("\"|\"");
        return Err(
            Problem::invalid(format!("category: Invalid option: expected one of \"{options}\"")).into(),
        );
    }
    if let Some(comment) = fields.get("comment")
        && comment.as_str().is_none_or(|text| text.chars().count() > 1_000)
    {
        return Err(Problem::invalid("comment: expected a string of at most 1000 characters").into());
    }
    let now = simulation.moment().since;
    let mut state = simulation.state();
    let Some(first) = state.memory.rate(id, now) else {
        let id: String = id.chars().take(128).collect();
        return Err(not_found(&id).into());
    };
    if !first {
        return Err(Problem::new(409, "Feedback was already submitted for this generation").into());
    }
    Ok(Page::json(&json!({ "data": { "success": true } })))
}
