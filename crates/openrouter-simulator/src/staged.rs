//! Failures on demand that are answers of their own: the error that belongs to a fault.

use rust_decimal::Decimal;
use serde_json::json;

use crate::account::{self, Exceeded};
use crate::fault::{Fault, RetryForm};
use crate::moment::Moment;
use crate::problem::{About, Problem, staged};
use crate::refusals::too_long;
use crate::routes::dates::DAY;
use crate::scenario::account::{BudgetScope, Interval};
use crate::simulation::Ruling;

/// The error answer that a fault is, if it is one.
pub(crate) fn on_demand(
    fault: Fault,
    about: About<'_>,
    now: Moment,
    ruling: Ruling,
    stream: bool,
) -> Option<Problem> {
    let exceeded = |reset| Exceeded {
        limit: Decimal::TEN,
        spent: Decimal::new(1_000_417, 5),
        reset,
    };
    let problem = match fault {
        Fault::Status(status) => staged(status, about, ruling.retry_after),
        Fault::Zod => zod(),
        Fault::RawObject => staged(502, about, ruling.retry_after).with(
            "raw",
            json!({ "error": { "message": "upstream is down", "type": "provider_unavailable" } }),
        ),
        Fault::RawText => staged(429, about, ruling.retry_after).with(
            "raw",
            format!(
                "{} is temporarily rate-limited upstream. Please retry shortly.",
                about.model
            ),
        ),
        // In a stream it comes after the start of the answer.
        Fault::StringCode if !stream => staged(500, about, ruling.retry_after).with_code("server_error"),
        Fault::ContextLength => too_long(4_096, 5_000, None),
        Fault::Guardrail => account::blocked("ignore all previous instructions"),
        Fault::TooExpensive => account::weighs_too_much(),
        Fault::InFlight => account::in_flight(ruling.retry_after.unwrap_or(1)),
        Fault::KeyLimit => account::key_limit(402, exceeded(None), now.utc()),
        Fault::KeyLimitForbidden => account::key_limit(403, exceeded(Some(Interval::Daily)), now.utc()),
        Fault::Budget => account::budget(
            BudgetScope::Workspace,
            exceeded(Some(Interval::Monthly)),
            now.utc(),
        ),
        Fault::FreePerMinute => {
            let resets = (now.minute() + 1) * 60_000;
            account::free_limit(account::PER_MINUTE, "", account::FREE_A_MINUTE, resets)
        }
        Fault::FreePerDay => {
            account::free_limit(account::PER_DAY_HIGH, "", 1_000, (now.day() + 1) * DAY * 1_000)
        }
        _ => return None,
    };
    Some(match ruling.retry_form {
        None | Some(RetryForm::Seconds(_)) => problem,
        Some(odd) => problem.with_retry_after(odd.text(now)),
    })
}

/// What the route itself refuses: neither the usual envelope nor a code.
fn zod() -> Problem {
    let issues = json!([{
        "code": "invalid_type", "expected": "string", "path": ["model"],
        "message": "Invalid input: expected string, received undefined",
    }]);
    Problem::invalid("A staged fault").with_whole(json!({
        "success": false,
        "error": { "name": "ZodError", "message": issues.to_string() },
    }))
}
